//! What must hold when things break: real worker processes, a real Postgres, real signals.
//!
//! `rig` starts a worker process on a database of a story's own, `program` is the process that has executors in Rust,
//! `tally` is what its executors wrote down, `proxy` stands between a worker and its database and breaks connections at
//! a statement of choice, `audit` judges the database afterwards. Everything else is stories, one module a theme.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../../../queue/tests/support/mod.rs"]
mod support;

mod audit;
mod cuts;
mod killed;
mod program;
mod proxy;
mod rig;
mod tally;
mod wire;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

/// Stories wait much more than they compute: more of them run at once than there are cores.
const AT_ONCE: usize = 8;

/// No story takes longer, whatever hangs.
const STORY_MAX: Duration = Duration::from_secs(150);

macro_rules! stories {
    ($($theme:ident: $($name:ident),+;)+) => {
        vec![$($(story(concat!(stringify!($theme), "::", stringify!($name)), $theme::$name)),+),+]
    };
}

fn main() -> ExitCode {
    if program::is_asked_for() {
        return program::run();
    }
    let stories = stories![
        killed: a_killed_workers_tasks_run_again_and_no_other_is_disturbed,
            a_worker_stopped_past_its_lease_is_refused_and_its_executor_told;
        cuts: claims_cut_at_every_point_lose_nothing, completions_cut_at_every_point_are_recorded_once,
            messages_cut_at_every_point_stay_gap_free, retries_cut_at_every_point_burn_no_further_attempt;
    ];
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    libtest_mimic::run(&arguments, stories).exit_code()
}

fn story<F: Future<Output = ()> + 'static>(name: &str, story: fn() -> F) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            tokio::time::timeout(STORY_MAX, story()).await.map_err(|_| format!("took longer than {STORY_MAX:?}").into())
        })
    })
}
