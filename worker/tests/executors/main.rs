//! The executors against real programs and a real loopback server. No Postgres.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

// needs pidfd, to wait for the end of a process that is nobody's child here
#[cfg(target_os = "linux")]
mod command;
mod http;
mod validate_design;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use longshore_queue::{Outcome, ResultMessage, Task};
use longshore_worker::{Context, Executor, Stop};
use serde_json::value::RawValue;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// How long anything may take that should take a moment.
const DEADLINE: Duration = Duration::from_secs(20);

/// An attempt to run, and what it says.
struct Attempt {
    context: Context,
    said: Mutex<UnboundedReceiver<Uuid>>,
    messages: Vec<ResultMessage>,
}

fn task() -> Task {
    let instant = "2026-01-02T03:04:05Z".parse().unwrap();
    Task {
        task_id: "0197a1b2-0000-7000-8000-000000000001".parse().unwrap(),
        parent_task_id: None,
        root_task_id: None,
        action: "test".to_owned(),
        queue: "default".to_owned(),
        priority: 5,
        payload: RawValue::from_string(r#"{"to":"a@example.com"}"#.to_owned()).unwrap(),
        design_ref: None,
        node_filter: None,
        request_context: None,
        run_at: instant,
        created: instant,
        created_by: "tester".to_owned(),
        timeout: None,
        attempt: 3,
        max_attempts: 20,
        retry: 0,
        unique_key: None,
        has_subtasks: false,
        subtasks: None,
        error_count: 0,
    }
}

fn attempt() -> Attempt {
    attempt_of(task(), DEADLINE)
}

fn attempt_of(task: Task, timeout: Duration) -> Attempt {
    let (sender, said) = unbounded_channel();
    Attempt { context: Context::new(task, timeout, sender), said: Mutex::new(said), messages: Vec::new() }
}

impl Attempt {
    /// Runs it to its outcome, taking messages as they come and stopping it when its time is up, as the worker does.
    async fn run(&mut self, executor: &impl Executor) -> Outcome {
        let outcome = within(async {
            let mut execution = executor.execute(&self.context);
            let mut said = self.said.lock().await;
            let mut time_is_up = pin!(sleep(self.context.timeout()));
            loop {
                tokio::select! {
                    outcome = &mut execution => return outcome,
                    Some(_) = said.recv() => self.messages.extend(self.context.take_messages()),
                    () = &mut time_is_up, if self.context.stop_reason().is_none() => self.context.stop(Stop::Timeout),
                }
            }
        });
        let outcome = outcome.await;
        self.messages.extend(self.context.take_messages());
        outcome
    }

    /// Runs it to its outcome: that, and the messages, a line each.
    async fn story(&mut self, executor: &impl Executor) -> Vec<String> {
        let outcome = self.run(executor).await;
        let mut story: Vec<String> = self.messages.iter().map(told).collect();
        story.push(outcome_told(outcome));
        story
    }

    /// The next messages, as soon as there are any.
    async fn next_messages(&self) -> Vec<ResultMessage> {
        within(async {
            loop {
                let messages = self.context.take_messages();
                if !messages.is_empty() {
                    return messages;
                }
                self.said.lock().await.recv().await;
            }
        })
        .await
    }
}

fn told(message: &ResultMessage) -> String {
    format!("{} {}", if message.error { "error" } else { "message" }, message.message)
}

fn outcome_told(outcome: Outcome) -> String {
    match outcome {
        Outcome::Ended(result) => format!("ended {}", serde_json::to_string(&result).unwrap()),
        Outcome::Retry { after, message, reason } => {
            let after = after.map(|after| format!(" in {after:?}")).unwrap_or_default();
            format!("retry{after}, {reason}: {message}")
        }
        Outcome::Snooze { after } => format!("snooze {after:?}"),
        Outcome::Release => "release".to_owned(),
        Outcome::Suspend { wait, timeout, .. } => format!("suspend {wait:?} {timeout:?}"),
        Outcome::RetryFailed { max, .. } => format!("retry failed {max:?}"),
    }
}

/// What comes of the future, or a panic at the deadline.
async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("takes a moment, and did not end within the deadline")
}
