//! What an executor is, and the one thing it sees: the context of a single attempt.

mod asked;

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use longshore_queue::{NewBuildData, NewTask, Outcome, ResultMessage, Task};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use self::asked::Asked;
pub(crate) use self::asked::{Ask, Wanted};
pub use self::asked::{BuildDataRefused, SUBTASKS_MAX, SubtasksRefused};
use crate::design::Resolved;
use crate::design::compile::{Compiled, EffectiveNode};
use crate::design::delivered::Delivered;
use crate::design::model::Design;
use crate::trace::{Carried, TraceContext};

/// A future that an executor returns.
pub type Execution<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Does the work of an action. One executor serves many attempts at once.
///
/// A panic ends the attempt alone. One that is asked to stop ([`Context::stopped`]) and goes on is dropped after a
/// grace, so what must be undone is undone by `Drop`.
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
    taken: Notify,
    said: UnboundedSender<Uuid>,
    /// What its task says of its trace, and what the executor is told of it.
    carried: Carried,
    trace: Option<TraceContext>,
    asked: Mutex<Asked>,
    design: OnceLock<Resolved>,
    delivered: OnceLock<Delivered>,
}

/// Messages said and not yet recorded.
#[derive(Debug, Default)]
struct Messages {
    waiting: Vec<ResultMessage>,
    bytes: usize,
    dropped: u64,
}

/// Messages of one task that wait in memory: beyond it, further ones are dropped and counted until some are recorded.
const WAITING_MESSAGES_MAX_BYTES: usize = 1024 * 1024;

/// One message: a row, read by people. A line of a program, the longest that is kept, fits with its notice.
const MESSAGE_MAX_BYTES: usize = 80 * 1024;

/// What a message is about: a name.
const NAME_MAX_BYTES: usize = 1024;

/// The error of whoever waits for an answer that does not come.
const GIVEN_UP: &str = "the worker has given the attempt up";

/// Kept free of all but errors: a flood must not drown the message that says that there was one.
const ERRORS_RESERVE_BYTES: usize = 64 * 1024;

/// Cuts what is too long, and says so at the message's end.
fn bounded(mut message: ResultMessage) -> ResultMessage {
    let mut notice = String::new();
    let mut cut = |key: &str, text: &mut String, max: usize| {
        if text.len() > max {
            notice.push_str(&format!(" [cut: {key} has {} bytes, {max} are kept]", text.len()));
            text.truncate(text.floor_char_boundary(max));
        }
    };
    cut("the message", &mut message.message, MESSAGE_MAX_BYTES);
    for (key, name) in [("context", &mut message.context), ("context_type", &mut message.context_type)] {
        if let Some(name) = name {
            cut(key, name, NAME_MAX_BYTES);
        }
    }
    let extra = message.extra.as_ref().map_or(0, |extra| extra.to_string().len());
    if extra > MESSAGE_MAX_BYTES {
        message.extra = None;
        notice.push_str(&format!(" [left out: extra has {extra} bytes, at most {MESSAGE_MAX_BYTES} are kept]"));
    }
    message.message.push_str(&notice);
    message
}

