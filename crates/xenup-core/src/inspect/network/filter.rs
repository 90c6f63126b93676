//! The packet filter as the kernel has it.
//!
//! Decides: whether packets that are forwarded, or meant for dom0, are dropped by policy. Never: loads a module: a filter is only asked for where
//! the kernel has it already (iptables(8) would load it).

use std::time::Duration;

use xenup_machine::process::Query;

use super::super::reader::Reader;

/// A rule set of many thousand rules is still listed within this.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The rules, as text.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// `nft -s list ruleset`.
    pub nftables: String,
    /// `iptables-legacy -S`, filter table.
    pub legacy: String,
}

/// Gathers the rules.
pub(super) fn gather(reader: &Reader<'_>) -> Rules {
    let mut rules = Rules::default();
    if reader.exists("/sys/module/nf_tables")
        && let Some(said) = reader.answer(&Query::new("nft", ["-s", "list", "ruleset"]).within(TIMEOUT))
    {
        rules.nftables = said.text();
    }
    let tables = reader.quiet("/proc/net/ip_tables_names").unwrap_or_default();
    if tables.lines().any(|table| table == "filter")
        && let Some(said) = reader.answer(&Query::new("iptables-legacy", ["-S"]).within(TIMEOUT))
    {
        rules.legacy = said.text();
    }
    rules
}

impl Rules {
    /// Names the chain whose policy drops forwarded packets.
    pub fn forward_drop(&self) -> Option<String> {
        self.drop_at("forward")
    }

    /// Names the chain whose policy drops what is meant for dom0 itself.
    pub fn input_drop(&self) -> Option<String> {
        self.drop_at("input")
    }

    fn drop_at(&self, hook: &str) -> Option<String> {
        let chain = hook.to_uppercase();
        if self.legacy.lines().any(|line| line == format!("-P {chain} DROP")) {
            return Some(format!("ip filter {chain}"));
        }
        nft_drop(&self.nftables, hook)
    }
}

fn nft_drop(ruleset: &str, hook: &str) -> Option<String> {
    let hook = format!("hook {hook} ");
    let (mut table, mut chain) = ("", "");
    let mut found = ruleset.lines().filter_map(|line| {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("table ").and_then(|rest| rest.strip_suffix(" {")) {
            table = name;
        } else if let Some(name) = line.strip_prefix("chain ").and_then(|rest| rest.strip_suffix(" {")) {
            chain = name;
        }
        (line.contains(&hook) && line.contains("policy drop")).then(|| format!("{table} {chain}"))
    });
    // A chain for IPv4 says more than one for IPv6 alone.
    let all: Vec<String> = found.by_ref().collect();
    all.iter().find(|name| !name.starts_with("ip6 ")).or(all.first()).cloned()
}

#[cfg(test)]
mod tests {
    use super::nft_drop;

    #[test]
    fn dockers_forward_policy_is_seen() {
        let ruleset = "table ip6 filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n\
                       table ip filter {\n\tchain DOCKER {\n\t}\n\n\tchain FORWARD {\n\
                       \t\ttype filter hook forward priority filter; policy drop;\n\t\tcounter jump DOCKER-USER\n\t}\n}\n";
        assert_eq!(nft_drop(ruleset, "forward").as_deref(), Some("ip filter FORWARD"));
        assert_eq!(
            nft_drop(
                "table inet filter {\n\tchain forward {\n\t\ttype filter hook forward priority 0; policy accept;\n",
                "forward"
            ),
            None
        );
    }

    #[test]
    fn a_chain_of_another_hook_is_not_taken_for_dom0s_own() {
        let ruleset = "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n";
        assert_eq!(nft_drop(ruleset, "input").as_deref(), Some("inet filter input"));
        assert_eq!(nft_drop(ruleset, "forward"), None);
    }
}
