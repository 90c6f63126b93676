//! QEMU's machine protocol (qemu-qmp-ref(7)): one JSON object per line, answers told from events.
//!
//! It decides what a line is and which answer belongs to which command; what to command is the machine's business.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};
use xenup_system::stopwatch::Stopwatch;

/// How long an answer may take; only jobs take longer, and they are told of by events.
const ANSWER: Duration = Duration::from_secs(60);
/// More than any answer that we ask for; a line beyond it is refused.
const LONGEST_LINE: usize = 16 << 20;

/// A conversation with QEMU's monitor that went wrong.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The socket failed or was closed, most often because QEMU ended.
    #[error("lost contact with QEMU's monitor during `{command}`")]
    Io {
        /// The command, or what was waited for.
        command: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// No answer in time.
    #[error("QEMU's monitor did not answer `{command}` within {} s", .limit.as_secs())]
    Late {
        /// The command, or what was waited for.
        command: String,
        /// The time it was given.
        limit: Duration,
    },
    /// A line that is not of the protocol.
    #[error("QEMU's monitor said `{line}`, which is not of its protocol")]
    Line {
        /// The start of the line.
        line: String,
    },
    /// QEMU refused.
    #[error("QEMU refused `{command}`: {why} ({class})")]
    Refused {
        /// The command.
        command: String,
        /// Its error class: "GenericError".
        class: String,
        /// Its words.
        why: String,
    },
}

/// One line of the protocol.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The first line of a connection.
    Greeting,
    /// A command's answer.
    Return(Value),
    /// A command's refusal.
    Error {
        /// Its class.
        class: String,
        /// Its words.
        why: String,
    },
    /// Something that happened.
    Event {
        /// Its name: "SHUTDOWN".
        name: String,
        /// What belongs to it.
        data: Value,
    },
}

impl Message {
    /// Reads one line; `None` where it is none of the four.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut object: Value = serde_json::from_slice(line).ok()?;
        if let Some(value) = object.get_mut("return") {
            return Some(Self::Return(value.take()));
        }
        if let Some(error) = object.get("error") {
            let text = |name| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            return Some(Self::Error { class: text("class"), why: text("desc") });
        }
        if let Some(name) = object.get("event").and_then(Value::as_str).map(str::to_owned) {
            let data = object.get_mut("data").map(Value::take).unwrap_or_default();
            return Some(Self::Event { name, data });
        }
        object.get("QMP").map(|_| Self::Greeting)
    }
}

/// A connection to the monitor, past its greeting.
#[derive(Debug)]
pub struct Qmp {
    stream: UnixStream,
    buffer: Vec<u8>,
    events: Vec<(String, Value)>,
    jobs: u64,
}

impl Qmp {
    /// Greets the monitor at the other end.
    ///
    /// # Errors
    /// What answers is not QEMU's monitor.
    pub fn new(stream: UnixStream) -> Result<Self, QmpError> {
        let mut qmp = Self { stream, buffer: Vec::new(), events: Vec::new(), jobs: 0 };
        match qmp.next("greeting", ANSWER)? {
            Message::Greeting => {}
            other => return Err(QmpError::Line { line: format!("{other:?}") }),
        }
        qmp.execute("qmp_capabilities", Value::Null)?;
        Ok(qmp)
    }

