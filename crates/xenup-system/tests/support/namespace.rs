//! Network namespaces for tests: each lives in one thread and ends with it.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace of its own, with its loopback up.
pub struct Namespace {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// The thread's id, by which ip(8) finds the namespace.
    pub id: u32,
}

impl Namespace {
    /// Makes one; `None`, with the reason printed, where this machine does not allow it.
    pub fn new() -> Option<Self> {
        let (jobs, todo) = channel::<Job>();
        let (ready, made) = channel();
        let thread = std::thread::spawn(move || {
            // The files of the process stay shared, which is what makes the call unsound otherwise.
            #[allow(deprecated, reason = "the replacement is an unsafe function")]
            let unshared = rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET);
            let id = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
            ready.send(unshared.map(|()| id)).unwrap();
            todo.into_iter().for_each(|job| job());
        });
        match made.recv().unwrap() {
            Ok(id) => {
                let namespace = Self { jobs: Some(jobs), thread: Some(thread), id };
                namespace.ip("link set lo up");
                Some(namespace)
            }
            Err(errno) => {
                eprintln!("skipped: no network namespace can be made here ({errno}); run as root");
                None
            }
        }
    }

    /// Runs something in the namespace and returns what it returns.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        let job: Job = Box::new(move || {
            let _ = done.send(job());
        });
        self.jobs.as_ref().unwrap().send(job).unwrap();
        result.recv().expect("the job in the namespace panicked")
    }

    /// Runs ip(8) with these words.
    pub fn ip(&self, words: &str) -> String {
        let args: Vec<String> = words.split(' ').map(str::to_owned).collect();
        self.run(move || {
            let output = std::process::Command::new("ip").args(&args).output().expect("ip(8) is installed");
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "ip {}: {complaint}", args.join(" "));
            String::from_utf8_lossy(&output.stdout).into_owned()
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
