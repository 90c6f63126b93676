//! The network as a picture: who is a port of whom, who has which address, whose file says so; before and after a plan.
//!
//! Decides: what is drawn and in which order, as data, as a text of 80 columns and as SVG.
//! Never: reads a machine (the facts of `inspect` are drawn), plans, or carries out a plan.
//!
//! Reading order: `drawing` (facts to links; `declared` where there is no kernel) → `owners` (whose file) → `after` (what a plan leaves) → `text`, `svg`.

mod after;
mod declared;
mod drawing;
mod owners;
mod svg;
mod text;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xenup_engine::action::Action;

pub use after::NotFollowed;
pub use drawing::{Change, Drawing, Drawn, Kind, OfGuest};

use crate::inspect::Facts;

/// The form of [`Picture`].
pub const FORMAT: u32 = 1;

/// A machine's network; what `network show --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Picture {
    /// [`FORMAT`].
    pub format: u32,
    /// Host name.
    pub machine: String,
    /// As it is.
    pub before: Drawing,
    /// As a plan would leave it, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Drawing>,
}

impl Picture {
    /// Draws the facts.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        let before = drawing::draw(facts);
        Self { format: FORMAT, machine: facts.hostname.clone(), before, after: None }
    }

    /// Draws the facts, and what the actions leave of them.
    ///
    /// # Errors
    /// An action that does not fit this machine's network: the plan was made for another one, or before a change.
    pub fn with<'a>(
        facts: &Facts,
        actions: impl IntoIterator<Item = &'a Action>,
    ) -> Result<Self, NotFollowed> {
        let mut picture = Self::of(facts);
        let left = after::after(facts, actions)?;
        let mut drawn = drawing::draw(&left);
        drawn.compare(&picture.before);
        picture.after = Some(drawn);
        Ok(picture)
    }

    /// Returns it as text, 80 columns wide where names and paths allow it.
    #[must_use]
    pub fn text(&self) -> String {
        text::text(self)
    }

    /// Returns it as an SVG document without references to anything outside it.
    #[must_use]
    pub fn svg(&self) -> String {
        svg::svg(self)
    }
}
