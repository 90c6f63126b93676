//! The guard on a running Debian: systemd, ifupdown, sshd, all in a container. Needs root, and is skipped elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "the test drives a container"
)]

#[allow(dead_code, reason = "each test binary uses its part")]
mod container;

use container::{Container, INSIDE, skipped};
use serde_json::{Value, json};

/// The shortest that `apply` takes.
const DEADLINE: &str = "20";
/// The file that every plan here changes.
const FILE: &str = "/etc/network/interfaces.d/guarded";

/// What of the machine has to be as it was.
fn picture(container: &Container) -> String {
    let files = container.run(&[
        "sh",
        "-c",
        "cd / && find etc/network etc/systemd/system etc/issue.d etc/init.d root/xenup-recovery.txt \
         ! -type d -exec stat -c '%n %U:%G %a %Y %N' {} + -exec md5sum {} + 2>/dev/null | sort",
    ]);
    let network =
        container.run(&["sh", "-c", "ip -o -4 address show; ip route show; ip -o link show type bridge"]);
    let masked: Vec<String> =
        network.lines().map(|line| line.split("valid_lft").next().unwrap().trim().to_owned()).collect();
    format!("{files}{}", masked.join("\n"))
}

fn run_step(id: &str, forward: &[&str]) -> Value {
    let command = json!({"program": forward[0], "args": &forward[1..], "timeout_seconds": 600});
    json!({"id": id, "title": id, "why": "a test", "undo": "command", "lasts": "on-disk",
           "action": {"action": "run", "forward": command}})
}

/// A plan of one guarded stage: a file written, then `steps`.
fn plan(container: &Container, steps: &[Value]) {
    let file = json!({"id": "write-file", "title": "Write a file", "why": "a test", "undo": "restore",
        "lasts": "on-disk", "action": {"action": "file", "path": FILE,
        "state": {"want": "text", "text": "# guarded\n", "mode": 420}}});
    let mut all = vec![file];
    all.extend_from_slice(steps);
    let plan = json!({"schema": 1, "machine_id": container.read("/etc/machine-id").trim(), "purpose": "a test",
        "stages": [{"id": "network", "title": "Change the network", "steps": all,
                    "guard": {"watch": "network", "deadline_seconds": 20}}]});
    std::fs::write(container.path("/root/plan.json"), plan.to_string()).unwrap();
}

/// A step that takes the machine's only address away.
fn cut() -> Value {
    json!({"id": "cut", "title": "Take the address away", "why": "a test", "undo": "restore", "lasts": "this-boot",
        "action": {"action": "links", "touches": ["host0"], "ops": [{"op": "delete-address", "link": "host0",
            "address": {"ip": INSIDE, "prefix": 24, "flags": 128}}]}})
}

fn apply(container: &Container) -> i32 {
    let args = ["xenup", "apply", "/root/plan.json", "--yes", "--deadline", DEADLINE];
    let output = container.output(&args);
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    output.status.code().unwrap()
}

/// Waits until no guard is there, and checks that nothing of the run is left.
fn undone(container: &Container, before: &str) {
    container.guards_end();
    assert_eq!(picture(container), before, "{}", container.logs());
}

#[test]
fn a_cut_link_comes_back_when_nobody_confirms() {
    if skipped() {
        return;
    }
    let container = Container::boot("deadline");
    let before = picture(&container);
    plan(&container, &[cut()]);
    assert_eq!(apply(&container), 6);
    assert!(container.path(FILE).exists() && !container.run(&["ip", "address"]).contains(INSIDE));
    assert!(container.read("/root/xenup-recovery.txt").contains("ip address replace"));
    undone(&container, &before);
}

