//! What docs/first-host.md, docs/recovery.md and docs/kernels.md have people type about what boots: in a chroot of the disk that
//! docs/images.md made, with apt, dpkg and GRUB's own programs.
//!
//! Decides: what the menu and GRUB's environment have to say after each block. Never: restarts anything; that line is taken
//! out.

use xenup_system::process::Tool;

use super::image::{ROOT, disk};
use super::{Failure, LIMIT, Place};
use crate::claims::holds;

/// Mounts the root of the disk for a script that is run in it as on a machine; grub-probe, which would look for the disk of
/// this one, says what that machine's would.
const INSIDE: &str = r#"mount -o loop,offset="$2" "$1" /mnt
for at in dev proc sys; do mount --rbind "/$at" "/mnt/$at"; done
mount -t tmpfs tmpfs /mnt/run
sed "s/UUID/$3/" > /mnt/run/grub-probe <<'END'
#!/bin/sh
case " $* " in
*"target=device "*) echo /dev/vda3 ;;
*"target=fs_uuid "*) echo UUID ;;
*"target=fs "*) echo ext2 ;;
*"target=partmap "*) echo gpt ;;
*"target=drive "*) echo '(hd0,gpt3)' ;;
esac
END
chmod 755 /mnt/run/grub-probe
mount --bind /mnt/run/grub-probe /mnt/usr/sbin/grub-probe
rm -f /mnt/etc/resolv.conf
cat /etc/resolv.conf > /mnt/etc/resolv.conf
cat /etc/hosts > /mnt/etc/hosts
chroot /mnt /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive sh -euc "cd /root
$4""#;
/// A Debian without Xen, and with a menu of its own.
const PLAIN: &str = "apt-get -qq update
apt-get -qq -y purge 'xen-*' bridge-utils > /dev/null
apt-get -qq -y autoremove > /dev/null
update-grub 2> /dev/null";
/// A package of a kernel by kbuild, as far as GRUB is concerned.
const KERNEL: &str = r#"mkdir -p own/DEBIAN own/boot
printf 'Package: linux-image-6.1.192-dom0-full\nVersion: 1\nArchitecture: amd64\nMaintainer: nobody <nobody@example>\nDescription: x\n' > own/DEBIAN/control
printf '#!/bin/sh\nupdate-grub\n' > own/DEBIAN/postinst
chmod 755 own/DEBIAN/postinst
cp /vmlinuz own/boot/vmlinuz-6.1.192-dom0-full
echo CONFIG_XEN_DOM0=y > own/boot/config-6.1.192-dom0-full
dpkg-deb -Znone --build own linux-image-6.1.192-dom0-full_1_amd64.deb > /dev/null"#;
const MENU: &str = "cat /boot/grub/grub.cfg";
const OWN: &str = "Debian GNU/Linux, with Linux 6.1.192-dom0-full";

/// Returns whether each block did what its page says.
pub(super) fn changed(place: &Place) -> Result<bool, Failure> {
    let offset = ROOT.to_string();
    let probe = ["--probe", "--offset", &offset, "--match-tag", "UUID", "--output", "value"];
    let uuid = Tool::new("blkid").args(probe).arg(disk(place)).run()?.text().trim().to_owned();
    let on = |script: &str| -> Result<String, Failure> {
        let tool = Tool::new("unshare").args(["--mount", "sh", "-euc", INSIDE, "sh"]).arg(disk(place));
        Ok(tool.args([&offset, &uuid, script]).timeout(LIMIT).run()?.text())
    };
    on(PLAIN)?;
    Ok(first_host(&on, &uuid)? & recovery(&on, &uuid)? & kernel(&on)?)
}

type On<'a> = &'a dyn Fn(&str) -> Result<String, Failure>;

/// Nobody is there to be asked, and nothing is restarted.
fn typed(script: &str) -> String {
    let asked = script.replace("apt-get install", "apt-get -qq -y install");
    asked.replace("\nsystemctl reboot", "").replace(" && reboot", "")
}

/// The id of the menu's first entry, which is what `default="0"` boots.
fn first_entry(menu: &str) -> &str {
    let line = menu.lines().find(|line| line.starts_with("menuentry ")).unwrap_or_default();
    line.split("$menuentry_id_option '").nth(1).and_then(|rest| rest.split('\'').next()).unwrap_or_default()
}

