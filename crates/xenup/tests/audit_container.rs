//! A real `apply` of what `audit --fix` plans, and a real `rollback`: on a whole Debian in a container, because both are
//! for the whole machine. Needs root, and is skipped elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "the test drives a container"
)]

#[allow(dead_code, reason = "another test uses the rest of it")]
mod container;

use std::path::Path;

use container::{Container, missing};
use xenup_engine::store::parse_plan;

fn put(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn kernel(case: &str) -> Vec<u8> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/kernel");
    std::fs::read(cases.join(case).join("kernel")).unwrap()
}

/// Guests of which each gets another change: a type, pygrub's name, `hap`, a root's name, an old language.
fn furnish(root: &Path) {
    put(root, "boot/xen-4.14-amd64.config", b"CONFIG_PV=y\nCONFIG_PV32=y\nCONFIG_SHADOW_PAGING=y\n");
    put(root, "srv/vmlinuz-32", &kernel("linux-32-pvh"));
    put(root, "srv/vmlinuz-64", &kernel("bzimage-xz"));
    put(root, "srv/a.img", &[0; 4096]);
    let files: [(&str, &str); 4] = [
        (
            "typed",
            "# kept\r\nname = 'typed' # so\r\ntype = 'pv'\r\nmemory = 64\r\nkernel = '/srv/vmlinuz-32'\r\nhap = 0\r\n",
        ),
        ("shadow", "name='shadow'\ntype='pvh'\nmemory=64\nkernel='/srv/vmlinuz-32'\nhap = 0 # slow"),
        (
            "root",
            "name = 'root'\ntype = 'pv'\nmemory = 64\nkernel = '/srv/vmlinuz-64'\ncmdline = 'root=/dev/sda1 ro'\n\
             disk = [ '/srv/a.img,raw,xvda,rw' ]\n",
        ),
        ("xm", "name = 'x' + 'm'\nbuilder = 'linux'\nmemory = 64\nkernel = '/srv/vmlinuz-64'\nvcpus = 2\n"),
    ];
    for (name, text) in files {
        put(root, &format!("etc/xen/{name}.cfg"), text.as_bytes());
    }
    std::fs::create_dir_all(root.join("etc/xen/auto")).unwrap();
    std::os::unix::fs::symlink("../typed.cfg", root.join("etc/xen/auto/typed.cfg")).unwrap();
}

/// Bytes, owner, mode and time of every file in /etc/xen.
fn picture(container: &Container) -> String {
    container.run(&[
        "sh",
        "-c",
        "cd /etc/xen && find . ! -type d -exec stat -c '%n %F %U:%G %a %.9Y %s' {} + | sort; sha256sum *.cfg",
    ])
}

#[test]
fn a_plan_of_fixes_is_applied_and_rolled_back_to_the_byte() {
    if let Some(why) = missing() {
        println!("skipped: {why}");
        return;
    }
    let container = Container::boot_with("audit", furnish);
    container.run(&["chown", "7:8", "/etc/xen/root.cfg"]);
    container.run(&["chmod", "640", "/etc/xen/root.cfg"]);
    container.run(&["touch", "-d", "2006-03-01 12:00:00.123456789", "/etc/xen/shadow.cfg"]);
    let before = picture(&container);
    let audit = ["xenup", "audit", "--to", "trixie", "--fix", "--out", "/root/plan.json"];
    let output = container.output(&audit);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    let plan = parse_plan(&std::fs::read(container.path("/root/plan.json")).unwrap()).unwrap();
    let changed = plan.steps().count();
    println!("{changed} files change\n{}", String::from_utf8_lossy(&output.stdout));
    assert!(changed >= 2, "{said}\n{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(picture(&container), before, "audit --fix alone changes nothing");

    container.run(&["xenup", "apply", "/root/plan.json", "--yes"]);
    let after = picture(&container);
    assert_ne!(after, before);
    for (_, step) in plan.steps() {
        let id = step.title.strip_prefix("Change /etc/xen/").unwrap();
        let line =
            |text: &str| text.lines().find(|line| line.ends_with(id) && line.len() > 70).map(str::to_owned);
        assert_ne!(line(&after), line(&before), "{id}");
    }
    container.run(&["xenup", "rollback", "--yes"]);
    assert_eq!(picture(&container), before, "{}", container.logs());
}
