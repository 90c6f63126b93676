//! Configuration files that dpkg left as an administrator has them. Decides by dpkg's own words, which are those of
//! dpkg 1.20 to 1.22 without a locale. Never: reads a file.

/// What dpkg has said of configuration files so far.
#[derive(Debug, Default)]
pub struct Conffiles {
    asked: Option<String>,
    kept: Vec<String>,
}

impl Conffiles {
    /// Takes a line that dpkg printed.
    pub fn take(&mut self, line: &str) {
        let named =
            line.strip_prefix("Configuration file '").and_then(|rest| rest.trim_end().strip_suffix('\''));
        if let Some(path) = named {
            self.asked = Some(path.to_owned());
        } else if line.trim_start().starts_with("==> Keeping old config file") {
            self.kept.extend(self.asked.take());
        }
    }

    /// Returns those that stayed as they were; the version of the package lies beside each as `.dpkg-dist`.
    #[must_use]
    pub fn kept(&self) -> &[String] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::Conffiles;

    #[test]
    fn only_what_dpkg_kept_is_named() {
        let said = "Setting up grub-common (2.12-9) ...\nConfiguration file '/etc/default/a b'\n\
             ==> Modified (by you or by a script) since installation.\n\
             ==> Package distributor has shipped an updated version.\n ==> Keeping old config file as default.\n\
             Configuration file '/etc/gone'\n ==> Using new config file as default.\n";
        let mut conffiles = Conffiles::default();
        said.lines().for_each(|line| conffiles.take(line));
        assert_eq!(conffiles.kept(), ["/etc/default/a b"]);
        let mut none = Conffiles::default();
        none.take(" ==> Keeping old config file as default.");
        assert!(none.kept().is_empty());
    }
}
