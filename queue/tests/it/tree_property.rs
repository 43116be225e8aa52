//! Random trees, stepped at random over several connections, and checked by what the rules say about any tree.

use std::collections::{BTreeMap, BTreeSet};

use longshore_queue::{
    Bubble, Completion, Held, NewTask, Requeue, ResultStatus, RetryFailed, SubtaskPolicy, Suspension, TaskResult,
    TreeOutcome, Wait, insert_many, terminate,
};
use uuid::Uuid;

use crate::support::actor::{back, named};
use crate::support::tree_rules::{Row, Said, check, rows};
use crate::support::trees::Player;
use crate::support::{Database, database};
use ResultStatus::{Failure, Incomplete, PartialSuccess, Success};

/// Tasks of a world: enough for every rule to meet every other, few enough to be stepped in seconds.
const TASKS_MAX: usize = 60;

struct World {
    database: Database,
    random: fastrand::Rng,
    players: Vec<Player>,
    held: Vec<Vec<Held>>,
    said: BTreeMap<Uuid, Said>,
    inserted: usize,
}

impl World {
    async fn new(seed: u64) -> Self {
        let database = database().await;
        let mut players = Vec::new();
        for _ in 0..3 {
            players.push(Player::enter(&database).await);
        }
        let random = fastrand::Rng::with_seed(seed);
        Self { database, random, players, held: vec![Vec::new(); 3], said: BTreeMap::new(), inserted: 0 }
    }

    async fn rows(&self) -> Vec<Row> {
        rows(&self.database).await
    }

    /// Inserts a few tasks with one statement: below this one if it may have any, and below each other.
    async fn insert(&mut self, below: Option<Uuid>) {
        let mut tasks: Vec<NewTask> = Vec::new();
        for _ in 0..self.random.usize(1..8) {
            let parents: Vec<Option<Uuid>> =
                std::iter::once(below).chain(tasks.iter().map(|task| task.task_id)).collect();
            let parent = parents[self.random.usize(..parents.len())];
            let siblings: Vec<Uuid> =
                tasks.iter().filter(|task| task.parent_task_id == parent).filter_map(|task| task.task_id).collect();
            let after = if parent.is_some() {
                siblings.into_iter().filter(|_| self.random.u8(..3) == 0).collect()
            } else {
                Vec::new()
            };
            let policy = self.random.usize(..6);
            tasks.push(NewTask {
                task_id: Some(Uuid::now_v7()),
                parent_task_id: parent,
                after,
                on_subtask_failure: SubtaskPolicy::ALL.get(policy).copied(),
                ..named("task")
            });
        }
        // refused only where the parent ends in between
        if insert_many(&mut self.database.conn().await, &tasks).await.is_ok() {
            self.inserted += tasks.len();
        }
    }

    /// A player takes what there is, and nothing that has to wait.
    async fn claim(&mut self, who: usize) {
        let limit = self.random.usize(1..5);
        let batch = self.players[who].actor.claim(limit).await;
        let rows: BTreeMap<Uuid, Row> = self.rows().await.into_iter().map(|row| (row.task_id, row)).collect();
        for held in &batch.held {
            let row = &rows[&held.task_id];
            let policy = row.parent_task_id.and_then(|parent| rows[&parent].policy.clone());
            for predecessor in &row.predecessors {
                let before = &rows[predecessor];
                assert!(["complete", "terminated"].contains(&before.status.as_str()), "{row:?} ran before {before:?}");
                let is_met = ["success", "partial_success"].contains(&before.result_status.as_str());
                assert!(is_met || policy.as_deref() == Some("continue"), "{row:?} ran although {before:?}");
            }
        }
        self.held[who].extend(batch.held);
    }

    fn result(&mut self) -> TaskResult {
        let status = [Success, Success, Success, Failure, PartialSuccess, Incomplete][self.random.usize(..6)];
        let name = |world: &mut Self| format!("n{}", world.random.u8(..8));
        let mut names = |count: usize| -> Vec<String> {
            let all: BTreeSet<String> = (0..count).map(|_| name(self)).collect();
            all.into_iter().collect()
        };
        let (successes, failures) = match status {
            Success => (names(2), Vec::new()),
            Failure => (Vec::new(), names(2)),
            _ => (names(1), names(1)),
        };
        TaskResult { status, successes, failures, ..TaskResult::default() }
    }