impl Context {
    /// A context for this attempt; `said` is sent the task's id when messages begin to wait.
    pub fn new(task: Task, timeout: Duration, said: UnboundedSender<Uuid>) -> Self {
        let carried = Carried::of(task.request_context.as_deref());
        Self {
            task,
            timeout,
            trace: carried.context.clone(),
            carried,
            stop: AtomicU8::new(0),
            stopped: Notify::new(),
            messages: Mutex::default(),
            taken: Notify::new(),
            said,
            asked: Mutex::default(),
            design: OnceLock::new(),
            delivered: OnceLock::new(),
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

    /// What to hand on for traces: where the worker exports spans, that of this attempt, so that the executor's own lie
    /// in it; else what the task's `request_context` brought.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.trace.as_ref()
    }

    pub(crate) fn carried(&self) -> &Carried {
        &self.carried
    }

    /// Says what the executor is to hand on.
    pub(crate) fn hand(&mut self, trace: TraceContext) {
        self.trace = Some(trace);
    }

    /// The design that the task names as it came, where its action wants it in any form (`design` in the action's
    /// configuration).
    pub fn design(&self) -> Option<&Resolved> {
        self.design.get()
    }

    /// Hands the design over, before the executor starts; a second one is passed over. For whoever runs an executor:
    /// the worker, or a test of one.
    pub fn set_design(&self, design: Resolved) {
        // there is one a task, so the second is the first
        self.design.set(design).ok();
    }

    /// The documents of the design as they were ingested, where the action wants `documents` or the `model`.
    pub fn documents(&self) -> Option<&Design> {
        self.delivered().map(Delivered::documents)
    }

    /// The whole compiled design, where the action wants the `model`.
    pub fn model(&self) -> Option<&Compiled> {
        self.delivered().and_then(Delivered::model)
    }

    /// The nodes that the task is about, in the order of their documents: those that its `node_filter` selects where
    /// the action applies it, else all of the model.
    pub fn nodes(&self) -> Option<Vec<&EffectiveNode>> {
        self.delivered().and_then(Delivered::nodes)
    }

    pub(crate) fn delivered(&self) -> Option<&Delivered> {
        self.delivered.get()
    }

    /// Hands over what was made of the design, as [`Context::set_design`] does its bytes.
    pub fn set_delivered(&self, delivered: Delivered) {
        // as for the bytes
        self.delivered.set(delivered).ok();
    }

    /// Appends to the task's log, in order. Does not wait; what comes faster than it can be recorded is dropped, and
    /// what is too long for a log is cut; the log says so.
    pub fn message(&self, message: ResultMessage) {
        let message = bounded(message);
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let extra = message.extra.as_ref().map_or(0, |extra| extra.to_string().len());
        let name = |name: &Option<String>| name.as_ref().map_or(0, String::len);
        let bytes = message.message.len() + extra + name(&message.context) + name(&message.context_type) + 64;
        let reserve = if message.error { 0 } else { ERRORS_RESERVE_BYTES };
        if messages.bytes + bytes > WAITING_MESSAGES_MAX_BYTES - reserve {
            messages.dropped += 1;
            return;
        }
        messages.bytes += bytes;
        messages.waiting.push(message);
        if messages.waiting.len() == 1 {
            self.tell();
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
        answered.await.unwrap_or_else(|_| Err(GIVEN_UP.to_owned())).map(|()| ids).map_err(SubtasksRefused)
    }

    /// The same without waiting: they are inserted before the outcome is recorded. Where they are refused, the log says
    /// so and the attempt is retried, whatever its outcome.
    ///
    /// # Errors
    /// A list that is too long, or names a parent that is not in it.
    pub fn insert_later(&self, tasks: Vec<NewTask>) -> Result<Vec<Uuid>, SubtasksRefused> {
        self.ask(tasks, None)
    }

    fn ask(&self, mut tasks: Vec<NewTask>, answer: Option<asked::Answer>) -> Result<Vec<Uuid>, SubtasksRefused> {
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
        let mut asked = self.asked();
        asked.has_inserted = true;
        asked.push(Ask { wanted: Wanted::Subtasks(tasks), answer });
        drop(asked);
        self.tell();
        Ok(ids)
    }

    /// Records build data of this task, whose id it takes, as long as the attempt holds its task, and waits for it.
    ///
    /// # Errors
    /// What is out of its bounds, or what the database refuses; or the task is not this attempt's any more.
    pub async fn build_data(&self, data: NewBuildData) -> Result<(), BuildDataRefused> {
        let (answer, answered) = oneshot::channel();
        self.ask_for_build_data(data, Some(answer))?;
        answered.await.unwrap_or_else(|_| Err(GIVEN_UP.to_owned())).map_err(BuildDataRefused)
    }

    /// The same without waiting: it is recorded before the outcome is. Where the database refuses it, the log says so;
    /// the outcome stays as it is.
    ///
    /// # Errors
    /// What is out of its bounds, or too much while as much waits to be recorded.
    pub fn build_data_later(&self, data: NewBuildData) -> Result<(), BuildDataRefused> {
        self.ask_for_build_data(data, None)
    }

    fn ask_for_build_data(&self, data: NewBuildData, answer: Option<asked::Answer>) -> Result<(), BuildDataRefused> {
        let data = NewBuildData { task_id: self.task.task_id, ..data };
        data.check().map_err(BuildDataRefused)?;
        self.asked().push_build_data(data, answer)?;
        self.tell();
        Ok(())
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells that something waits to be written.
    fn tell(&self) {
        // nobody receives only when the worker is gone
        self.said.send(self.task.task_id).ok();
    }

    /// Whether subtasks or build data wait to be written.
    pub(crate) fn has_asked(&self) -> bool {
        !self.asked().is_empty()
    }

    /// Whether subtasks were ever asked for.
    pub(crate) fn has_inserted(&self) -> bool {
        self.asked().has_inserted
    }

    /// The next that is to be written.
    pub(crate) fn take_asked(&self) -> Option<Ask> {
        self.asked().pop()
    }

    /// Puts back what could not be written at this moment.
    pub(crate) fn ask_again(&self, ask: Ask) {
        self.asked().put_back(ask);
    }

    /// Something was refused: whoever waits for it is told, or else the log. Without its subtasks the attempt will not
    /// pass.
    pub(crate) fn refused(&self, ask: Ask, problem: String) {
        let text = match &ask.wanted {
            Wanted::Subtasks(_) => SubtasksRefused(problem.clone()).to_string(),
            Wanted::BuildData(data) => BuildDataRefused(problem.clone()).about(data),
        };
        let is_subtasks = matches!(ask.wanted, Wanted::Subtasks(_));
        if ask.answer(Err(problem.clone())) {
            return;
        }
        self.message(ResultMessage::error(text));
        if is_subtasks {
            self.refuse_subtasks(problem);
        }
    }

    /// What an executor's program said of subtasks cannot be done: the attempt will not pass.
    pub(crate) fn refuse_subtasks(&self, problem: String) {
        self.asked().refusal = Some(problem);
    }

    /// Why subtasks were refused that nobody waited for.
    pub(crate) fn take_refusal(&self) -> Option<String> {
        self.asked().refusal.take()
    }

    /// Takes the subtasks that wait to be inserted. For whoever runs an executor without a worker: a test of one.
    pub fn take_subtasks(&self) -> Vec<NewTask> {
        self.asked().take_subtasks()
    }

    /// The same for build data.
    pub fn take_build_data(&self) -> Vec<NewBuildData> {
        self.asked().take_build_data()
    }

    /// Whether messages wait to be recorded.
    pub(crate) fn has_messages(&self) -> bool {
        !self.messages.lock().unwrap_or_else(PoisonError::into_inner).waiting.is_empty()
    }

    /// Waits until there is room for more messages: for an executor that can wait, so that none is dropped. Over at
    /// once while less than half of it is taken.
    pub async fn room(&self) {
        loop {
            let taken = self.taken.notified();
            let waiting = self.messages.lock().unwrap_or_else(PoisonError::into_inner).bytes;
            if waiting < WAITING_MESSAGES_MAX_BYTES / 2 {
                return;
            }
            taken.await;
        }
    }

    /// Takes the messages that wait to be recorded. For whoever runs an executor: the worker, or a test of one.
    pub fn take_messages(&self) -> Vec<ResultMessage> {
        let mut messages = std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner));
        self.taken.notify_waiters();
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
