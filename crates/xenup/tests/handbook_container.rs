//! What the handbook has people type as root: the blocks themselves, taken from docs/remote-server.md, docs/recovery.md,
//! docs/several-nics.md and docs/network-show.md, on a Debian with systemd and sshd in a container. Needs root, and is skipped elsewhere.
//!
//! Decides: which names of the page stand for this machine's, and what has to be so after each block.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "the test drives a container"
)]

#[allow(dead_code, reason = "another test uses the rest of it")]
mod container;
mod handbook;

use container::{Container, INSIDE, OUTSIDE, skipped};
use handbook::{block, project};

/// The block with the names of this machine.
fn here(container: &Container, page: &str, has: &str) -> String {
    let mac = container.run(&["cat", "/sys/class/net/host0/address"]);
    let names = [
        ("eno1", "host0"),
        ("192.0.2.10", INSIDE),
        ("192.0.2.1 ", &format!("{OUTSIDE} ")),
        ("52:54:00:aa:bb:01", mac.trim()),
    ];
    names.iter().fold(block(page, has), |text, (theirs, ours)| text.replace(theirs, ours))
}

fn sh(container: &Container, script: &str) -> String {
    container.run(&["sh", "-euc", script])
}

/// Links, IPv4 addresses and routes, without the times of addresses, once the NIC knows that its cable is in: the kernel takes up
/// to a second to say so.
fn network(container: &Container) -> String {
    sh(
        container,
        "until [ \"$(cat /sys/class/net/host0/operstate)\" = up ]; do sleep 0.1; done; \
         ip -br link | sed 's/ *$//'; ip -4 -br address; ip -4 route",
    )
}

