//! The commands by which a Debian becomes a Xen host and a Debian again: README and handbook show them, the scenarios type
//! them.
//!
//! Decides: their words, once for both. Never: what a scenario adds so that nobody is asked (`--yes`) or so that an emulated
//! machine has time (`--deadline`).

pub(super) const INSPECT: &str = "xenup inspect";
pub(super) const INIT: &str = "xenup init";
pub(super) const PLAN: &str = "xenup plan";
pub(super) const APPLY: &str = "xenup apply";
/// Over a new connection.
pub(super) const CONFIRM: &str = "xenup confirm";
pub(super) const CONFIRM_AT_CONSOLE: &str = "xenup confirm --console";
pub(super) const STATUS: &str = "xenup status";
pub(super) const ROLLBACK: &str = "xenup rollback";
pub(super) const REBOOT: &str = "systemctl reboot";
pub(super) const GUESTS: &str = "xl list";

#[cfg(test)]
mod tests {
    use super::{APPLY, CONFIRM, CONFIRM_AT_CONSOLE, GUESTS, INIT, INSPECT, PLAN, REBOOT, ROLLBACK, STATUS};

    /// The commands of the one block of a page that has this in it, without their comments.
    fn shown(page: &str, has: &str) -> Vec<String> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
        let text = xenup_system::files::read_text(&path).unwrap();
        let blocks = text.split("```").skip(1).step_by(2).filter_map(|part| part.split_once('\n'));
        let found: Vec<&str> = blocks.map(|(_, body)| body).filter(|body| body.contains(has)).collect();
        assert_eq!(found.len(), 1, "{page} has {} blocks with `{has}`", found.len());
        let commands = found[0].lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        commands.filter(|command| !command.is_empty()).map(str::to_owned).collect()
    }

    /// A scenario does by ssh from outside what the page does from home.
    fn from_home(command: &str) -> String {
        format!("ssh server {command}")
    }

    #[test]
    fn the_pages_show_what_a_scenario_types() {
        assert_eq!(
            shown("README.md", "xenup rollback    # plain Debian again"),
            [INSPECT, INIT, PLAN, APPLY, CONFIRM, ROLLBACK]
        );
        assert_eq!(
            shown("docs/first-host.md", "xenup confirm --console    # within 15 minutes"),
            [APPLY, CONFIRM_AT_CONSOLE, REBOOT, CONFIRM_AT_CONSOLE, STATUS, GUESTS]
        );
        assert_eq!(
            shown("docs/remote-server.md", "xenup apply --deadline 300"),
            [format!("{APPLY} --deadline 300"), from_home(CONFIRM)]
        );
        assert_eq!(
            shown("docs/remote-server.md", "WAITS FOR CONFIRM, and until when"),
            [REBOOT.to_owned(), from_home(STATUS), from_home(CONFIRM)]
        );
    }
}
