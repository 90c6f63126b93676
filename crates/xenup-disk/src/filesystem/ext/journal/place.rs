//! Where a journal's blocks lie: the inode that holds them, read by extents or by the block map of ext2 and ext3.

use std::rc::Rc;

use crate::field;
use crate::read_at::ReadAt;

/// The most blocks a journal has: 4 GiB of 4 KiB blocks; mke2fs makes at most 1 GiB.
const MOST_BLOCKS: u64 = 1 << 20;
/// The most tree blocks that are read.
const MOST_NODES: usize = 8192;
/// The deepest tree that the kernel makes.
const DEEPEST: u16 = 5;

const HAS_EXTENTS: u32 = 0x80000;

/// Runs of blocks: the first within the journal, the first on the volume, how many.
pub(super) struct Place {
    runs: Vec<(u64, u64, u64)>,
    /// How many blocks the journal's file has.
    pub(super) blocks: u64,
}

struct Walk<'a> {
    disk: &'a Rc<dyn ReadAt>,
    block: u64,
    nodes: usize,
    runs: Vec<(u64, u64, u64)>,
}

impl Place {
    /// The place of the journal that a superblock names.
    pub(super) fn of_journal(disk: &Rc<dyn ReadAt>, sb: &[u8], block: u64) -> Result<Self, String> {
        let inode = match field::u32_le(sb, 0xe0) {
            0 => return Err("it lies on another device".to_owned()),
            number => read_inode(disk, sb, block, number)?,
        };
        let high = u64::from(field::u32_le(&inode, 0x6c)) << 32;
        let blocks = (high | u64::from(field::u32_le(&inode, 4))).checked_div(block).unwrap_or_default();
        if blocks > MOST_BLOCKS {
            return Err(format!("a journal of {blocks} blocks"));
        }
        let mut walk = Walk { disk, block, nodes: 0, runs: Vec::new() };
        let root = inode.get(0x28..0x64).unwrap_or_default();
        if field::u32_le(&inode, 0x20) & HAS_EXTENTS == 0 {
            walk.map(root)?;
        } else {
            walk.extents(root, DEEPEST)?;
        }
        walk.runs.sort_unstable();
        Ok(Self { runs: walk.runs, blocks })
    }

    /// Where on the volume a block of the journal lies.
    pub(super) fn find(&self, block: u64) -> Option<u64> {
        let after = self.runs.partition_point(|(first, _, _)| *first <= block);
        let (first, at, count) = self.runs.get(after.checked_sub(1)?)?;
        let within = block.checked_sub(*first)?;
        (within < *count).then(|| at.saturating_add(within))
    }
}

fn read_inode(disk: &Rc<dyn ReadAt>, sb: &[u8], block: u64, number: u32) -> Result<Vec<u8>, String> {
    let (per_group, size) = (field::u32_le(sb, 0x28), u64::from(field::u16_le(sb, 0x58)).max(128));
    let index = u64::from(number.wrapping_sub(1));
    // mke2fs gives the journal inode 8, and a group has more.
    if index >= u64::from(per_group) {
        return Err(format!("its inode {number} is not in the first group"));
    }
    let mut group = [0; 64];
    let descriptors = u64::from(field::u32_le(sb, 0x14)).saturating_add(1).saturating_mul(block);
    disk.read_at(descriptors, &mut group).map_err(|error| error.to_string())?;
    let wide = field::u32_le(sb, 0x60) & 0x80 != 0 && field::u16_le(sb, 0xfe) >= 64;
    let high = if wide { u64::from(field::u32_le(&group, 0x28)) << 32 } else { 0 };
    let table = high | u64::from(field::u32_le(&group, 8));
    let at = table.saturating_mul(block).saturating_add(index.saturating_mul(size));
    let mut inode = vec![0; 128];
    disk.read_at(at, &mut inode).map_err(|error| error.to_string())?;
    Ok(inode)
}

impl Walk<'_> {
    fn node(&mut self, number: u64) -> Result<Vec<u8>, String> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > MOST_NODES {
            return Err("its block tree is too large".to_owned());
        }
        let mut node = vec![0; usize::try_from(self.block).unwrap_or_default()];
        let at = number.saturating_mul(self.block);
        self.disk.read_at(at, &mut node).map_err(|error| error.to_string())?;
        Ok(node)
    }

    fn run(&mut self, first: u64, at: u64, count: u64) -> Result<(), String> {
        if at != 0 && first < MOST_BLOCKS {
            match self.runs.last_mut() {
                Some((f, a, c)) if f.saturating_add(*c) == first && a.saturating_add(*c) == at => {
                    *c = c.saturating_add(count);
                }
                _ => self.runs.push((first, at, count)),
            }
        }
        if self.runs.len() as u64 > MOST_BLOCKS {
            return Err("its blocks are too scattered".to_owned());
        }
        Ok(())
    }

    /// One node of an extent tree: a header of 12 bytes, then entries of 12.
    fn extents(&mut self, node: &[u8], deepest: u16) -> Result<(), String> {
        let (entries, depth) = (field::u16_le(node, 2), field::u16_le(node, 6));
        if field::u16_le(node, 0) != 0xf30a || depth > deepest {
            return Err("its extent tree is damaged".to_owned());
        }
        for entry in node.get(12..).unwrap_or_default().chunks_exact(12).take(usize::from(entries)) {
            if depth == 0 {
                let count = u64::from(field::u16_le(entry, 4));
                // More than 32768 marks an extent that was never written, which a journal has not.
                if count > 32768 {
                    return Err("its extents were never written".to_owned());
                }
                let at = (u64::from(field::u16_le(entry, 6)) << 32) | u64::from(field::u32_le(entry, 8));
                self.run(u64::from(field::u32_le(entry, 0)), at, count)?;
            } else {
                let below = (u64::from(field::u16_le(entry, 8)) << 32) | u64::from(field::u32_le(entry, 4));
                let below = self.node(below)?;
                self.extents(&below, depth.saturating_sub(1))?;
            }
        }
        Ok(())
    }

    /// The block map: twelve blocks, then a block of numbers, and two levels more.
    fn map(&mut self, root: &[u8]) -> Result<(), String> {
        let mut next = 0;
        for (slot, number) in root.chunks_exact(4).enumerate() {
            let levels = u32::try_from(slot.saturating_sub(11)).unwrap_or_default();
            self.mapped(u64::from(field::u32_le(number, 0)), levels, &mut next)?;
        }
        Ok(())
    }

    fn mapped(&mut self, number: u64, levels: u32, next: &mut u64) -> Result<(), String> {
        let Some(below) = levels.checked_sub(1) else {
            self.run(*next, number, 1)?;
            *next = next.saturating_add(1);
            return Ok(());
        };
        if number == 0 || *next > MOST_BLOCKS {
            let per_node = self.block.checked_div(4).unwrap_or_default();
            *next = next.saturating_add(per_node.saturating_pow(levels));
            return Ok(());
        }
        let node = self.node(number)?;
        for entry in node.chunks_exact(4) {
            self.mapped(u64::from(field::u32_le(entry, 0)), below, next)?;
        }
        Ok(())
    }
}
