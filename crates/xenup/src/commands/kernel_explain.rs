//! `xenup kernel explain`, `kernel diff`: what a symbol is, and how two configurations differ. Decides how the answers
//! read; changes nothing.

use std::path::Path;

use xenup_core::kernel::compare::{Compared, Differs, compare};
use xenup_core::kernel::describe::{Block, Described, describe};
use xenup_core::kernel::kconfig::Values;
use xenup_core::kernel::profile::{debian, near_symbol};
use xenup_system::files;

use crate::args::{KernelDiff, KernelExplain};
use crate::commands::kernel_config::shelf;
use crate::commands::kernel_source::{Extent, KernelSource};
use crate::commands::print_json;
use crate::error::{CommandError, Exit, Outcome};
use crate::ui::Ui;

/// A configuration has 0.3 MB.
const CONFIG_LIMIT: u64 = 16 << 20;
/// How many of a long list are shown.
const SHOWN: usize = 12;

/// Says what a symbol is.
pub fn explain(ui: &mut Ui, args: &KernelExplain) -> Outcome {
    let values = args.config.as_deref().map(values).transpose()?;
    let source = KernelSource::open(ui, args.source.as_deref(), Extent::Configuration)?;
    let name = args.symbol.strip_prefix("CONFIG_").unwrap_or(&args.symbol);
    let linux = source.linux.to_string();
    let Some(found) = describe(name, &source.tree, &linux, values.as_ref(), &shelf()?) else {
        let error = CommandError::usage(format!("Linux {linux} has no symbol `{}`", name.escape_debug()));
        return Err(match near_symbol(&source.tree, name) {
            Some(near) => error.hinted(format!("did you mean {near}?")),
            None => error.hinted(format!("grep -rw {name} --include=Kconfig* {}", source.folder.display())),
        });
    };
    if args.json {
        return print_json(ui, &serde_json::to_value(&found).map_err(CommandError::failed)?);
    }
    page(ui, &found);
    Ok(Exit::Done)
}

/// Reads a .config, plain or packed.
fn values(path: &Path) -> Result<Values, CommandError> {
    let hint = "name a kernel's .config: ls /boot/config-*";
    let bytes =
        files::read_regular(path, CONFIG_LIMIT).map_err(|error| CommandError::usage(error).hinted(hint))?;
    let text = debian::text(&bytes)
        .map_err(|error| CommandError::usage(format!("{}: {error}", path.display())).hinted(hint))?;
    Ok(Values::parse(&text))
}

fn page(ui: &mut Ui, found: &Described) {
    let kind = found.kind.as_deref().unwrap_or("without a kind");
    let prompt = found.blocks.iter().find_map(|block| block.prompt.as_deref());
    let prompt = prompt.map_or_else(|| "no question of its own".to_owned(), |prompt| format!("\"{prompt}\""));
    ui.heading(format!("{} in Linux {}: {kind}, {prompt}", found.symbol, found.linux));
    if let Some(value) = &found.value {
        ui.result(format!("  is {value}"));
        for line in found.stopped.iter().flat_map(|stopped| stopped.lines()) {
            ui.result(format!("  {line}"));
        }
    }
    for block in &found.blocks {
        self::block(ui, block);
    }
    if let Some(choice) = &found.choice {
        ui.result(format!("one of the choice \"{choice}\"; the others: {}", shown(&found.others)));
    }
    list(ui, "selected by", &found.selected_by);
    list(ui, "implied by", &found.implied_by);
    if found.asked_by.is_empty() {
        ui.result("no role and no addition asks for it");
    }
    for asked in &found.asked_by {
        let of =
            if asked.roles.is_empty() { String::new() } else { format!(", of {}", asked.roles.join(", ")) };
        ui.result(format!(
            "asked for by {} ({}{of}): {} because: {}",
            asked.part, asked.at, asked.wish, asked.why
        ));
    }
}

fn block(ui: &mut Ui, block: &Block) {
    let menus =
        if block.menus.is_empty() { String::new() } else { format!(", in {}", block.menus.join(" > ")) };
    ui.result(format!("{}{menus}", block.at));
    for need in &block.needs {
        let holds = need.holds.map(|value| format!(", which is {}", value.letter())).unwrap_or_default();
        ui.result(format!("  needs    {} ({}){holds}", need.condition, need.at));
    }
    for default in &block.defaults {
        ui.result(format!("  default  {default}"));
    }
    for selects in &block.selects {
        ui.result(format!("  selects  {selects}"));
    }
    for line in block.help.lines() {
        ui.result(format!("    {line}").trim_end());
    }
}

fn list(ui: &mut Ui, what: &str, names: &[String]) {
    if !names.is_empty() {
        ui.result(format!("{what} {}", shown(names)));
    }
}

fn shown(names: &[String]) -> String {
    let first: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    match names.len().saturating_sub(first.len()) {
        0 => first.join(", "),
        more => format!("{}, and {more} more", first.join(", ")),
    }
}

/// Says how two configurations differ.
pub fn diff(ui: &mut Ui, args: &KernelDiff) -> Outcome {
    let compared = compare(&values(&args.before)?, &values(&args.after)?, &shelf()?);
    if args.json {
        return print_json(ui, &serde_json::to_value(&compared).map_err(CommandError::failed)?);
    }
    compared_page(ui, &compared, args.all);
    Ok(Exit::Done)
}

fn compared_page(ui: &mut Ui, compared: &Compared, all: bool) {
    let word = |able| if able { "yes" } else { "no" };
    ui.heading(format!("{:<26}  {:>6}  {:>6}", "", "A", "B"));
    for ability in &compared.abilities {
        let (before, after) = (word(ability.before), word(ability.after));
        ui.result(format!("{:<26}  {before:>6}  {after:>6}", ability.what));
    }
    let [before, after] = compared.counts;
    ui.result(format!("{:<26}  {:>6}  {:>6}", "symbols built in", before.built_in, after.built_in));
    ui.result(format!("{:<26}  {:>6}  {:>6}", "symbols as modules", before.modules, after.modules));
    for group in &compared.groups {
        ui.heading(format!("\n{}: {}", group.part, group.about));
        differing(ui, &group.symbols);
    }
    if compared.others.is_empty() {
        return;
    }
    let count = compared.others.len();
    if all {
        ui.heading("\nno role asks for these");
        differing(ui, &compared.others);
    } else {
        ui.result(format!("\n{count} more differ that no role asks for; --all lists them"));
    }
}

fn differing(ui: &mut Ui, symbols: &[Differs]) {
    let wide = symbols.iter().map(|differs| differs.symbol.len()).max().unwrap_or_default();
    for Differs { symbol, before, after, why } in symbols {
        ui.result(format!("  {symbol:<wide$}  {before} -> {after}  {why}").trim_end());
    }
}
