//! Runs a program: the task on its stdin, messages from what it prints, the outcome from how it exits.
//!
//! What an attempt started ends with it: the program leads a process group, which gets KILL when the program has
//! exited, when the attempt ran out of its grace, and when its future is dropped. A descendant that leaves the group
//! (setsid) escapes; it cannot hold up the attempt.

mod ending;
mod output;
mod program;
mod tree;

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{join, maybe_done};
use longshore_queue::Outcome;
use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::sync::Notify;
use tokio::time::timeout;

pub use self::program::Error;

use self::ending::{End, Exit};
use self::output::{Transcript, listen};
use self::program::program;
use self::tree::Tree;
use super::input;
use crate::config::CommandSettings;
use crate::{Context, Execution, Executor, Stop};

/// What is left in the pipes of a killed group is read for so long. Longer it can only be held open by a process that
/// left the group.
const DRAIN: Duration = Duration::from_secs(1);

/// Runs one program for every task.
#[derive(Debug)]
pub struct Command {
    settings: CommandSettings,
}

impl Command {
    /// An executor that runs the configured program.
    ///
    /// # Errors
    /// Names the setting that is out of its bounds.
    pub fn new(settings: CommandSettings) -> Result<Self, Error> {
        program::check(&settings)?;
        Ok(Self { settings })
    }

    async fn attempt(&self, context: &Context) -> Outcome {
        let task = match input::json(context).await {
            Ok(task) => task,
            Err(outcome) => return outcome,
        };
        let mut tree = match Tree::start(program(&self.settings, context)).await {
            Ok(tree) => tree,
            Err(error) => return Outcome::retry("spawn", format!("cannot start `{}`: {error}", self.settings.argv[0])),
        };
        let mut transcript = Transcript::new(context, self.settings.stdout, self.settings.max_output_bytes);
        let (end, exit) = self.see_through(context, &task, &mut tree, &mut transcript).await;
        let (verdict, last_error) = transcript.finish();
        let verdict = verdict.map(|verdict| verdict.on_attempt_of(context.task()));
        let (outcome, kept) = ending::outcome(end, exit, verdict, &last_error);
        if let Some(message) = kept {
            context.message(message);
        }
        outcome
    }

    /// Talks with the tree until it has ended. A dropped future leaves that to the tree's `Drop`.
    async fn see_through(
        &self,
        context: &Context,
        task: &[u8],
        tree: &mut Tree,
        transcript: &mut Transcript<'_>,
    ) -> (End, Exit) {
        let (stdin, stdout, stderr) = tree.take_pipes();
        let hurry = Notify::new();
        let mut pipes = pin!(maybe_done(join(feed(stdin, task), listen(stdout, stderr, transcript, &hurry))));
        let end = tokio::select! {
            end = first_end(context, tree) => end,
            never = async { pipes.as_mut().await; pending::<Infallible>().await } => match never {},
        };
        hurry.notify_one();
        if end != End::Exited {
            tree.signal(Signal::TERM);
            // closed pipes tell that the program's own children have ended as well
            let ended = timeout(self.settings.kill_after, join(tree.exited(), pipes.as_mut())).await;
            tracing::debug!(task_id = %context.task().task_id, ?end, in_grace = ended.is_ok(), "program asked to end");
        }
        let (status, _) = join(timeout(DRAIN, tree.end()), timeout(DRAIN, pipes)).await;
        (end, status.ok().and_then(Result::ok).map_or(Exit::Unknown, Exit::from))
    }
}

impl Executor for Command {
    fn execute<'a>(&'a self, context: &'a Context) -> Execution<'a> {
        Box::pin(self.attempt(context))
    }

    /// TERM, `kill_after`, KILL, what is left in the pipes, and as much again to spare.
    fn grace(&self) -> Duration {
        self.settings.kill_after + DRAIN + DRAIN
    }
}

/// Waits for what ends the attempt first.
async fn first_end(context: &Context, tree: &mut Tree) -> End {
    tokio::select! {
        biased;
        () = tree.exited() => End::Exited,
        reason = context.stopped() => match reason {
            Stop::Timeout => End::TimedOut(context.timeout()),
            reason => End::Stopped(reason),
        },
    }
}

/// Writes the task and closes stdin. A program need not read it: it may close its end, or exit, at any time.
async fn feed(mut stdin: ChildStdin, task: &[u8]) {
    if let Err(error) = stdin.write_all(task).await {
        tracing::trace!(%error, "program did not read its task");
    }
}
