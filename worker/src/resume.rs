//! Where the next claim of a queue begins.
//!
//! Claimed entries stay in the index until vacuum removes them, and an old snapshot keeps vacuum from it. So a claim
//! starts behind what was claimed last. What can appear behind that key (a producer that committed late, an aborted
//! claim, a backdated `run_at`) is found by two further passes, each as often as its own cost allows: from two seconds
//! before the key, and from the start. Nothing is lost by a key that is wrong, only found later.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use longshore_queue::{Claimed, Key, Keys, PRIORITIES};
use uuid::Uuid;

/// How far before the key the recent pass begins: longer than producers' transactions usually take.
pub(crate) const RECENT: Duration = Duration::from_secs(2);

/// A pass may use this part of a core: its next turn comes after so many times what it took.
const PACE: u32 = 50;

/// A busy worker looks behind its key no more often than this.
const RECENT_INTERVAL: Duration = Duration::from_millis(250);

/// The pass from the start comes at least this often, unless its cost forbids.
pub(crate) const FULL_INTERVAL: Duration = Duration::from_secs(10);

/// From where a claim looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// From the key.
    Key,
    /// From a little before it.
    Recent,
    /// From the start.
    Full,
}

/// The passes over one queue.
#[derive(Debug)]
pub(crate) struct Resume {
    key: Keys,
    /// A pass under way: it goes on where its last batch ended until a batch is short.
    cursor: Option<(Pass, Keys)>,
    recent_due: Instant,
    full_due: Instant,
    /// The earliest time that its cost allows the pass from the start to be hurried.
    full_allowed: Instant,
    /// Stands for what was paused at the last claim.
    paused: Option<i64>,
}

impl Resume {
    /// A worker that knows nothing begins with a pass from the start.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            key: [Key::START; PRIORITIES],
            cursor: None,
            recent_due: now,
            full_due: now,
            full_allowed: now,
            paused: None,
        }
    }

    /// The pass whose turn it is; `behind` asks for one that looks behind the key.
    pub(crate) fn next(&self, now: Instant, behind: bool) -> Pass {
        match &self.cursor {
            Some((pass, _)) => *pass,
            None if now >= self.full_due => Pass::Full,
            None if behind || now >= self.recent_due => Pass::Recent,
            None => Pass::Key,
        }
    }

    /// How long until the next look behind the key.
    pub(crate) fn recent_in(&self, now: Instant) -> Duration {
        self.recent_due.min(self.full_due).saturating_duration_since(now)
    }

    /// Where that pass begins.
    pub(crate) fn keys(&self, pass: Pass) -> Keys {
        if let Some((under_way, keys)) = &self.cursor
            && *under_way == pass
        {
            return *keys;
        }
        match pass {
            Pass::Key => self.key,
            Pass::Recent => self.key.map(|key| Key { run_at: earlier(key.run_at), task_id: Uuid::nil() }),
            Pass::Full => [Key::START; PRIORITIES],
        }
    }

    /// Takes note of what a pass from `keys` has claimed; true when it was full, so that more may lie behind it.
    pub(crate) fn claimed(
        &mut self,
        pass: Pass,
        mut keys: Keys,
        claimed: &Claimed,
        limit: usize,
        took: Duration,
        now: Instant,
    ) -> bool {
        let full = claimed.tasks.len() >= limit;
        let last = claimed.tasks.last().filter(|_| full);
        // everything due was looked at, in the priorities before that of the last task of a full batch
        let examined = Key { run_at: earlier(claimed.claimed_at), task_id: Uuid::nil() };
        for task in &claimed.tasks {
            let key = &mut keys[usize::from(task.priority.unsigned_abs()).min(PRIORITIES - 1)];
            *key = (*key).max(Key { run_at: task.run_at, task_id: task.task_id });
        }
        for (priority, key) in keys.iter_mut().enumerate() {
            if last.is_none_or(|last| priority < usize::from(last.priority.unsigned_abs())) {
                *key = (*key).max(examined);
            }
        }
        for (mine, reached) in self.key.iter_mut().zip(&keys) {
            *mine = (*mine).max(*reached);
        }
        self.cursor = (full && pass != Pass::Key).then_some((pass, keys));
        if !full {
            let pause = took * PACE;
            match pass {
                Pass::Key => {}
                Pass::Recent => self.recent_due = now + pause.max(RECENT_INTERVAL),
                Pass::Full => {
                    self.full_due = now + pause.max(FULL_INTERVAL);
                    self.full_allowed = now + pause;
                    self.recent_due = self.recent_due.max(now + RECENT_INTERVAL);
                }
            }
        }
        if self.paused != claimed.paused {
            // what was passed over while it was paused lies before the key
            self.paused = claimed.paused;
            self.cursor = None;
            self.full_due = now;
            return true;
        }
        full
    }

    /// Something was inserted and not found near the key: look from the start as soon as its cost allows.
    pub(crate) fn hurry(&mut self) {
        self.full_due = self.full_due.min(self.full_allowed);
    }
}

