//! What `kernel check` says, as data. Decides the form of the JSON; never what is in it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hypervisor::Hypervisor;
use super::image::Image;
use super::role::{ROLES, Role, Span, Verdict, judge, over_releases};

/// The format number of [`Report`] as JSON.
pub const FORMAT: u32 = 1;

/// Kernels under a Xen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// The Xen: `4.17`, or `4.17-amd64` where it is installed.
    pub xen: String,
    /// The kernels in the order of their names.
    pub kernels: Vec<Checked>,
}

/// A kernel file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checked {
    /// The file.
    #[serde(serialize_with = "crate::shown_path::one")]
    pub path: PathBuf,
    /// The configuration that was found beside it, or given.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "crate::shown_path::perhaps")]
    pub config: Option<PathBuf>,
    /// Why it could not be read; nothing below is there then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// What it can be under the report's Xen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<Verdict>,
    /// What it can be under every release that xenup knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<OverReleases>,
}

/// A role over the releases of Xen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OverReleases {
    /// The role.
    pub role: Role,
    /// Runs of releases with the same answer, oldest first.
    pub spans: Vec<Span>,
}

impl Checked {
    /// Returns a kernel that was read, judged. `config` is its configuration: the file and its text.
    #[must_use]
    pub fn read(path: PathBuf, image: Image, config: Option<(PathBuf, String)>, xen: &Hypervisor) -> Self {
        let (config, text) = config.unzip();
        let text = text.as_deref();
        let verdicts = judge(&image, text, xen);
        let over = |role| OverReleases { role, spans: over_releases(role, &image, text) };
        let releases = ROLES.into_iter().map(over).collect();
        Self { path, config, error: None, image: Some(image), verdicts, releases }
    }

    /// Returns a kernel that could not be read.
    #[must_use]
    pub fn unreadable(path: PathBuf, error: String) -> Self {
        Self {
            path,
            config: None,
            error: Some(error),
            image: None,
            verdicts: Vec::new(),
            releases: Vec::new(),
        }
    }
}
