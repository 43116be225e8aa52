//! A child process that ends with this one.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::error::{Error, Result, at};

/// As much of a log as an error shows.
const TAIL_LINES: usize = 15;

/// An immediate shutdown writes nothing, and gives its backends 5 s to end.
const QUIT_BOUND: Duration = Duration::from_secs(10);

/// A child with a thread of its own, which spawned it and reaps it. Dropping it ends it.
///
/// The kernel sends the parent-death signal when the spawning *thread* ends,
/// so that thread lives as long as the child
/// (`a_server_outlives_the_thread_that_started_it`).
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    end: Arc<End>,
}

/// Set once, under the lock that signals are sent under: a reaped pid is never signalled.
#[derive(Debug, Default)]
struct End {
    status: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

impl Child {
    /// Starts a program in its own process group (a Ctrl-C at the terminal is ours to handle).
    /// It gets `farewell` when this process ends, where the platform can do that: on Linux.
    ///
    /// # Errors
    /// When the system does not start it.
    pub fn spawn(mut command: Command, farewell: Signal) -> io::Result<Self> {
        command.stdin(Stdio::null()).process_group(0);
        end_with_parent(&mut command, farewell);
        let end = Arc::new(End::default());
        let reaper_end = Arc::clone(&end);
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new().name("child-reaper".to_owned()).spawn(move || match command.spawn() {
            Ok(child) => reap(child, &sender, &reaper_end),
            Err(error) => report(&sender, Err(error)),
        })?;
        let pid = receiver.recv().map_err(io::Error::other)??;
        Ok(Self { pid, end })
    }

    /// The child's process id.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a signal, or nothing to a child that has ended.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let status = self.end.lock();
        if status.is_none() {
            rustix::process::kill_process(self.pid, signal)?;
        }
        Ok(())
    }

    /// Waits until the child has ended: `None` where `bound` passed first.
    pub fn wait(&self, bound: Duration) -> Option<ExitStatus> {
        let running = |status: &mut Option<ExitStatus>| status.is_none();
        let waited = self.end.changed.wait_timeout_while(self.end.lock(), bound, running);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Sends `signal` and waits; past `bound` follow SIGQUIT and, as the last resort, SIGKILL.
    ///
    /// # Errors
    /// When not even that ended it in time.
    pub fn stop(&self, signal: Signal, bound: Duration) -> io::Result<()> {
        let steps = [(signal, bound), (Signal::QUIT, QUIT_BOUND), (Signal::KILL, QUIT_BOUND)];
        for (signal, bound) in steps {
            self.signal(signal)?;
            // A process that was stopped meanwhile takes no other signal than SIGKILL.
            self.signal(Signal::CONT)?;
            if self.wait(bound).is_some() {
                return Ok(());
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Only a process that even SIGKILL does not end stays.
        self.stop(Signal::QUIT, QUIT_BOUND).ok();
    }
}

impl End {
    fn lock(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Spawned = io::Result<Pid>;

fn report(sender: &mpsc::Sender<Spawned>, spawned: Spawned) {
    sender.send(spawned).expect("invariant: `spawn` keeps the receiver until it has this message");
}

/// Waits for the end of the child without reaping it, then reaps it under the lock.
fn reap(mut child: std::process::Child, sender: &mpsc::Sender<Spawned>, end: &End) {
    let pid = Pid::from_child(&child);
    report(sender, Ok(pid));
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let wait = || rustix::process::waitid(WaitId::Pid(pid), ended);
    // The only failure but a signal's is that there is no such child any more.
    rustix::io::retry_on_intr(wait).ok();
    let mut status = end.lock();
    // A host that ignores SIGCHLD gets no status from the kernel: the child has ended all the same.
    *status = Some(child.wait().unwrap_or_else(|_| ExitStatus::from_raw(0)));
    end.changed.notify_all();
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "the parent-death signal can be set only between fork and exec")]
fn end_with_parent(command: &mut Command, farewell: Signal) {
    let parent = rustix::process::getpid();
    let set = move || {
        rustix::process::set_parent_process_death_signal(Some(farewell))?;
        // Closes the race with a parent that ended before the line above.
        if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    };
    // SAFETY: the closure makes two system calls, and neither allocates nor takes a lock.
    unsafe { command.pre_exec(set) };
}

/// Elsewhere the guard alone ends the server.
#[cfg(not(target_os = "linux"))]
fn end_with_parent(_: &mut Command, _: Signal) {}

/// Runs a program to its end, its output going to the file `log`.
///
/// # Errors
/// [`Error::Ended`] where it ends badly, or takes longer than `bound` and is ended.
pub(crate) fn run(program: &'static str, mut command: Command, log: &Path, bound: Duration) -> Result<()> {
    redirect(&mut command, log)?;
    let child = Child::spawn(command, Signal::INT).map_err(at("start", Path::new(program)))?;
    let how = match child.wait(bound) {
        Some(status) if status.success() => return Ok(()),
        Some(status) => format!("ended with {status}"),
        None => format!("took longer than {bound:?}"),
    };
    Err(Error::Ended { program, how, log: tail(log, 0) })
}

/// Appends what a program prints to the file `log`.
pub(crate) fn redirect(command: &mut Command, log: &Path) -> Result<()> {
    let file = File::options().create(true).append(true).open(log).map_err(at("open", log))?;
    command.stdout(file.try_clone().map_err(at("open", log))?).stderr(file);
    Ok(())
}

/// The last lines of a log, from byte `start` on; empty where it cannot be read.
pub(crate) fn tail(log: &Path, start: u64) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
    let text = String::from_utf8_lossy(&bytes[start..]);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
