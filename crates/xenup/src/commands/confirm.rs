//! `confirm`: keeps a stage, on proof that the way in works.
//!
//! Decides: what proof this terminal can give. Never: whether it counts (the engine does, by the journal's times).

use xenup_engine::confirm::{ConfirmError, confirm};
use xenup_engine::error::EngineError;
use xenup_engine::event::Event;
use xenup_engine::guard::Session;
use xenup_engine::journal::Proof;
use xenup_engine::plan::Watch;
use xenup_engine::status::StageStatus;
use xenup_engine::store::Run;
use xenup_machine::Probe;
use xenup_machine::network::Network;
use xenup_system::Environment;
use xenup_system::session::{Session as Login, Terminal, session};

use super::{apply, events, machine, rollback};
use crate::args::Confirm;
use crate::error::{CommandError, Exit, Outcome};
use crate::guard::{Keeper, failing};
use crate::ui::Ui;

/// How to come by a connection that counts.
const ANEW: &str = "open a new connection (not a further window of this one) and run there: xenup confirm";

/// Of a further guarded stage of a rollback, which no plan of ours has; `rollback --deadline` is for the first.
const DEADLINE: u64 = 180;

/// Runs the verb.
pub fn run(ui: &mut Ui, args: &Confirm) -> Outcome {
    machine::need_root("confirm")?;
    let mut system = machine::running()?;
    let store = machine::store();
    let Some(run) = store.newest_unfinished(&system).map_err(machine::engine_error)? else {
        ui.status("nothing waits for a confirmation");
        return Ok(Exit::Done);
    };
    let environment = Environment::read();
    let login = session(&system, environment.pid, environment.ssh_connection.as_deref())
        .map_err(machine::machine_error)?;
    let network = system.network().map_err(machine::machine_error)?;
    let proof = proof(&login, &network, args.console)?;
    trial_holds(&run)?;
    let mut keeper = Keeper::new(&store);
    let mut show = |event: Event| events::show(ui, &event);
    let mut work = Session { machine: &mut system, keeper: &mut keeper, store: &store, events: &mut show };
    let stage = confirm(&mut work, &run.id, proof).map_err(refused)?;
    drop(system);
    let undone = run.status.stage(&stage).is_some_and(StageStatus::is_being_taken_back);
    let what = if undone { "stays undone" } else { "is kept" };
    ui.result(format!("stage {stage} of run {} {what}", run.id));
    let machine = machine::running()?;
    let run = store.load(&machine, &run.id).map_err(machine::engine_error)?;
    // The plan that was agreed to has more stages; each that can cut the way in waits for its own confirm.
    match (run.status.is_unfinished(), run.status.rolling_back) {
        (false, _) => Ok(Exit::Done),
        (true, false) => apply::go_on(ui, &run, false),
        (true, true) => {
            ui.status(format!("going on with the rollback of run {}", run.id));
            rollback::refuse_under_guests(&run)?;
            rollback::go_on(ui, &run.id, DEADLINE)
        }
    }
}

/// What this terminal proves.
fn proof(login: &Login, network: &Network, console: bool) -> Result<Proof, CommandError> {
    let refuse = |words: String| CommandError::refused(words);
    match (&login.connection, &login.terminal, console) {
        (None, Terminal::Console(_), true) => Ok(Proof::Console),
        (Some(_), _, true) => Err(refuse(
            "--console was given over an SSH connection, which is not the machine's console".into(),
        )
        .hinted("over a connection made after the change, run: xenup confirm")),
        (None, terminal, true) => Err(refuse(format!(
            "{} is not a console of this machine (tty1, ttyS0, hvc0 are)",
            terminal_name(terminal)
        ))
        .hinted("log in at the machine's screen or serial line, or open a new SSH connection")),
        (Some(connection), _, false) if connection.comes_from_outside(network) => Ok(Proof::NewConnection {
            started_boottime_ns: connection.started_ns,
            from: connection.peer.map_or_else(|| "outside".to_owned(), |peer| peer.to_string()),
        }),
        (Some(connection), _, false) if connection.peer.is_none() => {
            Err(refuse("where this connection comes from is not known, so it proves nothing".into())
                .hinted("at the machine's own console: xenup confirm --console"))
        }
        (Some(_), _, false) => Err(refuse(
            "this connection comes from the machine itself, which proves nothing about its network".into(),
        )
        .hinted("connect from another machine and run there: xenup confirm")),
        (None, Terminal::Console(_), false) => {
            Err(refuse("no inbound connection leads to this terminal".into())
                .hinted("to vouch for the network from this console: xenup confirm --console"))
        }
        (None, ..) => {
            Err(refuse("no inbound SSH connection leads to this terminal (tmux and screen hide it)".into())
                .hinted(ANEW))
        }
    }
}

