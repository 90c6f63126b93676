//! A host with many guests, for the bench of `audit`: real Debian roots with five kernels, and an overlay for each guest
//! with a name of its own in it.
//!
//! Decides: what the guests are. Never: keeps them: the folder goes when the bench is over.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_system::files;
use xenup_system::process::Tool;

use crate::kernels::Archive;
use crate::project;

type Failure = Box<dyn std::error::Error>;

/// The kernels of the roots, and whether Debian 11 has them.
const KERNELS: [(&str, bool); 5] = [
    ("linux-image-amd64", false),
    ("linux-image-cloud-amd64", false),
    ("linux-image-6.12-amd64", false),
    ("linux-image-6.12-cloud-amd64", false),
    ("linux-image-amd64", true),
];
/// The suite of the roots.
const SUITE: &str = "bookworm";
const MINUTES: Duration = Duration::from_secs(1800);
/// What each root is called before it is a guest's, as long as every guest's name.
const NAMELESS: &str = "g00000\n";
/// The root that the menu's entries name.
const FILE_SYSTEM: &str = "3f0b9b0e-6a33-4d0c-9b7e-0c6f5d9e5a11";
const BLOCK: usize = 4096;

/// Host and guests in a folder that goes with this.
pub struct Guests {
    folder: PathBuf,
    /// The host's root.
    pub host: PathBuf,
    /// The roots' images, raw.
    pub bases: Vec<PathBuf>,
}

impl Drop for Guests {
    fn drop(&mut self) {
        let _ = files::remove_dir_all(&self.folder);
    }
}

impl Guests {
    /// Makes them.
    ///
    /// # Errors
    /// A tool that is missing or fails, a package that cannot be fetched.
    pub fn make(count: usize) -> Result<Self, Failure> {
        let folder = project().join("target/bench-audit");
        let _ = files::remove_dir_all(&folder);
        let host = folder.join("host");
        let mut guests = Self { folder, host, bases: Vec::new() };
        guests.host_tree()?;
        guests.roots()?;
        guests.guests(count)?;
        Ok(guests)
    }

    fn write(&self, path: &str, text: &str) -> Result<(), Failure> {
        let path = self.host.join(path);
        files::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        Ok(files::write(&path, text.as_bytes())?)
    }

    fn host_tree(&self) -> Result<(), Failure> {
        self.write("etc/os-release", "ID=debian\nVERSION_CODENAME=bookworm\n")?;
        self.write("etc/network/interfaces", "auto xenbr0\niface xenbr0 inet dhcp\n    bridge_ports eth0\n")?;
        self.write("proc/cpuinfo", "flags\t\t: fpu vmx ept\n")?;
        files::create_dir_all(&self.host.join("srv"))?;
        let loaders = Archive::own(&kernels()?).fetched("grub-xen-host", "usr/lib/grub-xen")?;
        files::create_dir_all(&self.host.join("usr/lib/grub-xen"))?;
        for loader in files::list(&loaders)? {
            let name = loader.file_name().unwrap_or_default();
            files::write(&self.host.join("usr/lib/grub-xen").join(name), &files::read(&loader)?)?;
        }
        Ok(())
    }

    /// A Debian with each of the kernels, each in an image.
    fn roots(&mut self) -> Result<(), Failure> {
        let tar = project().join("target/bench-root.tar");
        if !files::exists(&tar) {
            Tool::new("mmdebstrap").args(["--variant=minbase", SUITE]).arg(&tar).timeout(MINUTES).run()?;
        }
        let root = self.folder.join("root");
        files::create_dir_all(&root)?;
        Tool::new("tar").arg("-C").arg(&root).arg("-xf").arg(&tar).timeout(MINUTES).run()?;
        files::write(&root.join("etc/hostname"), NAMELESS.as_bytes())?;
        files::write(
            &root.join("etc/fstab"),
            b"UUID=0b3a1b1e-57a1-4c8e-9d3c-1f0e2d3c4b5a / ext4 defaults 0 1\n",
        )?;
        let folder = kernels()?;
        let (here, old) = (Archive::own(&folder), Archive::of_suite(&folder, "bullseye"));
        for (number, (meta, is_old)) in KERNELS.into_iter().enumerate() {
            let archive = if is_old { old.as_ref().map_err(ToString::to_string)? } else { &here };
            let kernels = if is_old { archive.newest("amd64", "")? } else { archive.kernel(meta)? };
            let kernel = kernels.first().ok_or("the sources have no such kernel")?;
            let image = self.host.join(format!("srv/base{number}.raw"));
            boot(&root, kernel)?;
            Tool::new("truncate").args(["-s", "1G"]).arg(&image).run()?;
            let make = Tool::new("mke2fs").args(["-q", "-t", "ext4", "-U", FILE_SYSTEM, "-d"]);
            make.arg(&root).arg(&image).timeout(MINUTES).run()?;
            self.bases.push(image);
        }
        files::remove_dir_all(&root)?;
        Ok(())
    }

