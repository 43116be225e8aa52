//! What an executor is, and the one thing it sees: the context of a single attempt.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use longshore_queue::{NewTask, Outcome, ResultMessage, Task};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use crate::design::Resolved;

/// A future that an executor returns.
pub type Execution<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Does the work of an action. One executor serves many attempts at once.
///
/// A panic ends the attempt alone. One that is asked to stop ([`Context::stopped`]) and goes on is dropped after a grace,
/// so what must be undone is undone by `Drop`.
pub trait Executor: Send + Sync + 'static {
    /// Runs one attempt to its outcome.
    fn execute<'a>(&'a self, context: &'a Context) -> Execution<'a>;

    /// How long an attempt may go on after it was asked to stop, to end what it started, where that is longer than the
    /// worker's own grace.
    fn grace(&self) -> Duration {
        Duration::ZERO
    }
}

impl<F> Executor for F
where
    F: for<'a> Fn(&'a Context) -> Execution<'a> + Send + Sync + 'static,
{
    fn execute<'a>(&'a self, context: &'a Context) -> Execution<'a> {
        self(context)
    }
}

/// Why an attempt is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stop {
    /// Somebody terminated the task: whatever is returned, it ends terminated.
    Terminated = 1,
    /// The claim is lost: another worker may hold the task, and nothing of this attempt is recorded any more.
    Lost = 2,
    /// The worker shuts down and its deadline has come: the task goes back with its attempt unburnt.
    Shutdown = 3,
    /// The attempt's time is up: it is retried.
    Timeout = 4,
}

/// One attempt, as its executor sees it.
#[derive(Debug)]
pub struct Context {
    task: Task,
    timeout: Duration,
    stop: AtomicU8,
    stopped: Notify,
    messages: Mutex<Messages>,
    said: UnboundedSender<Uuid>,
    subtasks: Mutex<Asked>,
    design: OnceLock<Resolved>,
}

/// Lists of subtasks asked for and not yet inserted.
#[derive(Debug, Default)]
struct Asked {
    waiting: VecDeque<Ask>,
    /// Whether any was ever asked for.
    any: bool,
    /// Why a list was refused that nobody waited for.
    refusal: Option<String>,
}

/// One list of subtasks.
#[derive(Debug)]
pub(crate) struct Ask {
    tasks: Vec<NewTask>,
    answer: Option<oneshot::Sender<Result<(), SubtasksRefused>>>,
}

impl Ask {
    pub(crate) fn tasks(&self) -> &[NewTask] {
        &self.tasks
    }

    /// Tells who waits for it, if anybody does; false when nobody does.
    pub(crate) fn answer(self, answer: Result<(), SubtasksRefused>) -> bool {
        // an executor that has ended meanwhile does not wait any more
        self.answer.is_some_and(|waits| waits.send(answer).is_ok())
    }
}

/// Why subtasks were not inserted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("subtasks were refused: {0}")]
pub struct SubtasksRefused(pub String);

/// Subtasks in one list: one statement inserts them, and other tasks of the worker wait for it.
pub const SUBTASKS_MAX: usize = 10_000;

/// Messages said and not yet recorded.
#[derive(Debug, Default)]
struct Messages {
    waiting: Vec<ResultMessage>,
    bytes: usize,
    dropped: u64,
}

/// Messages of one task that wait in memory: beyond it, further ones are dropped and counted until some are recorded.
const WAITING_MESSAGES_MAX_BYTES: usize = 1024 * 1024;

/// Kept free of all but errors: a flood must not drown the message that says that there was one.
const ERRORS_RESERVE_BYTES: usize = 64 * 1024;

impl Context {
    /// A context for this attempt; `said` is sent the task's id when messages begin to wait.
    pub fn new(task: Task, timeout: Duration, said: UnboundedSender<Uuid>) -> Self {
        Self {
            task,
            timeout,
            stop: AtomicU8::new(0),
            stopped: Notify::new(),
            messages: Mutex::default(),
            said,
            subtasks: Mutex::default(),
            design: OnceLock::new(),
        }
    }

    /// The task.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// How long this attempt may take, from its start; then it is asked to stop.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The design that the task names, where its action wants it (`design` in the action's configuration).
    pub fn design(&self) -> Option<&Resolved> {
        self.design.get()
    }

    /// Hands the design over, before the executor starts; a second one is passed over. For whoever runs an executor: the
    /// worker, or a test of one.
    pub fn set_design(&self, design: Resolved) {
        // there is one a task, so the second is the first
        self.design.set(design).ok();
    }

