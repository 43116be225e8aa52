//! What an attempt has asked the database for and has not got yet: subtasks and build data, in order.

use std::collections::VecDeque;

use longshore_queue::{NewBuildData, NewTask};
use tokio::sync::oneshot;

/// Subtasks in one list: one statement inserts them, and other tasks of the worker wait for it.
pub const SUBTASKS_MAX: usize = 10_000;

/// Build data of one task that waits in memory: beyond it an entry is refused, unless it is the only one.
const WAITING_BUILD_DATA_MAX_BYTES: usize = 16 * 1024 * 1024;

/// What an entry takes up besides its element.
const ENTRY_BYTES: usize = 1024;

/// Why subtasks were not inserted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("subtasks were refused: {0}")]
pub struct SubtasksRefused(pub String);

/// Why build data was not recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("build data was refused: {0}")]
pub struct BuildDataRefused(pub String);

impl BuildDataRefused {
    /// The same, with the entry's names.
    pub(crate) fn about(&self, data: &NewBuildData) -> String {
        let shown = |name: &str| name.chars().take(64).collect::<String>().replace('\0', "\u{FFFD}");
        format!(
            "build data of node `{}` by `{}` was refused: {}",
            shown(&data.node_name),
            shown(&data.generator),
            self.0
        )
    }
}

/// Where somebody waits for the answer.
pub(super) type Answer = oneshot::Sender<Result<(), String>>;

/// One thing to write.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) wanted: Wanted,
    pub(super) answer: Option<Answer>,
}

/// What is to be written.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// A list of subtasks.
    Subtasks(Vec<NewTask>),
    /// An entry of build data.
    BuildData(NewBuildData),
}

impl Wanted {
    /// What it takes up of the memory for build data.
    fn build_data_bytes(&self) -> usize {
        match self {
            Self::Subtasks(_) => 0,
            Self::BuildData(data) => data.data_element.len() + ENTRY_BYTES,
        }
    }
}

impl Ask {
    /// Tells who waits for it, if anybody does; false when nobody does.
    pub(crate) fn answer(self, answer: Result<(), String>) -> bool {
        // an executor that has ended meanwhile does not wait any more
        self.answer.is_some_and(|waits| waits.send(answer).is_ok())
    }
}

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Asked {
    waiting: VecDeque<Ask>,
    build_data_bytes: usize,
    /// Whether subtasks were ever asked for.
    pub(super) has_inserted: bool,
    /// Why a list of subtasks was refused that nobody waited for.
    pub(super) refusal: Option<String>,
}

impl Asked {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn push(&mut self, ask: Ask) {
        self.build_data_bytes += ask.wanted.build_data_bytes();
        self.waiting.push_back(ask);
    }

    /// Takes an entry in, unless too much waits already.
    pub(super) fn push_build_data(
        &mut self,
        data: NewBuildData,
        answer: Option<Answer>,
    ) -> Result<(), BuildDataRefused> {
        let waiting = self.build_data_bytes;
        let ask = Ask { wanted: Wanted::BuildData(data), answer };
        if waiting > 0 && waiting + ask.wanted.build_data_bytes() > WAITING_BUILD_DATA_MAX_BYTES {
            return Err(BuildDataRefused(format!(
                "{waiting} bytes wait to be recorded, and with it they would be more than {WAITING_BUILD_DATA_MAX_BYTES}: \
                 say it later, or in fewer bytes"
            )));
        }
        self.push(ask);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<Ask> {
        let ask = self.waiting.pop_front()?;
        self.build_data_bytes -= ask.wanted.build_data_bytes();
        Some(ask)
    }

    pub(super) fn put_back(&mut self, ask: Ask) {
        self.build_data_bytes += ask.wanted.build_data_bytes();
        self.waiting.push_front(ask);
    }

    pub(super) fn take_subtasks(&mut self) -> Vec<NewTask> {
        let (subtasks, rest) = self.waiting.drain(..).partition(|ask: &Ask| matches!(ask.wanted, Wanted::Subtasks(_)));
        self.waiting = rest;
        let tasks = |ask: Ask| if let Wanted::Subtasks(tasks) = ask.wanted { tasks } else { Vec::new() };
        VecDeque::into_iter(subtasks).flat_map(tasks).collect()
    }

    pub(super) fn take_build_data(&mut self) -> Vec<NewBuildData> {
        let (entries, rest) = self.waiting.drain(..).partition(|ask: &Ask| matches!(ask.wanted, Wanted::BuildData(_)));
        self.waiting = rest;
        self.build_data_bytes = 0;
        let entry = |ask: Ask| if let Wanted::BuildData(data) = ask.wanted { Some(data) } else { None };
        VecDeque::into_iter(entries).filter_map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn entry(bytes: usize) -> NewBuildData {
        NewBuildData::new("n", Uuid::nil(), "g", "f", "x".repeat(bytes))
    }

    #[test]
    fn build_data_that_waits_is_bounded_but_one_entry_is_always_taken() {
        let mut asked = Asked::default();
        asked.push_build_data(entry(WAITING_BUILD_DATA_MAX_BYTES * 2), None).expect("nothing else waits");
        let refused = asked.push_build_data(entry(1), None).expect_err("too much waits");
        assert!(refused.0.starts_with("33555456 bytes wait to be recorded"), "{refused}");
        let ask = asked.pop().expect("an entry");
        asked.put_back(ask);
        asked.push_build_data(entry(1), None).expect_err("what is put back counts");
        asked.pop().expect("an entry");
        let taken = (0..100_000).take_while(|_| asked.push_build_data(entry(1), None).is_ok()).count();
        assert_eq!(taken, WAITING_BUILD_DATA_MAX_BYTES / (ENTRY_BYTES + 1), "small ones are bounded as well");
        assert_eq!(asked.take_build_data().len(), taken);
        asked.push_build_data(entry(WAITING_BUILD_DATA_MAX_BYTES), None).expect("nothing else waits");
    }
}
