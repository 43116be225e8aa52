//! What must hold when things break: real worker processes, a real Postgres, real signals.
//!
//! `rig` starts a worker process on a database of a story's own, `program` is the process that has executors in Rust,
//! `tally` is what its executors wrote down, `collector` takes their spans, `proxy` stands between a worker and its database and breaks connections at
//! a statement of choice, `audit` and `audit_trees` judge the database
//! afterwards. Everything else is stories, one module a theme.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../../../queue/tests/support/mod.rs"]
mod support;

mod audit;
mod audit_trees;
mod build_data;
mod cells;
mod chaos;
mod collector;
mod cuts;
mod designs;
mod executors;
mod failover;
mod health;
mod hostile;
mod hosts;
mod killed;
mod leader;
mod models;
mod notices;
mod outage;
mod pooler;
mod poor;
mod produce;
mod program;
mod proxy;
mod restore;
mod rig;
mod schedules;
mod shutdown;
mod tally;
mod termination;
mod told;
mod traces;
mod trees;
mod versions;
mod wire;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

/// Stories wait much more than they compute: more of them run at once than there are cores.
const AT_ONCE: usize = 8;

/// No story takes longer than this and the time for which faults are thrown at random, whatever hangs.
const STORY_MAX: Duration = Duration::from_secs(120);

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
        chaos: faults_at_random_lose_nothing_and_double_nothing;
        killed: a_killed_workers_tasks_run_again_and_no_other_is_disturbed,
            a_worker_stopped_past_its_lease_is_refused_and_its_executor_told,
            a_worker_that_claims_again_what_it_lost_keeps_the_new_attempt_apart_from_the_old,
            a_drain_that_its_worker_slept_through_is_heard_after_its_burial,
            a_worker_that_drains_and_is_declared_dead_drains_on;
        cells: a_killed_cell_stops_only_its_own_tasks_and_nothing_is_lost,
            a_cell_full_of_long_tasks_keeps_no_other_waiting,
            a_cell_that_is_away_or_lacks_the_schema_at_the_start_is_entered_later,
            when_every_cell_refuses_the_worker_ends;
        cuts: claims_cut_at_every_point_lose_nothing, completions_cut_at_every_point_are_recorded_once,
            a_lost_claim_with_a_task_that_somebody_locks_is_given_back_whole,
            messages_cut_at_every_point_stay_gap_free, retries_cut_at_every_point_burn_no_further_attempt;
        outage: a_database_away_longer_than_a_lease_costs_no_healthy_worker_its_task,
            killed_postgres_loses_no_acknowledged_insert_and_doubles_no_completion;
        hosts: a_worker_and_all_its_connections_follow_the_server_that_can_be_written,
            the_command_line_finds_the_server_that_can_be_written_and_says_why_none_can;
        failover: with_a_synchronous_standby_nothing_that_was_acknowledged_is_lost,
            an_asynchronous_standby_loses_its_lag_and_nothing_else_and_sticks_nowhere;
        restore: a_dump_of_a_queue_at_work_is_restored_and_drained;
        pooler: a_pooler_that_refuses_our_settings_is_named, a_pooler_that_drops_our_settings_is_found_out,
            a_pooler_that_was_named_is_not_asked_to_be_named_where_it_refuses_options,
            behind_a_pooler_that_was_named_thousands_of_tasks_end_with_their_own_rows;
        shutdown: sigterm_finishes_what_runs_and_claims_nothing_more, at_the_deadline_what_runs_is_given_back_unburnt,
            a_drain_that_outlasts_the_lease_loses_no_claim, a_second_sigterm_gives_back_at_once,
            running_programs_are_ended_and_their_tasks_given_back,
            an_executor_that_ignores_the_shutdown_is_dropped_and_its_task_given_back,
            a_worker_that_cannot_reach_the_database_ends_all_the_same;
        termination: a_running_tasks_executor_is_told_by_notification,
            a_running_tasks_executor_is_told_within_two_seconds_by_polling,
            a_terminated_task_whose_executor_fails_or_dies_is_not_run_again,
            what_was_claimed_ahead_is_never_begun_once_it_is_terminated,
            what_was_claimed_ahead_of_slow_tasks_goes_back_for_other_workers;
        trees: a_task_waits_for_its_subtasks_without_holding_a_slot_and_survives_its_worker,
            a_programs_subtasks_run_while_it_waits_and_it_reads_what_they_left,
            a_program_whose_subtasks_are_refused_does_not_pass,
            the_running_tasks_of_a_terminated_tree_are_told;
        build_data: a_programs_build_data_is_there_before_its_end_and_what_is_refused_loses_nothing,
            an_executor_in_rust_waits_for_its_build_data_and_hears_of_what_is_refused,
            build_data_under_a_lost_claim_is_not_recorded;
        executors: one_that_blocks_its_thread_is_given_up_and_its_slot_replaced,
            blocked_threads_hold_up_no_task_that_another_worker_can_do,
            one_that_ignores_its_time_is_dropped_after_its_grace, one_that_panics_ends_its_attempt_alone,
            failed_attempts_leave_their_history_in_the_log,
            programs_that_flood_print_garbage_and_fork_end_alone, a_killed_worker_takes_its_programs_along;
        designs: an_executor_gets_the_design_and_its_hash_stays_with_the_task,
            a_design_that_cannot_be_had_fails_or_is_tried_again_and_the_log_says_why,
            whoever_waits_for_a_design_hears_that_it_shall_end,
            a_failed_attempt_notes_its_design_also_after_somebodys_lock;
        models: a_program_reads_the_model_or_the_documents_and_the_nodes_that_its_task_selects,
            a_thousand_tasks_with_one_design_read_it_once_and_rust_gets_the_model,
            a_design_with_errors_or_a_wrong_filter_ends_the_task_and_the_log_says_why,
            validate_design_records_every_finding_and_fails_a_design_with_errors,
            while_a_large_design_is_read_other_attempts_begin_and_end;
        poor: a_worker_that_cannot_renew_its_lease_claims_nothing, a_slow_database_costs_no_lease,
            a_slow_database_costs_a_worker_of_many_queues_no_lease, a_half_open_heartbeat_costs_no_lease,
            half_open_links_of_all_loops_are_got_over, a_read_only_database_is_waited_for, a_full_disk_is_waited_for,
            a_server_out_of_connections_is_waited_for;
        notices: with_notify_off_tasks_are_found_by_polling,
            a_listener_that_is_ended_comes_back_and_polling_goes_on, a_listener_that_is_half_open_holds_nothing_up;
        leader: a_killed_leader_is_replaced_within_its_lease_and_a_second,
            a_leader_that_is_told_to_end_gives_the_lead_up,
            a_leader_stopped_past_its_lease_changes_nothing_when_it_wakes,
            a_leader_that_cannot_renew_its_lead_says_so_after_its_lease, a_leader_that_cannot_count_goes_on_with_the_rest;
        schedules: each_second_has_one_task_while_leaders_are_killed_and_stopped,
            a_schedule_that_cannot_fire_says_why_and_the_others_go_on;
        told: each_change_of_a_task_is_one_line_of_json_without_what_is_secret,
            what_dead_workers_held_is_told_by_the_leader, a_log_that_nobody_reads_costs_lines_and_nothing_else;
        traces: a_tree_of_tasks_over_two_workers_is_a_trace_of_its_shape,
            failures_are_errors_and_what_nobody_began_is_a_trace_of_its_own,
            a_collector_that_hangs_costs_spans_and_nothing_else, a_collector_that_is_away_costs_spans_and_nothing_else,
            what_a_collector_answers_says_how_many_spans_are_counted_as_exported;
        health: a_worker_answers_for_its_life_its_readiness_and_its_metrics;
        hostile: any_row_that_is_accepted_ends_and_no_worker_is_harmed;
        versions: an_older_worker_goes_on_while_and_after_the_schema_moves_on,
            workers_of_the_release_before_go_on_while_the_schema_is_migrated_and_are_replaced_one_by_one;
    ];
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    libtest_mimic::run(&arguments, stories).exit_code()
}

fn story<F: Future<Output = ()> + 'static>(name: &str, story: fn() -> F) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let limit = STORY_MAX + chaos::duration();
            tokio::time::timeout(limit, story()).await.map_err(|_| format!("took longer than {limit:?}").into())
        })
    })
}