    /// Appends to the task's log, in order. Does not wait; what comes faster than it can be recorded is dropped, and
    /// the log says so.
    pub fn message(&self, message: ResultMessage) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let extra = message.extra.as_ref().map_or(0, |extra| extra.to_string().len());
        let bytes = message.message.len() + extra + 64;
        let reserve = if message.error { 0 } else { ERRORS_RESERVE_BYTES };
        if messages.bytes + bytes > WAITING_MESSAGES_MAX_BYTES - reserve {
            messages.dropped += 1;
            return;
        }
        messages.bytes += bytes;
        messages.waiting.push(message);
        if messages.waiting.len() == 1 {
            // nobody receives only when the worker is gone
            self.said.send(self.task.task_id).ok();
        }
    }

    /// Inserts tasks below this one with one statement, as long as the attempt holds its task, and waits for it: their
    /// ids, in order. A task without a parent becomes a subtask of this one; else its parent must come before it in the
    /// list.
    ///
    /// # Errors
    /// What the database refuses, for all of them; or the task is not this attempt's any more.
    pub async fn insert(&self, tasks: Vec<NewTask>) -> Result<Vec<Uuid>, SubtasksRefused> {
        let (answer, answered) = oneshot::channel();
        let ids = self.ask(tasks, Some(answer))?;
        match answered.await {
            Ok(Ok(())) => Ok(ids),
            Ok(Err(refused)) => Err(refused),
            Err(_) => Err(SubtasksRefused("the worker has given the attempt up".to_owned())),
        }
    }

    /// The same without waiting: they are inserted before the outcome is recorded. Where they are refused, the log says
    /// so and the attempt is retried, whatever its outcome.
    ///
    /// # Errors
    /// A list that is too long, or names a parent that is not in it.
    pub fn insert_later(&self, tasks: Vec<NewTask>) -> Result<Vec<Uuid>, SubtasksRefused> {
        self.ask(tasks, None)
    }

    fn ask(
        &self,
        mut tasks: Vec<NewTask>,
        answer: Option<oneshot::Sender<Result<(), SubtasksRefused>>>,
    ) -> Result<Vec<Uuid>, SubtasksRefused> {
        if tasks.len() > SUBTASKS_MAX {
            return Err(SubtasksRefused(format!("a list has at most {SUBTASKS_MAX} subtasks, got {}", tasks.len())));
        }
        let mut ids = HashSet::from([self.task.task_id]);
        for task in &mut tasks {
            if let Some(parent) = task.parent_task_id.filter(|parent| !ids.contains(parent)) {
                return Err(SubtasksRefused(format!(
                    "the parent {parent} is neither this task nor further up in the list"
                )));
            }
            ids.insert(*task.task_id.get_or_insert_with(Uuid::now_v7));
        }
        let ids = tasks.iter().filter_map(|task| task.task_id).collect();
        let mut asked = self.subtasks.lock().unwrap_or_else(PoisonError::into_inner);
        asked.any = true;
        asked.waiting.push_back(Ask { tasks, answer });
        // nobody receives only when the worker is gone
        self.said.send(self.task.task_id).ok();
        Ok(ids)
    }

    /// Whether subtasks wait to be inserted.
    pub(crate) fn has_asked(&self) -> bool {
        !self.subtasks.lock().unwrap_or_else(PoisonError::into_inner).waiting.is_empty()
    }

    /// Whether subtasks were ever asked for.
    pub(crate) fn has_inserted(&self) -> bool {
        self.subtasks.lock().unwrap_or_else(PoisonError::into_inner).any
    }

    /// The next list of subtasks to insert.
    pub(crate) fn take_asked(&self) -> Option<Ask> {
        self.subtasks.lock().unwrap_or_else(PoisonError::into_inner).waiting.pop_front()
    }

    /// Puts a list back that could not be inserted at this moment.
    pub(crate) fn ask_again(&self, ask: Ask) {
        self.subtasks.lock().unwrap_or_else(PoisonError::into_inner).waiting.push_front(ask);
    }

    /// A list was refused: whoever waits for it is told, or else the log, and the attempt will not pass.
    pub(crate) fn refused(&self, ask: Ask, problem: String) {
        if !ask.answer(Err(SubtasksRefused(problem.clone()))) {
            self.message(ResultMessage::error(SubtasksRefused(problem.clone()).to_string()));
            self.refuse_subtasks(problem);
        }
    }

    /// What an executor's program said of subtasks cannot be done: the attempt will not pass.
    pub(crate) fn refuse_subtasks(&self, problem: String) {
        self.subtasks.lock().unwrap_or_else(PoisonError::into_inner).refusal = Some(problem);
    }

    /// Why subtasks were refused that nobody waited for.
    pub(crate) fn take_refusal(&self) -> Option<String> {
        self.subtasks.lock().unwrap_or_else(PoisonError::into_inner).refusal.take()
    }

    /// Takes the subtasks that wait to be inserted. For whoever runs an executor without a worker: a test of one.
    pub fn take_subtasks(&self) -> Vec<NewTask> {
        std::iter::from_fn(|| self.take_asked()).flat_map(|ask| ask.tasks).collect()
    }

    /// Whether messages wait to be recorded.
    pub(crate) fn has_messages(&self) -> bool {
        !self.messages.lock().unwrap_or_else(PoisonError::into_inner).waiting.is_empty()
    }

    /// Takes the messages that wait to be recorded. For whoever runs an executor: the worker, or a test of one.
    pub fn take_messages(&self) -> Vec<ResultMessage> {
        let mut messages = std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner));
        if messages.dropped > 0 {
            let notice =
                format!("{} messages were dropped: they came faster than they could be recorded", messages.dropped);
            messages.waiting.push(ResultMessage::error(notice));
        }
        messages.waiting
    }

    /// Asks the attempt to stop. The first reason stays, except that a lost claim overrides. For whoever runs an
    /// executor: the worker, or a test of one.
    pub fn stop(&self, reason: Stop) {
        let first = self.stop.compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !first && reason == Stop::Lost {
            self.stop.store(reason as u8, Ordering::Release);
        }
        self.stopped.notify_waiters();
    }

    /// Why the attempt shall stop, if it shall.
    pub fn stop_reason(&self) -> Option<Stop> {
        match self.stop.load(Ordering::Acquire) {
            1 => Some(Stop::Terminated),
            2 => Some(Stop::Lost),
            3 => Some(Stop::Shutdown),
            4 => Some(Stop::Timeout),
            _ => None,
        }
    }

    /// Waits until the attempt shall stop.
    pub async fn stopped(&self) -> Stop {
        loop {
            let stopped = self.stopped.notified();
            if let Some(reason) = self.stop_reason() {
                return reason;
            }
            stopped.await;
        }
    }
}
