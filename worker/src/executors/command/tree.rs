//! The processes of one attempt: a program and what it starts, in a process group of their own.

use std::io;
use std::process::ExitStatus;
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::oneshot;

/// A program and what it starts. Dropped, all of them get KILL, and the runtime waits for the program's zombie.
#[derive(Debug)]
pub(super) struct Tree {
    child: Child,
    /// The group's id, which is the program's. It cannot be reused before the program is waited for, so nothing waits
    /// for it before the group got KILL.
    group: Pid,
    child_signals: unix::Signal,
    killed: bool,
}

impl Tree {
    /// Starts the program with piped stdin, stdout and stderr.
    pub(super) async fn start(program: Command) -> io::Result<Self> {
        // before the program starts, so that its end is not missed
        let child_signals = unix::signal(SignalKind::child())?;
        let (answer, started) = oneshot::channel();
        let request = Request { program, child_signals, runtime: Handle::current(), answer };
        let gone = || io::Error::other("the thread that starts programs has ended");
        starter()?.send(request).map_err(|_| gone())?;
        started.await.map_err(|_| gone())?
    }

    fn start_here(mut program: Command, child_signals: unix::Signal) -> io::Result<Self> {
        program.process_group(0);
        die_with_the_worker(&mut program);
        let child = program.spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let group = group.ok_or_else(|| io::Error::other("the program has no process id"))?;
        Ok(Self { child, group, child_signals, killed: false })
    }

    /// The program's ends of the pipes; once.
    pub(super) fn take_pipes(&mut self) -> (ChildStdin, ChildStdout, ChildStderr) {
        let pipes = (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            unreachable!("the three are piped and are taken once");
        };
        (stdin, stdout, stderr)
    }

    /// Waits until the program has exited. It stays a zombie, so that its group can still be named.
    pub(super) async fn exited(&mut self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while let Ok(None) = waitid(WaitId::Pid(self.group), options) {
            self.child_signals.recv().await;
        }
    }

    /// Sends the signal to the whole group, unless that has been killed.
    pub(super) fn signal(&self, signal: Signal) {
        if self.killed {
            return;
        }
        if let Err(error) = kill_process_group(self.group, signal) {
            // macOS answers EPERM where only a zombie is left
            tracing::debug!(group = %self.group, ?signal, %error, "process group not signalled");
        }
    }

    /// Kills the whole group and waits for the program.
    pub(super) async fn end(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL);
        self.killed = true;
        self.child.wait().await
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// A program to start.
struct Request {
    program: Command,
    child_signals: unix::Signal,
    runtime: Handle,
    answer: oneshot::Sender<io::Result<Tree>>,
}

/// The way to the thread that starts all programs, started at the first of them.
///
/// It lives as long as the process, since a parent-death signal comes when the *thread* that forked ends, and a
/// runtime's threads may end before the runtime does (`block_in_place` replaces them). It also keeps fork and exec,
/// which block, off the runtime.
fn starter() -> io::Result<mpsc::Sender<Request>> {
    static STARTER: Mutex<Option<mpsc::Sender<Request>>> = Mutex::new(None);
    let mut starter = STARTER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(starter) = &*starter {
        return Ok(starter.clone());
    }
    let (sender, requests) = mpsc::channel::<Request>();
    thread::Builder::new().name("longshore-start".to_owned()).spawn(move || {
        for Request { program, child_signals, runtime, answer } in requests {
            let _runtime = runtime.enter();
            // an attempt that was dropped meanwhile takes no answer: the tree is dropped here, and so killed
            drop(answer.send(Tree::start_here(program, child_signals)));
        }
    })?;
    *starter = Some(sender.clone());
    Ok(sender)
}

/// Has the kernel kill the program when this process ends, however it ends. Not what the program starts, and not a
/// program that is set-user-id.
#[cfg(target_os = "linux")]
fn die_with_the_worker(program: &mut Command) {
    use rustix::process::{getpid, getppid, set_parent_process_death_signal};

    let worker = getpid();
    let in_child = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // the worker may have ended between the fork and the line above
        if getppid() == Some(worker) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: between fork and exec only what is async-signal-safe may run: three system calls and no allocation do.
    #[expect(unsafe_code, reason = "there is no safe way to run a system call between fork and exec")]
    unsafe {
        program.pre_exec(in_child);
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_the_worker(_program: &mut Command) {}
