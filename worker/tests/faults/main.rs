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
mod outage;
mod pooler;
mod program;
mod proxy;
mod rig;
mod shutdown;
mod tally;
mod termination;
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
            a_worker_stopped_past_its_lease_is_refused_and_its_executor_told,
            a_worker_that_claims_again_what_it_lost_keeps_the_new_attempt_apart_from_the_old;
        cuts: claims_cut_at_every_point_lose_nothing, completions_cut_at_every_point_are_recorded_once,
            messages_cut_at_every_point_stay_gap_free, retries_cut_at_every_point_burn_no_further_attempt;
        outage: a_database_away_longer_than_a_lease_costs_no_healthy_worker_its_task,
            killed_postgres_loses_no_acknowledged_insert_and_doubles_no_completion;
        pooler: a_pooler_that_refuses_our_settings_is_named, a_pooler_that_drops_our_settings_is_found_out,
            behind_a_pooler_that_was_named_thousands_of_tasks_end_with_their_own_rows;
        shutdown: sigterm_finishes_what_runs_and_claims_nothing_more, at_the_deadline_what_runs_is_given_back_unburnt,
            a_second_sigterm_gives_back_at_once,
            an_executor_that_ignores_the_shutdown_is_dropped_and_its_task_given_back,
            a_worker_that_cannot_reach_the_database_ends_all_the_same;
        termination: a_running_tasks_executor_is_told_by_notification,
            a_running_tasks_executor_is_told_within_two_seconds_by_polling,
            a_terminated_task_whose_executor_fails_or_dies_is_not_run_again;
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