fn first_host(on: On<'_>, uuid: &str) -> Result<bool, Failure> {
    let install = crate::shown::block("docs/first-host.md", "apt-get install xen-system-amd64 bridge-utils")?;
    on(&typed(&install))?;
    let menu = on(MENU)?;
    let (linux, xen) = (format!("gnulinux-simple-{uuid}"), format!("xen-gnulinux-simple-{uuid}"));
    let stays = menu.contains("set default=\"0\"") && first_entry(&menu) == linux && menu.contains(&xen);
    let words = crate::shown::block("docs/first-host.md", "GRUB_CMDLINE_XEN=")?;
    on(&format!("cat > /etc/default/grub.d/local.cfg <<'END'\n{words}\nEND\nupdate-grub 2> /dev/null"))?;
    let menu = on(MENU)?;
    let both = menu.contains("dom0_mem=1G,max:1G dom0_max_vcpus=2 com1=115200,8n1 console=com1,vga watchdog")
        && menu.lines().any(|line| line.contains("module2") && line.contains("console=hvc0 panic=30"));
    let once = crate::shown::block("docs/first-host.md", "grub-reboot xen-gnulinux-simple-UUID")?;
    on(&typed(&once.replace("UUID", uuid)))?;
    let armed = on("grub-editenv list")?.contains(&format!("next_entry={xen}\n"));
    Ok(holds("first-host.md: Linux stays the default when Xen is installed", stays)
        & holds("first-host.md: Xen and its Linux have their words", both)
        & holds("first-host.md: the next boot alone is Xen", armed))
}

/// From an armed trial, with files of ours by which Xen is the default.
fn recovery(on: On<'_>, uuid: &str) -> Result<bool, Failure> {
    let linux = format!("gnulinux-simple-{uuid}");
    on(&format!(
        "cd /etc/default/grub.d; rm 00-local.cfg; echo 'GRUB_DEFAULT=\"xen-{linux}\"' > zz-xenup.cfg; : > 00-xenup.cfg; \
         update-grub 2> /dev/null"
    ))?;
    let before = on(MENU)?.contains(&format!("set default=\"xen-{linux}\""));
    on(&crate::shown::block("docs/recovery.md", "grub-editenv - unset next_entry")?)?;
    let menu = on(MENU)?;
    let left = on("grub-editenv list; ls /etc/default/grub.d")?;
    let back = menu.contains("set default=\"0\"") && first_entry(&menu) == linux;
    Ok(holds("recovery.md: Xen was the default", before)
        & holds("recovery.md: what boots is Linux again, with the hypervisor there", back)
        & holds(
            "recovery.md: nothing is armed, no file of ours is left",
            !left.contains("next_entry=") && !left.contains("xenup"),
        ))
}

/// A kernel that is tried once, and made the default when it was good.
fn kernel(on: On<'_>) -> Result<bool, Failure> {
    let script = crate::shown::block("docs/kernels.md", "zzz-kernel-trial.cfg && update-grub")?;
    let (tried, kept) = script.rsplit_once('\n').ok_or("the page keeps no kernel")?;
    let release = on("basename \"$(readlink -f /vmlinuz)\"")?.trim().replacen("vmlinuz-", "", 1);
    let submenu = "Advanced options for Debian GNU/Linux";
    let entry = format!("{submenu}>Debian GNU/Linux, with Linux {release}");
    let own = format!("{submenu}>{OWN}");
    on(KERNEL)?;
    let tried = tried.replace("SUBMENU>NEW ENTRY", &own).replace("SUBMENU>ENTRY", &entry);
    let shown = on(&typed(&tried))?;
    let menu = on(MENU)?;
    let stays = menu.contains(&format!("set default=\"{entry}\"")) && shown.contains(submenu);
    let there = [submenu, OWN, entry.trim_start_matches(submenu).trim_start_matches('>')];
    let named = there.iter().all(|title| menu.contains(&format!("'{title}' ")));
    let armed = on("grub-editenv list")?.contains(&format!("next_entry={own}\n"));
    on(kept)?;
    let free = on(MENU)?.contains("set default=\"0\"");
    Ok(holds("kernels.md: the kernel of before stays the default", stays)
        & holds("kernels.md: the menu has all of it under these titles", named)
        & holds("kernels.md: the next boot alone is the new kernel", armed)
        & holds("kernels.md: afterwards GRUB's own order counts", free))
}