    /// What a held task's executor brings. `open` and `ended` subtasks are known where nobody else acts meanwhile.
    async fn outcome(&mut self, held: Held, alone: bool, last: bool) -> TreeOutcome {
        let count =
            "SELECT count(*) FILTER (WHERE status NOT IN ('complete', 'terminated')) FROM tasks WHERE parent_task_id";
        let open: i64 = self.database.value(&format!("{count} = '{}'", held.task_id)).await;
        let step = if last { 0 } else { self.random.u8(..10) };
        match step {
            5 if open > 0 => {
                let wait = if self.random.bool() { Wait::All } else { Wait::Any };
                Suspension { held, wait, timeout: None, seen: 0, error_count: 0 }.into()
            }
            6 => Requeue { attempt_back: true, ..back(held, true) }.into(),
            7 => {
                self.said.insert(held.task_id, Said { result: TaskResult::default(), bubbles: Some(true) });
                RetryFailed { held, max: Some(1), message: None, error_count: 0 }.into()
            }
            _ => {
                let mut result = self.result();
                if self.random.u8(..3) == 0 {
                    result.bubble = Some(Bubble::default());
                }
                let bubbles = if result.bubble.is_some() || alone && open > 0 {
                    Some(true)
                } else if alone || open == 0 {
                    Some(false)
                } else {
                    None
                };
                self.said.insert(held.task_id, Said { result: result.clone(), bubbles });
                Completion { held, result, error_count: 0, design_hash: None }.into()
            }
        }
    }

    /// Players settle what they hold, all at the same time.
    async fn settle(&mut self, who: &[usize], last: bool) {
        let mut outcomes = Vec::new();
        for player in who {
            let at = self.random.usize(..self.held[*player].len().max(1));
            let taken = if self.held[*player].is_empty() { None } else { Some(self.held[*player].swap_remove(at)) };
            let outcome = match taken {
                Some(held) => Some((held, self.outcome(held, who.len() == 1, last).await)),
                None => None,
            };
            outcomes.push(outcome);
        }
        let players = self.players.iter_mut().enumerate().filter(|(number, _)| who.contains(number));
        let sent = players.zip(outcomes).filter_map(|((_, player), outcome)| {
            let (held, outcome) = outcome?;
            Some(async move {
                while player.settle(std::slice::from_ref(&outcome)).await.unwrap().is_empty() {
                    tokio::task::yield_now().await;
                }
                held
            })
        });
        futures_util::future::join_all(sent).await;
    }

    async fn step(&mut self) {
        let who = self.random.usize(..3);
        match self.random.u8(..20) {
            0 if self.inserted < TASKS_MAX => self.insert(None).await,
            1..=3 if self.inserted < TASKS_MAX && !self.held[who].is_empty() => {
                let parent = self.held[who][self.random.usize(..self.held[who].len())].task_id;
                self.insert(Some(parent)).await;
            }
            4 => {
                let rows = self.rows().await;
                if !rows.is_empty() && self.random.u8(..3) == 0 {
                    let task_id = rows[self.random.usize(..rows.len())].task_id;
                    terminate(&mut self.database.conn().await, task_id, Some("random")).await.unwrap();
                }
            }
            5..=10 => self.claim(who).await,
            11..=14 => self.settle(&[who], false).await,
            _ => self.settle(&[0, 1, 2], false).await,
        }
    }

    /// Until all has ended.
    async fn drain(&mut self) {
        for _ in 0..500 {
            for who in 0..3 {
                self.claim(who).await;
                while !self.held[who].is_empty() {
                    self.settle(&[who], true).await;
                }
            }
            if self
                .rows()
                .await
                .iter()
                .all(|row| row.rests && ["complete", "terminated"].contains(&row.status.as_str()))
            {
                return;
            }
        }
        panic!("does not end: {:#?}", self.rows().await);
    }
}

#[tokio::test]
async fn random_trees_stepped_at_random_end_as_the_rules_say() {
    let given = std::env::var("LONGSHORE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds: Vec<u64> = given.map_or_else(|| (1..=3).chain([fastrand::u64(..)]).collect(), |seed| vec![seed]);
    for seed in seeds {
        println!("LONGSHORE_SEED={seed}");
        let mut world = World::new(seed).await;
        world.insert(None).await;
        for _ in 0..200 {
            world.step().await;
        }
        world.drain().await;
        let rows = world.rows().await;
        check(&rows, &world.said);
        let terminated = rows.iter().filter(|row| row.status == "terminated").count();
        println!("{} tasks, {terminated} of them terminated", rows.len());
    }
}