fn terminal_name(terminal: &Terminal) -> String {
    match terminal {
        Terminal::Console(name) | Terminal::Pseudo(name) | Terminal::Other(name) => name.clone(),
        Terminal::None => "a process without a terminal".to_owned(),
    }
}

/// In a trial boot its checks must hold: a confirm flips the default to what was tried.
fn trial_holds(run: &Run) -> Result<(), CommandError> {
    let Some(waiting) = run.status.awaiting() else { return Ok(()) };
    let is_trial = waiting.guard.as_ref().is_some_and(|g| g.watch == Watch::TrialBoot && g.trial.is_some());
    match is_trial.then(|| failing(run, &waiting.id)).flatten() {
        Some(why) => Err(CommandError::refused(format!("the trial boot is not good: {why}"))
            .hinted("mend it before the deadline and confirm again, or let the machine go back")),
        None => Ok(()),
    }
}

fn refused(error: EngineError) -> CommandError {
    match &error {
        EngineError::Confirm(ConfirmError::OldConnection { .. }) => CommandError::refused(
            "this connection was opened before the switch; open a new one and run: xenup confirm",
        )
        .hinted(ANEW),
        EngineError::Confirm(ConfirmError::TrialNotBegun { .. }) => {
            CommandError::refused(error).hinted("reboot into the trial: systemctl reboot")
        }
        EngineError::Confirm(ConfirmError::NothingToConfirm { .. }) => {
            CommandError::refused(error).hinted("xenup status")
        }
        _ => machine::engine_error(error),
    }
}

#[cfg(test)]
mod tests {
    use xenup_engine::journal::Proof;
    use xenup_machine::network::{Address, LinkAddress, Network};
    use xenup_system::session::{Connection, Session, Terminal};

    use super::proof;

    fn login(terminal: Terminal, peer: Option<&str>) -> Session {
        let connection = peer.map(|peer| Connection {
            pid: 7,
            started_ns: 5,
            local: None,
            peer: Some(peer.parse().unwrap()),
        });
        Session { terminal, connection, chain: Vec::new() }
    }

    #[test]
    fn only_a_connection_from_outside_or_the_console_is_a_proof() {
        let own =
            LinkAddress { link: "eno1".into(), address: Address::new("192.0.2.10".parse().unwrap(), 24) };
        let network = Network { addresses: vec![own], ..Network::default() };
        let (pts, tty) = (|| Terminal::Pseudo("pts/0".into()), || Terminal::Console("ttyS0".into()));
        let outside = Proof::NewConnection { started_boottime_ns: 5, from: "198.51.100.7".into() };
        // terminal, peer, --console, the proof
        for (terminal, peer, console, expected) in [
            (pts(), Some("198.51.100.7"), false, Some(outside)),
            (pts(), Some("198.51.100.7"), true, None),
            (tty(), Some("198.51.100.7"), true, None),
            (pts(), Some("127.0.0.1"), false, None),
            (pts(), Some("192.0.2.10"), false, None),
            (pts(), None, false, None),
            (pts(), None, true, None),
            (tty(), None, true, Some(Proof::Console)),
            (tty(), None, false, None),
            (Terminal::None, None, true, None),
        ] {
            let login = login(terminal, peer);
            let got = proof(&login, &network, console).ok();
            assert_eq!(got, expected, "{:?} {peer:?} --console={console}", login.terminal);
        }
    }
}