fn earlier(instant: DateTime<Utc>) -> DateTime<Utc> {
    instant - RECENT
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use longshore_queue::Task;

    fn task(priority: i16, run_at_ms: i64) -> Task {
        Task {
            task_id: Uuid::from_u128(u128::try_from(run_at_ms).unwrap()),
            parent_task_id: None,
            root_task_id: None,
            action: "a".into(),
            queue: "q".into(),
            priority,
            payload: serde_json::value::RawValue::from_string("{}".into()).unwrap(),
            design_ref: None,
            node_filter: None,
            request_context: None,
            run_at: DateTime::from_timestamp_millis(run_at_ms).unwrap(),
            created: DateTime::UNIX_EPOCH,
            created_by: "me".into(),
            timeout: None,
            attempt: 1,
            max_attempts: 20,
            retry: 0,
            unique_key: None,
            has_subtasks: false,
            subtasks: None,
            error_count: 0,
        }
    }

    fn claimed(at_ms: i64, tasks: Vec<Task>) -> Claimed {
        Claimed { claimed_at: DateTime::from_timestamp_millis(at_ms).unwrap(), paused: None, tasks }
    }

    #[test]
    fn when_a_pause_begins_or_ends_the_next_pass_is_one_from_the_start_whatever_is_under_way() {
        let now = Instant::now();
        let mut resume = Resume::new(now);
        let paused = Claimed { paused: Some(1), ..claimed(9_000, vec![]) };
        let dear = Duration::from_secs(1);
        assert!(resume.claimed(Pass::Full, resume.keys(Pass::Full), &paused, 1, dear, now));
        assert!(!resume.claimed(Pass::Full, resume.keys(Pass::Full), &paused, 1, dear, now));
        assert_eq!(resume.next(now, true), Pass::Recent);
        let resumed = claimed(9_500, vec![task(5, 8_000)]);
        assert!(resume.claimed(Pass::Recent, resume.keys(Pass::Recent), &resumed, 1, dear, now));
        assert_eq!(resume.next(now, false), Pass::Full);
        assert_eq!(resume.keys(Pass::Full), [Key::START; PRIORITIES]);
    }

    #[test]
    fn a_full_pass_goes_on_where_its_batch_ended() {
        let now = Instant::now();
        let mut resume = Resume::new(now);
        assert_eq!(resume.next(now, false), Pass::Full);
        let keys = resume.keys(Pass::Full);
        assert!(resume.claimed(
            Pass::Full,
            keys,
            &claimed(9_000, vec![task(5, 1_000), task(5, 2_000)]),
            2,
            Duration::ZERO,
            now
        ));
        assert_eq!(resume.next(now, true), Pass::Full);
        assert_eq!(resume.keys(Pass::Full)[5].run_at.timestamp_millis(), 2_000);
        assert_eq!(resume.keys(Pass::Full)[4].run_at.timestamp_millis(), 7_000, "examined up to 2 s before the claim");
        assert_eq!(resume.keys(Pass::Full)[6], Key::START, "not yet looked at");
    }

    #[test]
    fn a_short_batch_moves_the_key_past_what_was_examined_and_not_wanted() {
        let now = Instant::now();
        let mut resume = Resume::new(now);
        let keys = resume.keys(Pass::Full);
        assert!(!resume.claimed(Pass::Full, keys, &claimed(9_000, vec![]), 10, Duration::ZERO, now));
        assert!(resume.keys(Pass::Key).iter().all(|key| key.run_at.timestamp_millis() == 7_000));
        assert_eq!(resume.next(now, false), Pass::Key);
        assert_eq!(resume.next(now, true), Pass::Recent);
    }

    #[test]
    fn a_dear_pass_comes_as_rarely_as_its_share_of_a_core_allows() {
        let now = Instant::now();
        let mut resume = Resume::new(now);
        let keys = resume.keys(Pass::Full);
        resume.claimed(Pass::Full, keys, &claimed(9_000, vec![]), 10, Duration::from_secs(1), now);
        resume.hurry();
        assert_ne!(resume.next(now + Duration::from_secs(49), false), Pass::Full);
        assert_eq!(resume.next(now + Duration::from_secs(50), false), Pass::Full);
    }

    #[test]
    fn a_hurried_pass_from_the_start_waits_for_its_cost_only() {
        let now = Instant::now();
        let mut resume = Resume::new(now);
        let keys = resume.keys(Pass::Full);
        resume.claimed(Pass::Full, keys, &claimed(9_000, vec![]), 10, Duration::from_millis(1), now);
        assert_ne!(resume.next(now + Duration::from_secs(1), false), Pass::Full);
        resume.hurry();
        assert_eq!(resume.next(now + Duration::from_millis(50), false), Pass::Full);
    }
}