    /// Runs a command with its arguments (`Value::Null` for none) and returns its answer.
    ///
    /// # Errors
    /// QEMU refused, did not answer within a minute, or is gone.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let mut request = json!({ "execute": command });
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        let line = format!("{request}\n");
        self.stream.write_all(line.as_bytes()).map_err(|e| lost(command, e))?;
        loop {
            match self.next(command, ANSWER)? {
                Message::Return(value) => return Ok(value),
                Message::Error { class, why } => {
                    return Err(QmpError::Refused { command: command.to_owned(), class, why });
                }
                Message::Event { name, data } => self.events.push((name, data)),
                Message::Greeting => return Err(QmpError::Line { line: "a second greeting".into() }),
            }
        }
    }

    /// Runs a command of the human monitor and returns what it printed, which is also how that one refuses.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn human(&mut self, command: &str) -> Result<String, QmpError> {
        let answer = self.execute("human-monitor-command", json!({ "command-line": command }))?;
        Ok(answer.as_str().unwrap_or_default().replace("\r\n", "\n"))
    }

    /// Runs a command that starts a job (its `job-id` is set here) and waits for the job's end.
    ///
    /// # Errors
    /// QEMU refused, or the job ended with an error.
    pub fn job(&mut self, command: &str, mut arguments: Value, limit: Duration) -> Result<(), QmpError> {
        self.jobs += 1;
        let id = format!("xenup-{}", self.jobs);
        arguments["job-id"] = json!(id);
        self.execute(command, arguments)?;
        self.event(command, limit, |name, data| {
            name == "JOB_STATUS_CHANGE" && data["id"] == json!(id) && data["status"] == "concluded"
        })?;
        let jobs = self.execute("query-jobs", Value::Null)?;
        let ended = jobs.as_array().into_iter().flatten().find(|job| job["id"] == json!(id));
        let error = ended.and_then(|job| job["error"].as_str()).map(str::to_owned);
        self.execute("job-dismiss", json!({ "id": id }))?;
        match error {
            None => Ok(()),
            Some(why) => Err(QmpError::Refused { command: command.to_owned(), class: "job".into(), why }),
        }
    }

    /// Waits for an event that `wanted` accepts, among those that came already too; it and the older ones are dropped.
    ///
    /// # Errors
    /// It did not come in time, or QEMU is gone.
    pub fn event(
        &mut self,
        waiting_for: &str,
        limit: Duration,
        wanted: impl Fn(&str, &Value) -> bool,
    ) -> Result<Value, QmpError> {
        let watch = Stopwatch::start();
        loop {
            if let Some(at) = self.events.iter().position(|(name, data)| wanted(name, data)) {
                let mut seen = self.events.drain(..=at);
                return Ok(seen.next_back().map(|(_, data)| data).unwrap_or_default());
            }
            let left = limit.saturating_sub(watch.elapsed());
            if let Message::Event { name, data } = self.next(waiting_for, left)? {
                self.events.push((name, data));
            }
        }
    }

    /// The next line, within `limit`.
    fn next(&mut self, command: &str, limit: Duration) -> Result<Message, QmpError> {
        let watch = Stopwatch::start();
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let start = line.get(..200).unwrap_or(&line);
                return Message::parse(&line).ok_or_else(|| QmpError::Line {
                    line: String::from_utf8_lossy(start).trim().to_owned(),
                });
            }
            let left = limit.saturating_sub(watch.elapsed());
            if left.is_zero() {
                return Err(QmpError::Late { command: command.to_owned(), limit });
            }
            self.fill(command, left)?;
        }
    }

    fn fill(&mut self, command: &str, limit: Duration) -> Result<(), QmpError> {
        self.stream.set_read_timeout(Some(limit)).map_err(|e| lost(command, e))?;
        let mut part = [0; 16 << 10];
        match self.stream.read(&mut part) {
            Ok(0) => Err(lost(command, io::Error::from(io::ErrorKind::UnexpectedEof))),
            Ok(length) if self.buffer.len() + length > LONGEST_LINE => {
                Err(QmpError::Line { line: "more than 16 MiB without an end".into() })
            }
            Ok(length) => {
                self.buffer.extend_from_slice(part.get(..length).unwrap_or_default());
                Ok(())
            }
            // The caller's deadline is the judge of both.
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(()),
            Err(e) => Err(lost(command, e)),
        }
    }
}

