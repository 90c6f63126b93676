//! Logging in to the machine from the LAN's outside, with a key that is made for the run.
//!
//! Every command is a new connection: an established one proves nothing about who can still get in.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xenup_system::files;
use xenup_system::process::{ProcessError, Running, Status, Tool};

use crate::console::Console;
use crate::error::{LabError, during};
use crate::lab::Lab;
use crate::network::Lan;

/// What ssh itself exits with when it did not get in (ssh(1)).
const NO_CONTACT: i32 = 255;
/// The commands on the console that put the key in place.
const ANSWER: Duration = Duration::from_secs(120);
/// How long one connection may take to come about; key exchange is slow under emulation.
const CONNECT: u32 = 60;

/// A key of the run and where it is used from.
#[derive(Debug, Clone)]
pub struct Ssh {
    lan: Lan,
    key: PathBuf,
    public: String,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshResult {
    /// Its exit status; 128 and the signal's number where a signal ended ssh.
    pub status: i32,
    /// What it printed, standard output and then standard error.
    pub output: String,
}

impl Ssh {
    /// Makes the key pair in the run directory.
    ///
    /// # Errors
    /// ssh-keygen failed.
    pub fn create(lab: &Lab, lan: &Lan) -> Result<Self, LabError> {
        let key = lab.path().join("ssh-key");
        if !files::exists(&key) {
            Tool::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "xenup-rehearse", "-f"])
                .arg(&key)
                .run()
                .map_err(during("make a key for ssh"))?;
        }
        let public = files::read_text(&key.with_extension("pub"))?.trim().to_owned();
        Ok(Self { lan: lan.clone(), key, public })
    }

    /// The key's line for authorized_keys.
    #[must_use]
    pub fn public_key(&self) -> &str {
        &self.public
    }

    /// Lets the key in as root: its line is added over the console where it is not there yet.
    ///
    /// # Errors
    /// As [`Console::check`].
    pub fn authorize(&self, console: &mut Console) -> Result<(), LabError> {
        let key = &self.public;
        let command = format!(
            "mkdir -p -m 700 /root/.ssh && {{ grep -qsF '{key}' /root/.ssh/authorized_keys || \
             echo '{key}' >>/root/.ssh/authorized_keys; }}"
        );
        console.check(&command, ANSWER)?;
        Ok(())
    }

    /// Runs a command as root over a new connection.
    ///
    /// # Errors
    /// [`LabError::Unreachable`] where ssh did not get in or the connection broke; it did not end in time.
    pub fn run(&self, address: Ipv4Addr, command: &str, limit: Duration) -> Result<SshResult, LabError> {
        let output = match self.tool(address, command).timeout(limit).output() {
            Ok(output) => output,
            Err(ProcessError::Timeout { stderr, .. }) if stderr.contains("ssh: connect to") => {
                return Err(LabError::Unreachable { address, said: stderr.trim().to_owned() });
            }
            Err(e) => return Err(during("run a command over ssh")(e)),
        };
        let said = output.stderr_text();
        let status = match output.status {
            Status::Code(NO_CONTACT) => {
                return Err(LabError::Unreachable { address, said: said.trim().to_owned() });
            }
            Status::Code(code) => code,
            Status::Signal(signal) => 128 + signal,
        };
        Ok(SshResult { status, output: output.text() + &said })
    }

    /// Brings a file of this machine to `to`, which no shell may read otherwise than as a path.
    ///
    /// # Errors
    /// The file cannot be read; as [`Ssh::run`]; the machine has no room for it.
    pub fn put(&self, address: Ipv4Addr, from: &Path, to: &str, limit: Duration) -> Result<(), LabError> {
        let bytes = files::read(from)?;
        self.put_bytes(address, bytes, to, limit)
    }

    /// The same with the file's content.
    ///
    /// # Errors
    /// As [`Ssh::put`].
    pub fn put_bytes(
        &self,
        address: Ipv4Addr,
        bytes: Vec<u8>,
        to: &str,
        limit: Duration,
    ) -> Result<(), LabError> {
        let tool = self.tool(address, &format!("cat > {to}")).stdin(bytes).timeout(limit);
        tool.run().map_err(during("bring a file over ssh"))?;
        Ok(())
    }

    /// Starts a command over a connection that stays open; what it prints goes to `log`. It ends when dropped.
    ///
    /// # Errors
    /// ssh cannot be started; whether it gets in shows in the log.
    pub fn spawn(&self, address: Ipv4Addr, command: &str, log: &Path) -> Result<Running, LabError> {
        self.tool(address, command).die_with_parent().spawn(Some(log)).map_err(during("start ssh"))
    }

    /// The command line for a person who wants to look around.
    #[must_use]
    pub fn command_line(&self, address: Ipv4Addr) -> String {
        self.tool(address, "").command_line().trim_end_matches(" ''").to_owned()
    }

    fn tool(&self, address: Ipv4Addr, command: &str) -> Tool {
        let connect = format!("ConnectTimeout={CONNECT}");
        // The machine's host key is made anew with each image: there is nothing to compare it with.
        let options = [
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "GlobalKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "IdentitiesOnly=yes",
            "ControlMaster=no",
            "ControlPath=none",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=8",
            &connect,
        ];
        self.lan
            .exec("ssh", &["-F", "/dev/null", "-i"])
            .arg(&self.key)
            .args(options.iter().flat_map(|option| ["-o", option]))
            .arg(format!("root@{address}"))
            .arg(command)
            .env_remove("SSH_AUTH_SOCK")
    }
}
