//! What the executors of the test's program wrote down: a line an event, appended to one file by all processes.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::rig::{Rig, eventually};

/// Where executors write.
pub(crate) struct Pen {
    file: File,
}

impl Pen {
    pub(crate) fn new(path: &Path) -> Self {
        Self { file: OpenOptions::new().create(true).append(true).open(path).expect("the tally's file") }
    }

    /// One write a line: lines of several processes do not mix.
    pub(crate) fn write(&self, event: &str, task_id: Uuid, attempt: i16) {
        let line = format!("{event} {task_id} {attempt} {} {}\n", std::process::id(), now_ms());
        (&self.file).write_all(line.as_bytes()).expect("a line of the tally");
    }
}

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// `begin`, `end`, or `stop:` and the reason.
    pub(crate) event: String,
    pub(crate) task_id: Uuid,
    pub(crate) attempt: i16,
    pub(crate) pid: u32,
}

impl Rig {
    /// What was written so far.
    pub(crate) fn tally(&self) -> Vec<Event> {
        let text = std::fs::read_to_string(self.path("tally")).unwrap_or_default();
        text.lines()
            .map(|line| {
                let [event, task_id, attempt, pid, _at_ms] = line.split(' ').collect::<Vec<_>>()[..] else {
                    panic!("not a line of the tally: {line:?}")
                };
                Event {
                    event: event.to_owned(),
                    task_id: task_id.parse().unwrap(),
                    attempt: attempt.parse().unwrap(),
                    pid: pid.parse().unwrap(),
                }
            })
            .collect()
    }

    /// The events of this name.
    pub(crate) fn tallied(&self, event: &str) -> Vec<Event> {
        self.tally().into_iter().filter(|entry| entry.event == event).collect()
    }

    /// How often each task began.
    pub(crate) fn beginnings(&self) -> HashMap<Uuid, usize> {
        let mut counts = HashMap::new();
        for entry in self.tallied("begin") {
            *counts.entry(entry.task_id).or_default() += 1;
        }
        counts
    }

    /// Waits until there are so many events of a name.
    pub(crate) async fn until_tallied(&self, event: &str, count: usize) {
        eventually(&format!("{event} is tallied {count} times"), || self.tallied(event).len() >= count).await;
    }
}

pub(crate) fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
