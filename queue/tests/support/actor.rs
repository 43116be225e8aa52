//! A worker without loops: it takes each step when the test says so.

use std::time::Duration;

use longshore_queue::{
    ClaimRequest, Completion, Held, Key, Keys, LastOf, Lead, Leadership, Locked, NewTask, NumberedMessage, PRIORITIES,
    Requeue, Rescued, Result, ResultMessage, Served, Session, TaskResult, claim, complete, insert_many, lead,
    orphaned_queues, record, register, requeue, rescue,
};
use serde_json::json;
use uuid::Uuid;

use super::Database;

/// The lease of every actor.
pub const LEASE: Duration = Duration::from_secs(15);

/// Keys before every task.
pub const FROM_START: Keys = [Key::START; PRIORITIES];

/// What an actor holds after a claim.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Under which token.
    pub claim_token: Uuid,
    /// The tasks, in the order of the claim.
    pub held: Vec<Held>,
    /// Their names, in the same order.
    pub error_counts: Vec<i32>,
    pub names: Vec<String>,
}

impl Batch {
    /// That this settles all that is left of the batch.
    pub fn last(&self) -> LastOf {
        let mut last = LastOf::default();
        last.push(self.claim_token, i32::try_from(self.held.len()).unwrap());
        last
    }
}

/// A registered worker with a session of its own.
#[derive(Debug)]
pub struct Actor {
    pub worker_id: Uuid,
    pub session: Session,
    /// The actions it knows.
    pub actions: Vec<String>,
    /// What its completions do with locked tasks.
    pub locked: Locked,
}

/// Success, without a word.
pub fn success(held: Held) -> Completion {
    Completion {
        held,
        result: TaskResult { status: longshore_queue::ResultStatus::Success, ..Default::default() },
        error_count: 0,
        design_hash: None,
    }
}

/// Back at once: the attempt counts for a retry, and does not for a release.
pub fn back(held: Held, attempt_back: bool) -> Requeue {
    Requeue { held, delay: Duration::ZERO, attempt_back, reason: None, message: None, error_count: 0 }
}

/// Notes numbered from `first`.
pub fn notes(task_id: Uuid, first: i32, words: &[&str]) -> Vec<NumberedMessage> {
    (first..)
        .zip(words)
        .map(|(sequence, word)| NumberedMessage { task_id, sequence, message: ResultMessage::note(*word) })
        .collect()
}

impl Actor {
    /// Registers a worker that knows the action `work`.
    pub async fn enter(database: &Database) -> Self {
        let mut session = database.connect.session("actor").await.unwrap();
        let worker_id = Uuid::new_v4();
        let actions = vec!["work".to_owned()];
        let served = [Served { queue: "default", actions: &actions, slots: 64 }];
        register(session.step().await.unwrap().db(), worker_id, "actor", LEASE, false, &served).await.unwrap();
        Self { worker_id, session, actions, locked: Locked::Wait }
    }

    /// Claims up to `limit` tasks of the queue `default`, from the start.
    pub async fn claim(&mut self, limit: usize) -> Batch {
        self.claim_from(limit, &FROM_START).await
    }

    /// Claims from these keys.
    pub async fn claim_from(&mut self, limit: usize, keys: &Keys) -> Batch {
        let claim_token = Uuid::new_v4();
        let request = ClaimRequest {
            queue: "default",
            actions: &self.actions,
            limit,
            worker_id: self.worker_id,
            claim_token,
            keys,
        };
        let claimed = claim(self.session.step().await.unwrap().db(), &request).await.unwrap();
        Batch {
            claim_token,
            held: claimed.tasks.iter().map(|task| Held { task_id: task.task_id, claim_token }).collect(),
            error_counts: claimed.tasks.iter().map(|task| task.error_count).collect(),
            names: claimed.tasks.iter().map(|task| task.payload.get().trim_matches('"').to_owned()).collect(),
        }
    }

    pub async fn complete(&mut self, completions: &[Completion], last: &LastOf) -> Result<Vec<Uuid>> {
        complete(self.session.step().await?.db(), "default", completions, last, self.locked).await
    }

    /// Ends all of a batch in success.
    pub async fn succeed(&mut self, batch: &Batch) -> Vec<Uuid> {
        let completions: Vec<Completion> = batch.held.iter().copied().map(success).collect();
        self.complete(&completions, &batch.last()).await.unwrap()
    }

    pub async fn requeue(&mut self, requeues: &[Requeue], last: &LastOf) -> Result<Vec<Uuid>> {
        requeue(self.session.step().await?.db(), "default", requeues, last).await
    }

    pub async fn record(&mut self, held: &[Held], messages: &[NumberedMessage]) -> Result<Vec<Uuid>> {
        record(self.session.step().await?.db(), "default", held, messages).await
    }

    /// Takes or renews the lead under the worker's own id.
    pub async fn lead(&mut self) -> Lead {
        lead(self.session.step().await.unwrap().db(), self.worker_id, LEASE).await.unwrap()
    }

    pub async fn rescue(&mut self, epoch: i64) -> Vec<Rescued> {
        let leadership = Leadership { identity: self.worker_id, epoch };
        let mut step = self.session.step().await.unwrap();
        let mut rescued = Vec::new();
        for queue in orphaned_queues(step.db(), leadership, self.worker_id).await.unwrap() {
            rescued.extend(rescue(step.db(), leadership, self.worker_id, &queue).await.unwrap());
        }
        step.done().await.unwrap();
        rescued
    }
}

/// A task of the action `work` whose payload is its name.
pub fn named(name: &str) -> NewTask {
    NewTask::new("work").payload(json!(name))
}

impl Database {
    /// Inserts tasks with these names, in order.
    pub async fn insert(&self, names: &[&str]) -> Vec<Uuid> {
        let tasks: Vec<NewTask> = names.iter().map(|name| named(name)).collect();
        insert_many(&mut self.conn().await, &tasks).await.unwrap()
    }

    /// The history of all tasks, one line each, by name.
    pub async fn history(&self) -> String {
        self.values::<String>(
            "SELECT concat_ws(' ', payload #>> '{}', status, 'attempt', attempt,
                 nullif(result_status, 'incomplete'), result_reason, 'by ' || terminated_by)
             FROM tasks ORDER BY payload #>> '{}', task_id",
        )
        .await
        .join("\n")
    }

    /// Moves a worker's last heartbeat this many seconds back, as if it had been silent for so long.
    pub async fn silence(&self, actor: &Actor, seconds: u32) {
        self.run(&format!(
            "UPDATE workers SET heartbeat_at = heartbeat_at - interval '{seconds} s' WHERE worker_id = '{}'",
            actor.worker_id
        ))
        .await;
    }

    /// Moves the beginning of a worker's heartbeats back, as if it had been there for so long.
    pub async fn age(&self, actor: &Actor, seconds: u32) {
        self.run(&format!(
            "UPDATE workers SET beating_since = beating_since - interval '{seconds} s' WHERE worker_id = '{}'",
            actor.worker_id
        ))
        .await;
    }
}