    /// Overlays with a name of its own in each, and files for xl.
    fn guests(&self, count: usize) -> Result<(), Failure> {
        let templates: Vec<Vec<u8>> =
            self.bases.iter().map(|base| self.overlay(base)).collect::<Result<_, _>>()?;
        for (number, template) in (1..=count).zip(templates.iter().cycle()) {
            let name = format!("g{number:05}");
            let mut image = template.clone();
            let at = image.windows(NAMELESS.len()).position(|window| window == NAMELESS.as_bytes());
            let place = at.and_then(|at| image.get_mut(at..)?.get_mut(..name.len()));
            place.ok_or("an overlay without a name")?.copy_from_slice(name.as_bytes());
            files::write(&self.host.join(format!("srv/{name}.qcow2")), &image)?;
            let file = format!(
                "name = \"{name}\"\ntype = \"pvh\"\nkernel = \"/usr/lib/grub-xen/grub-i386-xen_pvh.bin\"\n\
                 memory = 512\nvcpus = 2\n\
                 disk = [ 'format=qcow2,vdev=xvda,access=rw,target=/srv/{name}.qcow2' ]\n\
                 vif = [ 'mac=00:16:3e:{:02x}:{:02x}:{:02x},bridge=xenbr0' ]\n",
                number >> 16 & 0xff,
                number >> 8 & 0xff,
                number & 0xff
            );
            self.write(&format!("etc/xen/{name}.cfg"), &file)?;
        }
        Ok(())
    }

    /// The bytes of an overlay on a root whose only cluster has the name that every guest gets in its place.
    fn overlay(&self, base: &Path) -> Result<Vec<u8>, Failure> {
        let image = base.with_extension("template");
        let backing = base.file_name().unwrap_or_default();
        let make = Tool::new("qemu-img").args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]);
        make.arg(backing).arg(&image).run()?;
        let mut block = NAMELESS.as_bytes().to_vec();
        block.resize(BLOCK, 0);
        let text = self.folder.join("block");
        files::write(&text, &block)?;
        let write = format!("write -q -s {} {} {BLOCK}", text.display(), hostname_at(base)?);
        Tool::new("qemu-io").args(["-f", "qcow2", "-c", &write]).arg(&image).run()?;
        let bytes = files::read(&image)?;
        files::remove_file(&image)?;
        Ok(bytes)
    }
}

/// Puts a kernel, its configuration, an initrd's place and a menu into a root, and nothing else into its /boot.
fn boot(root: &Path, kernel: &Path) -> Result<(), Failure> {
    let there = root.join("boot");
    files::remove_dir_all(&there)?;
    files::create_dir_all(&there.join("grub"))?;
    let name = kernel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let version = name.trim_start_matches("vmlinuz-").to_owned();
    files::write(&there.join(&name), &files::read(kernel)?)?;
    let config = format!("config-{version}");
    files::write(&there.join(&config), &files::read(&kernel.with_file_name(&config))?)?;
    files::write(&there.join(format!("initrd.img-{version}")), &vec![0x42; 8 << 20])?;
    let menu = project().join("tests/cases/guest-disk/debian-12-default/root/boot/grub/grub.cfg");
    let menu = files::read_text(&menu)?;
    let old = menu.split_once("/vmlinuz-").and_then(|(_, rest)| rest.split([' ', '\n']).next());
    let menu = menu.replace(old.ok_or("the case has no kernel")?, &version);
    Ok(files::write(&there.join("grub/grub.cfg"), menu.as_bytes())?)
}

/// Where the text of /etc/hostname lies in a root's image.
fn hostname_at(base: &Path) -> Result<u64, Failure> {
    let told = Tool::new("debugfs").args(["-R", "blocks /etc/hostname"]).arg(base).run()?;
    let block: u64 = told.text().split_whitespace().next().ok_or("/etc/hostname has no block")?.parse()?;
    Ok(block * BLOCK as u64)
}

fn kernels() -> Result<PathBuf, Failure> {
    let folder = project().join("target/kernels");
    files::create_dir_all(&folder)?;
    Ok(folder)
}

/// A host with files for xl alone, and nothing behind them.
///
/// # Errors
/// They cannot be written.
pub fn files_alone(folder: &Path, count: usize) -> Result<(), Failure> {
    let dir = folder.join("etc/xen");
    files::create_dir_all(&dir)?;
    let forms = [
        "disk = [ 'phy:/dev/vg/NAME,xvda,w' ]\nbootloader = \"pygrub\"\n",
        "type = \"pvh\"\nkernel = \"/usr/lib/grub-xen/grub-i386-xen_pvh.bin\"\ndisk = [ 'format=raw,vdev=xvda,access=rw,target=/dev/vg/NAME' ]\n",
        "type = \"hvm\"\nboot = \"c\"\nvga = \"stdvga\"\ndisk = [ '/dev/vg/NAME,raw,hda,rw' ]\nusbdevice = 'tablet'\n",
        "builder = 'generic'\nkernel = '/boot/vmlinuz-6.1.0-1-amd64'\nramdisk = '/boot/initrd.img-6.1.0-1-amd64'\nroot = '/dev/xvda1 ro'\nextra = 'console=hvc0'\ndisk = [ 'file:/srv/NAME.img,xvda1,w' ]\n",
    ];
    for (number, form) in (0..count).zip(forms.iter().cycle()) {
        let name = format!("g{number:05}");
        let text = format!(
            "# {name}\nname = \"{name}\"\nmemory = 512\nvcpus = 2\ncpus = \"0-3,^1\"\n{}vif = [ 'mac=00:16:3e:{:02x}:{:02x}:{:02x},bridge=xenbr0' ]\non_crash = 'restart'\n",
            form.replace("NAME", &name),
            number >> 16 & 0xff,
            number >> 8 & 0xff,
            number & 0xff
        );
        files::write(&dir.join(format!("{name}.cfg")), text.as_bytes())?;
    }
    Ok(())
}