fn over_ssh(container: &Container, words: &[&str]) {
    let output = container.ssh(&[], words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_bridge_by_hand_and_both_ways_back() {
    if skipped() {
        return;
    }
    let container = Container::boot("by-hand-bridge");
    sh(&container, &format!("ip route replace default via {OUTSIDE} dev host0"));
    let before = network(&container);

    // Five minutes end when the test says so.
    let armed = here(&container, "docs/remote-server.md", "way-back");
    assert!(armed.contains("sleep 300;"));
    sh(&container, "mkfifo /run/over");
    sh(&container, &armed.replace("sleep 300;", "cat /run/over;"));
    assert_eq!(container.read("/root/interfaces.before"), container.read("/etc/network/interfaces"));
    sh(&container, &here(&container, "docs/remote-server.md", "ip link set xenbr0 up"));
    let bridged = network(&container);
    assert!(bridged.contains(&format!("default via {OUTSIDE} dev xenbr0")), "{bridged}");
    assert_eq!(bridged.matches(&format!("{INSIDE}/24")).count(), 1, "{bridged}");
    over_ssh(&container, &["true"]);
    let seen = sh(&container, &here(&container, "docs/network-show.md", "ip -br link show master xenbr0"));
    let of_the_port = |line: &&str| line.contains("host0") && line.contains("master xenbr0");
    assert_eq!(seen.lines().filter(of_the_port).count(), 1, "bridge link: {seen}");
    assert!(seen.contains(&format!("default via {OUTSIDE} dev xenbr0")), "{seen}");
    sh(&container, "echo > /run/over; while systemctl --quiet is-active way-back; do sleep 0.1; done");
    assert_eq!(network(&container), before, "the service that slept");
    over_ssh(&container, &["true"]);

    // The same bridge, and what the page for 3 a.m. says.
    sh(&container, &here(&container, "docs/remote-server.md", "ip link set xenbr0 up"));
    sh(&container, &here(&container, "docs/recovery.md", "ip link set eno1 nomaster"));
    assert_eq!(network(&container), before, "by hand");
    over_ssh(&container, &["true"]);
}

#[test]
fn the_files_of_a_network_by_hand() {
    if skipped() {
        return;
    }
    let container = Container::boot("by-hand-files");
    let (file, ours) = (container.path("/etc/network/interfaces"), "/etc/network/interfaces.d/xenup");
    let before = container.read("/etc/network/interfaces");

    // From the store, by the digest that grep has named.
    sh(&container, "mkdir -p /var/lib/xenup/objects; cp /etc/network/interfaces /var/lib/xenup/objects/0123");
    std::fs::write(&file, "# ours\n").unwrap();
    std::fs::write(container.path(ours), "# ours\n").unwrap();
    let script =
        here(&container, "docs/recovery.md", "/var/lib/xenup/objects/DIGEST").replace("DIGEST", "0123");
    assert!(sh(&container, &script).contains("/var/lib/xenup/objects/0123"));
    assert_eq!(container.read("/etc/network/interfaces"), before);
    assert!(!container.path(ours).exists());

    // From the file itself, for every edit that the cases know but those of lines that go on over several.
    let script = here(&container, "docs/recovery.md", "/root/interfaces.kept");
    let mut edited = 0;
    for case in std::fs::read_dir(project().join("tests/cases/interfaces"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        let read = |folder: &str| std::fs::read_to_string(case.join(folder).join("etc/network/interfaces"));
        let (Ok(before), Ok(after)) = (read("."), read("expected")) else { continue };
        if !after.contains("#xenup") || before.contains("\\\n") || before.contains("\\\r\n") {
            continue;
        }
        std::fs::write(&file, after).unwrap();
        std::fs::write(container.path(ours), "# ours\n").unwrap();
        // ifquery refuses what some cases are about; it is asked after the files.
        let (files, asked) = script.rsplit_once('\n').unwrap();
        assert!(asked.starts_with("ifquery "), "{asked}");
        sh(&container, files);
        container.output(&["sh", "-c", asked]);
        // A last line that has no end was given one.
        let after = container.read("/etc/network/interfaces");
        assert_eq!(after.trim_end(), before.trim_end(), "{}", case.display());
        edited += 1;
    }
    println!("{edited} edited files were put back by sed");
    assert!(edited > 5);
}

#[test]
fn a_change_of_ones_own_confirmed_undone_and_disarmed() {
    if skipped() {
        return;
    }
    let mut container = Container::boot("by-hand-guard");
    let before = network(&container);
    // ifupdown2 is not what this machine has.
    let pair = block("docs/remote-server.md", "ifreload -a");
    let (guard, confirm) = pair.split_once('\n').unwrap();
    let guarded = |container: &Container, address: &str| {
        let command = guard.replace("ifreload -a", &format!("ip address add {address}/32 dev host0"));
        let output = container.output(&["sh", "-c", &command]);
        assert_eq!(output.status.code(), Some(6), "{}", String::from_utf8_lossy(&output.stderr));
        container.pid_of("xenup-guard-")
    };

    let pid = guarded(&container, "10.213.1.1");
    let words: Vec<&str> = confirm.strip_prefix("ssh server ").unwrap().split_whitespace().collect();
    over_ssh(&container, &words);
    container.wait_for_end(pid);
    assert!(network(&container).contains("10.213.1.1/32"));
    sh(&container, "ip address delete 10.213.1.1/32 dev host0");

    guarded(&container, "10.213.1.2");
    let lines = block("docs/recovery.md", "xenup rollback               # it is not");
    let (status, rest) = lines.split_once('\n').unwrap();
    let said = container.output(&["sh", "-c", status]);
    assert_eq!(said.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&said.stdout).contains("WAITS FOR CONFIRM"));
    let (_, rollback) = rest.split_once('\n').unwrap();
    // Nobody is there to be asked.
    sh(&container, &rollback.replace("xenup rollback ", "xenup rollback --yes "));
    assert_eq!(network(&container), before);

    // "The first thing to do is nothing, and the second is a reboot."
    guarded(&container, "10.213.1.4");
    assert!(container.path("/var/lib/xenup/guard").exists());
    container.output(&["sh", "-c", &block("docs/recovery.md", "systemctl reboot")]);
    container.boot_again();
    assert!(!network(&container).contains("10.213.1.4"));
    assert!(!container.path("/var/lib/xenup/guard").exists() && network(&container).contains(INSIDE));

    guarded(&container, "10.213.1.3");
    let disarm = block("docs/recovery.md", "rm -rf /var/lib/xenup/guard");
    // Nothing is left that the two kills would end, and systemctl says so where there is no such unit.
    container.output(&["sh", "-c", &disarm]);
    assert!(network(&container).contains("10.213.1.3/32"));
    for gone in ["/var/lib/xenup/guard", "/root/xenup-recovery.txt", "/etc/issue.d/xenup.issue"] {
        assert!(!container.path(gone).exists(), "{gone} is left");
    }
    // The guard is started once more after the kill, finds its program gone, and stays away.
    sh(
        &container,
        "while systemctl show --property=ActiveState 'xenup-guard-[0-9]*' | grep -qwE 'active|activating'; do sleep 0.1; done",
    );
}

#[test]
fn a_port_that_leads_to_a_guest() {
    if skipped() {
        return;
    }
    let container = Container::boot("by-hand-port");
    sh(&container, &block("docs/several-nics.md", "table ip mine"));
    let table = sh(&container, "nft list table ip mine");
    assert!(table.contains("dnat to 10.77.0.10:80"), "{table}");
    over_ssh(&container, &["true"]);
}

/// A cable of veth has no address that is the card's own for good; it is known by the one that it has.
#[test]
fn a_name_that_is_pinned_to_a_card() {
    if skipped() {
        return;
    }
    let container = Container::boot("by-hand-link");
    let mac = container.run(&["cat", "/sys/class/net/host0/address"]);
    let file = block("docs/several-nics.md", "PermanentMACAddress=");
    let file = file.replace("PermanentMACAddress=", "MACAddress=").replace("52:54:00:aa:bb:02", mac.trim());
    std::fs::write(container.path("/etc/systemd/network/10-eno2.link"), file).unwrap();
    let said = sh(&container, "udevadm test-builtin net_setup_link /sys/class/net/host0 2>&1");
    assert!(said.contains("ID_NET_NAME=eno2"), "{said}");
    assert!(!said.contains("ignoring"), "{said}");
}