fn lost(command: &str, source: io::Error) -> QmpError {
    QmpError::Io { command: command.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixStream;
    use std::thread;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::{Message, Qmp, QmpError};

    const GREETING: &str =
        r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}}, "capabilities": ["oob"]}}"#;

    /// A monitor that answers each command with the next of `answers` (a line each, several joined by newlines).
    fn monitor(answers: Vec<&'static str>) -> (UnixStream, thread::JoinHandle<Vec<Value>>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let served = thread::spawn(move || {
            let mut out = theirs.try_clone().unwrap();
            writeln!(out, "{GREETING}").unwrap();
            let mut lines = BufReader::new(theirs).lines();
            let mut seen = Vec::new();
            for answer in answers {
                let Some(Ok(line)) = lines.next() else { break };
                seen.push(serde_json::from_str(&line).unwrap());
                writeln!(out, "{answer}").unwrap();
            }
            seen
        });
        (ours, served)
    }

    #[test]
    fn lines_are_told_apart() {
        assert_eq!(Message::parse(GREETING.as_bytes()), Some(Message::Greeting));
        assert_eq!(Message::parse(br#"{"return": {}}"#), Some(Message::Return(json!({}))));
        let error = Message::Error { class: "GenericError".into(), why: "no such node".into() };
        let line = br#"{"error": {"class": "GenericError", "desc": "no such node"}}"#;
        assert_eq!(Message::parse(line), Some(error));
        let line = br#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#;
        assert_eq!(Message::parse(line), Some(Message::Event { name: "STOP".into(), data: Value::Null }));
        for line in [&b"{}"[..], b"", b"\xff", b"[1]", b"{\"event\": 3}"] {
            assert_eq!(Message::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn events_between_command_and_answer_are_kept_for_later() {
        let (stream, served) = monitor(vec![
            r#"{"return": {}}"#,
            "{\"event\": \"RESET\", \"data\": {\"guest\": true}}\n{\"return\": {\"running\": true}}",
        ]);
        let mut qmp = Qmp::new(stream).unwrap();
        assert_eq!(qmp.execute("query-status", Value::Null).unwrap(), json!({"running": true}));
        let data = qmp.event("a reset", Duration::from_secs(5), |name, _| name == "RESET").unwrap();
        assert_eq!(data, json!({"guest": true}));
        assert_eq!(served.join().unwrap()[1], json!({"execute": "query-status"}));
    }

    #[test]
    fn a_job_is_waited_for_and_its_error_told() {
        let (stream, served) = monitor(vec![
            r#"{"return": {}}"#,
            "{\"return\": {}}\n{\"event\": \"JOB_STATUS_CHANGE\", \"data\": {\"status\": \"running\", \"id\": \"xenup-1\"}}\n{\"event\": \"JOB_STATUS_CHANGE\", \"data\": {\"status\": \"concluded\", \"id\": \"xenup-1\"}}",
            r#"{"return": [{"id": "xenup-1", "type": "snapshot-save", "error": "no room"}]}"#,
            r#"{"return": {}}"#,
        ]);
        let mut qmp = Qmp::new(stream).unwrap();
        let arguments = json!({"tag": "a"});
        let error = qmp.job("snapshot-save", arguments, Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.to_string(), "QEMU refused `snapshot-save`: no room (job)");
        let seen = served.join().unwrap();
        assert_eq!(seen[1]["arguments"], json!({"tag": "a", "job-id": "xenup-1"}));
        assert_eq!(seen[3], json!({"execute": "job-dismiss", "arguments": {"id": "xenup-1"}}));
    }

    #[test]
    fn refusals_noise_and_an_end_are_errors() {
        let (stream, _) = monitor(vec![
            r#"{"return": {}}"#,
            r#"{"error": {"class": "CommandNotFound", "desc": "unknown"}}"#,
            "Segmentation fault",
        ]);
        let mut qmp = Qmp::new(stream).unwrap();
        assert!(matches!(qmp.execute("fly", Value::Null), Err(QmpError::Refused { .. })));
        assert!(matches!(qmp.execute("stop", Value::Null), Err(QmpError::Line { .. })));
        assert!(matches!(qmp.execute("stop", Value::Null), Err(QmpError::Io { .. })));
    }
}