#[test]
fn a_stopped_apply_is_ended_with_its_foreground_and_undone() {
    if skipped() {
        return;
    }
    let container = Container::boot("stopped");
    let before = picture(&container);
    plan(&container, &[cut(), run_step("block", &["sh", "-c", "echo blocked; exec sleep 7200"])]);
    let args = ["xenup", "apply", "/root/plan.json", "--yes", "--deadline", DEADLINE];
    let mut client = container.command(&args).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(client.stderr.take().unwrap()));
    assert!(lines.map(Result::unwrap).any(|line| line.contains("blocked")));
    let pid = container.pid_of("xenup-apply-");
    container.run(&["kill", "-STOP", &pid.to_string()]);
    undone(&container, &before);
    let left = container.run(&["sh", "-c", "ps -eo args | grep -c '^sleep 7200' || true"]);
    assert_eq!(left.trim(), "0", "the step's program outlived its run");
    assert_eq!(
        client.wait().unwrap().code(),
        Some(3),
        "the client must not take a killed run for a good one"
    );
}

#[test]
fn a_terminal_that_nobody_reads_does_not_hold_the_work_up() {
    if skipped() {
        return;
    }
    let container = Container::boot("unread");
    let before = picture(&container);
    plan(&container, &[run_step("talk", &["seq", "200000"])]);
    // script(1) gives a pseudo-terminal; its own output is a pipe that nobody reads, so the client blocks on it.
    let line = format!("xenup apply /root/plan.json --yes --deadline {DEADLINE}");
    let mut client = container
        .command(&["script", "-qec", &line, "/dev/null"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    container.run(&["sh", "-c", "until ls /run/xenup/xenup-apply-*.state 2>/dev/null; do :; done"]);
    container.wait_for_end(container.pid_of("xenup-apply-"));
    assert!(client.try_wait().unwrap().is_none(), "the client was to hang on its terminal");
    assert!(container.run(&["sh", "-c", "cat /run/xenup/xenup-apply-*.state"]).contains("exit 6"));
    undone(&container, &before);
    client.kill().unwrap();
    client.wait().unwrap();
}

#[test]
fn the_service_manager_may_reload_reexecute_isolate_and_kill() {
    if skipped() {
        return;
    }
    let container = Container::boot("reload");
    let before = picture(&container);
    plan(&container, &[cut()]);
    assert_eq!(apply(&container), 6);
    let first = container.pid_of("xenup-guard-");
    for _ in 0..3 {
        container.run(&["systemctl", "daemon-reload"]);
    }
    container.run(&["systemctl", "daemon-reexec"]);
    container.run(&["systemctl", "isolate", "multi-user.target"]);
    let unit = container.run(&["sh", "-c", "cd /run/xenup && basename xenup-guard-*.state .state"]);
    let stopped = container.output(&["systemctl", "stop", unit.trim()]);
    assert!(!stopped.status.success(), "a stop by hand must be refused");
    container.run(&["kill", "-KILL", &first.to_string()]);
    container.wait_for_end(first);
    container.run(&[
        "sh",
        "-c",
        &format!("until ! grep -q '^{first} ' /run/xenup/xenup-guard-*.state; do :; done"),
    ]);
    undone(&container, &before);
}

#[test]
fn a_purge_while_pending_leaves_the_guard_alone() {
    if skipped() {
        return;
    }
    let container = Container::boot("purge");
    let before = picture(&container);
    plan(&container, &[cut()]);
    assert_eq!(apply(&container), 6);
    let postrm = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../debian/xenup.postrm");
    std::fs::copy(postrm, container.path("/root/postrm")).unwrap();
    container.run(&["rm", "/usr/sbin/xenup"]);
    container.run(&["sh", "/root/postrm", "purge"]);
    undone(&container, &before);
}

#[test]
fn a_reboot_while_pending_undoes_it_before_the_network_starts() {
    if skipped() {
        return;
    }
    let mut container = Container::boot("reboot");
    let before = picture(&container);
    // Were it still there when ifupdown runs, the machine would come up with this address.
    let wrong = "auto stray0\niface host0 inet static\n\taddress 10.213.0.77/24\n";
    plan(&container, &[run_step("address", &["sh", "-c", &format!("printf '{wrong}' >> {FILE}")])]);
    assert_eq!(apply(&container), 6);
    container.reboot();
    assert_eq!(without_kept(&container), before, "{}", container.logs());
    assert!(
        !container.run(&["ifquery", "--list", "--all"]).contains("stray0"),
        "what gave way is still read"
    );
    let order = container.run(&[
        "sh",
        "-c",
        "systemctl show -P ExecMainExitTimestampMonotonic xenup-guard-boot.service; \
        systemctl show -P ExecMainStartTimestampMonotonic networking.service",
    ]);
    let times: Vec<u64> = order.lines().map(|line| line.parse().unwrap()).collect();
    assert!(times[0] > 0 && times[0] <= times[1], "{times:?}");
}

#[test]
fn a_confirm_counts_only_over_a_new_connection() {
    if skipped() {
        return;
    }
    let container = Container::boot("confirm");
    plan(&container, &[]);
    let master = container.path("/../").join(format!("mux-{}", std::process::id()));
    let socket = format!("ControlPath={}", master.display());
    let old = ["-o", "ControlMaster=auto", "-o", "ControlPersist=yes", "-o", &socket];
    assert!(container.ssh(&old, &["true"]).status().unwrap().success());
    assert_eq!(apply(&container), 6);
    let guard = container.pid_of("xenup-guard-");
    let refused = container.ssh(&old, &["xenup", "confirm"]).output().unwrap();
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(4), "{words}");
    assert!(words.contains("opened before the switch"), "{words}");
    let detached = container.output(&["xenup", "confirm"]);
    assert_eq!(detached.status.code(), Some(4), "a process of no session proves nothing");
    let console = container.ssh(&["-tt"], &["xenup", "confirm", "--console"]).output().unwrap();
    assert_eq!(console.status.code(), Some(4), "SSH is not a console");
    let new = container.ssh(&[], &["xenup", "confirm"]).output().unwrap();
    assert_eq!(new.status.code(), Some(0), "{}", String::from_utf8_lossy(&new.stderr));
    container.wait_for_end(guard);
    assert_eq!(container.read(FILE), "# guarded\n");
    for gone in [
        "/etc/systemd/system/xenup-guard-boot.service",
        "/var/lib/xenup/guard",
        "/root/xenup-recovery.txt",
        "/etc/issue.d/xenup.issue",
    ] {
        assert!(std::fs::symlink_metadata(container.path(gone)).is_err(), "{gone} is left");
    }
    let _ = container.ssh(&old, &["-O", "exit"]).output();
}

#[test]
fn the_card_alone_brings_the_machine_back_without_the_binary() {
    if skipped() {
        return;
    }
    let container = Container::boot("card");
    let before = picture(&container);
    plan(&container, &[cut()]);
    assert_eq!(apply(&container), 6);
    let card = container.read("/root/xenup-recovery.txt");
    // First what ends the guard, so that nothing but the card's own commands can restore anything.
    let (by_hand, keep) = card.split_once("TO KEEP THE CHANGE").unwrap();
    let commands = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix("    ")).map(str::to_owned).collect()
    };
    container.run(&["rm", "/usr/sbin/xenup"]);
    for line in commands(keep).iter().chain(&commands(by_hand.split_once("WITHOUT XENUP").unwrap().1)) {
        if line != "systemctl reboot" {
            container.run(&["sh", "-c", line]);
        }
    }
    container.run(&["rm", "-f", "/root/xenup-recovery.txt"]);
    assert_eq!(picture(&container), before);
}

