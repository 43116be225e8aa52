//! Trees written as lines, and a worker that plays them by name.

use std::collections::BTreeMap;
use std::time::Instant;

use longshore_queue::{
    Completion, Held, LastOf, NewTask, ResultStatus, SubtaskPolicy, Suspension, TaskResult, TreeOutcome, Wait,
    insert_many, settle_tree,
};
use uuid::Uuid;

use super::actor::{Actor, named};
use super::{Database, PATIENCE};

/// The tasks of a tree, by name.
pub type Names = BTreeMap<String, Uuid>;

/// Reads `name < parent after a b !policy`; all but the name may be missing.
fn parse(line: &str, names: &mut Names) -> NewTask {
    let (line, policy) = match line.split_once(" !") {
        Some((line, policy)) => (line, Some(SubtaskPolicy::parse(policy).expect("a policy"))),
        None => (line, None),
    };
    let (line, after) = line.split_once(" after ").unwrap_or((line, ""));
    let (name, parent) = match line.split_once(" < ") {
        Some((name, parent)) => (name, Some(names[parent])),
        None => (line, None),
    };
    let after = after.split_whitespace().map(|name| names[name]).collect();
    let task_id = Uuid::now_v7();
    names.insert(name.to_owned(), task_id);
    NewTask { task_id: Some(task_id), parent_task_id: parent, after, on_subtask_failure: policy, ..named(name) }
}

impl Database {
    /// Inserts the lines with one statement.
    pub async fn tree(&self, lines: &[&str]) -> Names {
        let mut names = Names::new();
        self.add(&mut names, lines).await.unwrap();
        names
    }

    /// Inserts more lines with one statement.
    pub async fn add(&self, names: &mut Names, lines: &[&str]) -> longshore_queue::Result<()> {
        let tasks: Vec<NewTask> = lines.iter().map(|line| parse(line, names)).collect();
        insert_many(&mut self.conn().await, &tasks).await.map(drop)
    }

    /// Name and status of all tasks, by name, in one line.
    pub async fn states(&self) -> String {
        self.values::<String>(
            "SELECT concat_ws(' ', payload #>> '{}', status, nullif(result_status, 'incomplete'))
             FROM tasks ORDER BY payload #>> '{}'",
        )
        .await
        .join(", ")
    }
}

/// A worker that settles tasks by their names.
#[derive(Debug)]
pub struct Player {
    pub actor: Actor,
    pub held: BTreeMap<String, Held>,
}

/// A result with these names.
pub fn result(status: ResultStatus, successes: &[&str], failures: &[&str]) -> TaskResult {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    TaskResult { status, successes: names(successes), failures: names(failures), ..TaskResult::default() }
}

impl Player {
    pub async fn enter(database: &Database) -> Self {
        Self { actor: Actor::enter(database).await, held: BTreeMap::new() }
    }

    /// Claims all there is; the names, sorted.
    pub async fn claim(&mut self) -> String {
        let batch = self.actor.claim(1000).await;
        let mut names = batch.names.clone();
        self.held.extend(batch.names.into_iter().zip(batch.held));
        names.sort();
        names.join(" ")
    }

    /// Settles these, as often as it takes: a statement that was refused may hold its locks for a moment longer.
    async fn settle_all(&mut self, mut outcomes: Vec<(String, TreeOutcome)>) {
        let since = Instant::now();
        while !outcomes.is_empty() {
            assert!(
                since.elapsed() < PATIENCE,
                "not settled: {:?}",
                outcomes.iter().map(|one| &one.0).collect::<Vec<_>>()
            );
            let sent: Vec<TreeOutcome> = outcomes.iter().map(|one| one.1.clone()).collect();
            let settled = self.settle(&sent).await.unwrap();
            outcomes.retain(|(name, _)| !settled.contains(&self.held[name].task_id));
        }
    }

    /// Settles these.
    pub async fn settle(&mut self, outcomes: &[TreeOutcome]) -> longshore_queue::Result<Vec<Uuid>> {
        settle_tree(self.actor.session.step().await?.db(), outcomes, &LastOf::default()).await
    }

    /// The end of a held task.
    pub fn ending(&self, name: &str, result: TaskResult) -> TreeOutcome {
        Completion { held: self.held[name], result, error_count: 0, design_hash: None }.into()
    }

    /// Ends held tasks in one batch, all in the same way.
    pub async fn end(&mut self, names: &str, status: ResultStatus) {
        let outcomes =
            names.split_whitespace().map(|name| (name.to_owned(), self.ending(name, result(status, &[], &[]))));
        self.settle_all(outcomes.collect()).await;
    }

    pub async fn succeed(&mut self, names: &str) {
        self.end(names, ResultStatus::Success).await;
    }

    pub async fn fail(&mut self, names: &str) {
        self.end(names, ResultStatus::Failure).await;
    }

    /// Ends a held task with a result.
    pub async fn say(&mut self, name: &str, result: TaskResult) {
        let outcome = self.ending(name, result);
        self.settle_all(vec![(name.to_owned(), outcome)]).await;
    }

    /// Suspends a held task that knows of `seen` ended subtasks.
    pub async fn suspend(&mut self, name: &str, wait: Wait, seen: i64) {
        let suspension = Suspension { held: self.held[name], wait, timeout: None, seen, error_count: 0 };
        self.settle_all(vec![(name.to_owned(), suspension.into())]).await;
    }
}
