//! Guests that run, from `xl list -l`. Decides what is taken from its JSON; never runs it.

use serde_json::Value;

use super::report::{Effect, Evidence, GuestReport, Reason, Verdict};
use super::world::World;

/// A guest that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Running {
    /// Its name.
    pub name: String,
    /// The most memory it may have, in MiB.
    pub memory: Option<u64>,
}

/// Reads `xl list -l`; `None` where it is no list. dom0 is left out.
pub(super) fn parse(text: &str) -> Option<Vec<Running>> {
    let value: Value = serde_json::from_str(text).ok()?;
    let guests = value.as_array()?.iter().filter(|guest| guest.get("domid") != Some(&Value::from(0)));
    let running = guests.filter_map(|guest| {
        let config = guest.get("config")?;
        let name = config.get("c_info")?.get("name")?.as_str()?;
        let kib = config.get("b_info").and_then(|info| info.get("max_memkb")).and_then(Value::as_u64);
        Some(Running { name: name.to_owned(), memory: kib.map(|kib| kib / 1024) })
    });
    Some(running.collect())
}

/// Guests that run and have no file among those that were read.
pub(super) fn without_a_file(world: &World<'_>, known: &[GuestReport]) -> Vec<GuestReport> {
    let running = world.running.iter().flatten();
    let loose = running.filter(|guest| known.iter().all(|known| known.name != guest.name));
    let report = |guest: &Running| {
        let what = "it runs, and no guest file that was read has its name";
        let change = format!("write down what it is while it runs: xl list -l {}", guest.name);
        let reason = Reason::new("audit-no-file", Effect::NotKnown, what)
            .seen(Evidence::words("xl list -l"))
            .advice(change);
        GuestReport {
            name: guest.name.clone(),
            path: None,
            kind: None,
            memory: guest.memory,
            auto: Vec::new(),
            running: Some(true),
            now: None,
            verdict: Verdict::CannotBeTold,
            boots: None,
            reasons: vec![reason],
            fix: None,
        }
    };
    loose.map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn guests_are_read_from_the_list_and_dom0_is_none() {
        let text = r#"[ {"domid": 0, "config": {"c_info": {"name": "Domain-0"}}},
            {"domid": 3, "config": {"c_info": {"type": "pv", "name": "web"}, "b_info": {"max_memkb": 524288}}},
            {"domid": 4, "config": {}}, 7 ]"#;
        let guests = parse(text).unwrap();
        assert_eq!(guests.len(), 1);
        assert_eq!((guests[0].name.as_str(), guests[0].memory), ("web", Some(512)));
        assert_eq!((parse("[]"), parse("{}"), parse("no")), (Some(Vec::new()), None, None));
    }
}