#[test]
fn a_command_by_hand_is_undone_with_all_it_made() {
    if skipped() {
        return;
    }
    let container = Container::boot("by-hand");
    let before = picture(&container);
    let script = "ip link add stray type bridge; ip link set host0 master stray; ip address flush dev host0; \
                  echo '# mine' >> /etc/network/interfaces; echo '# new' > /etc/network/interfaces.d/stray";
    let output = container.output(&["xenup", "guard", "--deadline", DEADLINE, "--", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(6), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(container.read("/etc/network/interfaces").contains("# mine"));
    container.wait_for_end(container.pid_of("xenup-guard-"));
    assert_eq!(without_kept(&container), before, "{}", container.logs());
}

#[test]
fn a_trial_boot_that_nobody_confirms_goes_back_by_itself() {
    if skipped() {
        return;
    }
    let mut container = Container::boot("trial");
    std::fs::write(container.path("/etc/trial"), "yes\n").unwrap();
    let before = picture(&container);
    trial(&container);
    assert_eq!(apply(&container), 6);
    container.reboot();
    assert_eq!(container.run(&["systemctl", "is-active", "xenup-trial.service"]).trim(), "active");
    assert!(container.path(FILE).exists(), "the trial is what was applied");
    container.boot_again();
    assert_eq!(picture(&container), before, "{}", container.logs());
    assert!(!container.path("/var/lib/xenup/guard").exists());
}

#[test]
fn the_cards_own_commands_keep_a_trial_whose_binary_is_gone() {
    if skipped() {
        return;
    }
    let mut container = Container::boot("trial-kept");
    std::fs::write(container.path("/etc/trial"), "yes\n").unwrap();
    trial(&container);
    assert_eq!(apply(&container), 6);
    container.reboot();
    let boot = container.run(&["cat", "/proc/sys/kernel/random/boot_id"]);
    let card = container.read("/root/xenup-recovery.txt");
    let (_, keep) = card.split_once("TO KEEP THE CHANGE").unwrap();
    container.run(&["rm", "/usr/sbin/xenup"]);
    for line in keep.lines().filter_map(|line| line.strip_prefix("    ")) {
        container.run(&["sh", "-c", line]);
    }
    // Well past the deadline, which is 20 seconds after the trial began.
    container.run(&["sleep", "30"]);
    assert_eq!(container.run(&["cat", "/proc/sys/kernel/random/boot_id"]), boot, "{}", container.logs());
    assert!(container.path(FILE).exists());
    container.reboot();
    assert!(container.path(FILE).exists(), "a later boot undid it");
}

#[test]
fn what_others_make_while_a_command_waits_is_theirs() {
    if skipped() {
        return;
    }
    let container = Container::boot("by-hand-others");
    let script = "ip link add its type bridge; echo '# its' > /etc/network/interfaces.d/its";
    let args = ["xenup", "guard", "--deadline", DEADLINE, "--", "sh", "-c", script];
    assert_eq!(container.output(&args).status.code(), Some(6));
    container.run(&["ip", "link", "add", "theirs", "type", "bridge"]);
    container.run(&["sh", "-c", "echo '# theirs' > /etc/network/interfaces.d/theirs"]);
    container.wait_for_end(container.pid_of("xenup-guard-"));
    let links = container.run(&["ip", "-o", "link", "show", "type", "bridge"]);
    assert!(links.contains("theirs") && !links.contains("its:"), "{links}\n{}", container.logs());
    assert_eq!(container.run(&["ls", "/etc/network/interfaces.d"]).trim(), "theirs");
    // Confirmed, such a run is nobody's to undo.
    assert_eq!(container.output(&args).status.code(), Some(6));
    over_ssh(&container, &["xenup", "confirm"], 0);
    over_ssh(&container, &["xenup", "rollback", "--yes"], 0);
    let run = container.run(&["sh", "-c", "ls /var/lib/xenup/runs | tail -n 1"]);
    let said = over_ssh(&container, &["xenup", "rollback", "--yes", run.trim()], 4);
    assert!(said.contains("a command of your own that was confirmed"), "{said}");
    assert_eq!(container.read("/etc/network/interfaces.d/its"), "# its\n");
}

/// A plan of one stage whose guard watches over a trial boot, which /etc/trial tells.
fn trial(container: &Container) {
    plan(container, &[]);
    let mut trial: Value = serde_json::from_str(&container.read("/root/plan.json")).unwrap();
    trial["stages"][0]["guard"] = json!({"watch": "trial-boot", "deadline_seconds": 20,
        "trial": {"condition": "file-says", "path": "/etc/trial", "text": "yes"}});
    std::fs::write(container.path("/root/plan.json"), trial.to_string()).unwrap();
}

/// A plan of a stage without a guard, and one that makes the machine's only NIC the port of a bridge: applied and
/// confirmed. `text` is what the file of the network says then.
fn confirmed_bridge(container: &Container, text: &str) {
    let mac = container.run(&["cat", "/sys/class/net/host0/address"]);
    let address = json!({"ip": INSIDE, "prefix": 24, "flags": 128});
    let plain = json!({"stp": false, "forward_delay": 0, "vlan_filtering": false});
    let ops = json!([
        {"op": "create-bridge", "link": "br0", "mac": mac.trim(), "bridge": plain},
        {"op": "set-up", "link": "br0", "up": true},
        {"op": "add-address", "link": "br0", "address": address},
        {"op": "set-master", "link": "host0", "master": "br0"},
        {"op": "delete-address", "link": "host0", "address": address}]);
    let file = |id: &str, path: &str, text: &str| {
        json!({"id": id, "title": id, "why": "a test", "undo": "restore", "lasts": "on-disk", "risks": ["cuts-network"],
            "action": {"action": "file", "path": path, "state": {"want": "text", "text": text, "mode": 420}}})
    };
    let switch = json!({"id": "switch", "title": "Make the bridge", "why": "a test", "undo": "restore",
        "lasts": "this-boot", "risks": ["cuts-network"],
        "action": {"action": "links", "touches": ["host0", "br0"], "ops": ops}});
    let guard = json!({"watch": "network", "deadline_seconds": 120});
    let plan = json!({"schema": 1, "machine_id": container.read("/etc/machine-id").trim(), "purpose": "a test",
        "stages": [
            {"id": "prepare", "title": "Prepare", "steps": [file("prepare", "/etc/network/prepared", "yes\n")]},
            {"id": "network", "title": "The bridge", "steps": [file("stanza", FILE, text), switch], "guard": guard},
            {"id": "later", "title": "Later", "steps": [file("later", "/etc/network/later", "yes\n")]}]});
    std::fs::write(container.path("/root/plan.json"), plan.to_string()).unwrap();
    let args = ["xenup", "apply", "/root/plan.json", "--yes", "--deadline", "120"];
    let applied = container.output(&args);
    assert_eq!(applied.status.code(), Some(6), "{}", String::from_utf8_lossy(&applied.stderr));
    over_ssh(container, &["xenup", "confirm"], 0);
    assert!(container.path("/etc/network/later").exists());
}

/// Runs a command over a new connection; returns what it said.
fn over_ssh(container: &Container, words: &[&str], code: i32) -> String {
    let output = container.ssh(&[], words).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// A rollback up to where it waits: the NIC has its address back, and nothing but the network is undone.
fn rolled_back_so_far(container: &Container, deadline: &str) {
    over_ssh(container, &["xenup", "rollback", "--yes", "--deadline", deadline], 6);
    let links = container.run(&["ip", "-o", "-4", "address"]);
    assert!(links.contains("host0") && !links.contains("br0"), "{links}");
    assert!(!container.path(FILE).exists());
    assert!(
        container.path("/etc/network/prepared").exists() && container.path("/etc/network/later").exists()
    );
}

#[test]
fn a_confirmed_network_is_rolled_back_under_a_guard_and_confirmed() {
    if skipped() {
        return;
    }
    let container = Container::boot("back");
    let before = picture(&container);
    confirmed_bridge(&container, "# the bridge\n");
    let master = container.path("/../").join(format!("mux-back-{}", std::process::id()));
    let socket = format!("ControlPath={}", master.display());
    let old = ["-o", "ControlMaster=auto", "-o", "ControlPersist=yes", "-o", &socket];
    assert!(container.ssh(&old, &["true"]).status().unwrap().success());
    rolled_back_so_far(&container, "120");
    let guard = container.pid_of("xenup-guard-");
    let status = over_ssh(&container, &["xenup", "status"], 6);
    assert!(status.contains("stage network is undone, and comes back in"), "{status}");
    assert!(container.read("/root/xenup-recovery.txt").starts_with("A ROLLBACK"));
    assert!(container.read("/etc/issue.d/xenup.issue").contains("the rollback of stage network"));
    let again = over_ssh(&container, &["xenup", "rollback", "--yes"], 6);
    assert!(again.contains("waits for a confirm; nothing was done"), "{again}");
    let refused = container.ssh(&old, &["xenup", "confirm"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(4), "a connection older than the rollback proves nothing");
    let said = over_ssh(&container, &["xenup", "confirm"], 0);
    assert!(said.contains("Rolled back: the machine is as it was before the run"), "{said}");
    container.wait_for_end(guard);
    assert_eq!(picture(&container), before, "{}", container.logs());
    assert!(!container.path("/var/lib/xenup/guard").exists(), "the guard's files are still there");
    let _ = container.ssh(&old, &["-O", "exit"]).output();
}

#[test]
fn a_rollback_that_nobody_confirms_brings_the_bridge_back() {
    if skipped() {
        return;
    }
    let container = Container::boot("unconfirmed-back");
    confirmed_bridge(&container, "# the bridge\n");
    // A link that is made again has another number.
    let unnumbered = |picture: &str| -> Vec<String> {
        let number = |c: char| c.is_ascii_digit();
        picture
            .lines()
            .map(|line| {
                line.split_once(": ")
                    .filter(|(n, _)| n.chars().all(number))
                    .map_or(line, |(_, rest)| rest)
                    .to_owned()
            })
            .collect()
    };
    let applied = picture(&container);
    rolled_back_so_far(&container, DEADLINE);
    container.wait_for_end(container.pid_of("xenup-guard-"));
    assert_eq!(unnumbered(&picture(&container)), unnumbered(&applied), "{}", container.logs());
    assert!(!container.path("/var/lib/xenup/guard").exists(), "the guard's files are still there");
    let status = over_ssh(&container, &["xenup", "status"], 0);
    assert!(status.contains("stage network came back, because nobody confirmed it in time"), "{status}");
    // The card alone does it as well, with the binary gone.
    rolled_back_so_far(&container, "3600");
    let card = container.read("/root/xenup-recovery.txt");
    let (by_hand, keep) = card.split_once("TO KEEP THE ROLLBACK").unwrap();
    let typed = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix("    ")).map(str::to_owned).collect()
    };
    container.run(&["rm", "/usr/sbin/xenup"]);
    for line in typed(keep).iter().chain(&typed(by_hand.split_once("WITHOUT XENUP").unwrap().1)) {
        if line != "systemctl reboot" {
            container.run(&["sh", "-c", line]);
        }
    }
    container.run(&["rm", "-f", "/root/xenup-recovery.txt"]);
    let timeless = |picture: &str| -> Vec<String> {
        let other = |line: &String| !line.contains(FILE.trim_start_matches('/'));
        unnumbered(picture).into_iter().filter(other).collect()
    };
    assert_eq!(timeless(&picture(&container)), timeless(&applied));
    assert_eq!(container.read(FILE), "# the bridge\n");
}

#[test]
fn a_reboot_while_a_rollback_waits_brings_the_network_back_before_it_starts() {
    if skipped() {
        return;
    }
    let mut container = Container::boot("reboot-back");
    // ifupdown gives the machine this address where the file is there when the network starts.
    confirmed_bridge(&container, "iface host0 inet static\n\taddress 10.213.0.77/24\n");
    let files = |container: &Container| -> Vec<String> {
        picture(container).lines().filter(|line| line.contains("etc/")).map(str::to_owned).collect()
    };
    let applied = files(&container);
    rolled_back_so_far(&container, "3600");
    container.reboot();
    assert_eq!(files(&container), applied, "{}", container.logs());
    let addresses = container.run(&["ip", "-o", "-4", "address"]);
    assert!(
        addresses.contains("10.213.0.77"),
        "the file came back after the network had started: {addresses}"
    );
    let status = over_ssh(&container, &["xenup", "status"], 0);
    assert!(status.contains("stage network came back, because the machine was started anew"), "{status}");
    assert!(!container.path("/var/lib/xenup/guard").exists());
}

/// The picture without the copies that the engine keeps of what gave way.
fn without_kept(container: &Container) -> String {
    let lines = picture(container);
    lines.lines().filter(|line| !line.contains(".xenup-kept-")).collect::<Vec<_>>().join("\n")
}
