//! Schedules: each tick one task, whoever leads, and what an edit, a pause and an open task make of it.

use chrono::{DateTime, Duration, Utc};
use longshore_queue::{
    DueSchedule, Leadership, Plan, due_schedules, pause_schedule, prune_ticks, refuse_schedule, run_schedule,
    schedules, tick,
};
use sqlx::Connection;

use crate::support::actor::Actor;
use crate::support::{Database, database};

const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

async fn due(database: &Database) -> Vec<DueSchedule> {
    due_schedules(&mut database.conn().await, 100, std::time::Duration::from_secs(1)).await.unwrap()
}

/// That these instants have come, as minutes after the schedule's `ticked_to`.
fn plan(schedule: &DueSchedule, minutes: &[i64]) -> Plan {
    let at = |minute: &i64| schedule.ticked_to + Duration::minutes(*minute);
    let last = minutes.last().copied().unwrap_or(0);
    Plan { fire_ats: minutes.iter().map(at).collect(), missed_at: None, ticked_to: at(&last), next_at: at(&(last + 1)) }
}

/// Leads, and decides ticks of the one due schedule; the outcomes in order.
async fn ticked(database: &Database, leader: &mut Actor, minutes: &[i64]) -> String {
    let leadership = leadership(leader).await;
    let schedule = due(database).await.remove(0);
    let ticks = tick(&mut database.conn().await, leadership, &schedule, &plan(&schedule, minutes)).await.unwrap();
    ticks.into_iter().map(|tick| tick.outcome).collect::<Vec<_>>().join(" ")
}

async fn leadership(actor: &mut Actor) -> Leadership {
    let lead = actor.lead().await;
    assert!(lead.leads);
    Leadership { identity: actor.worker_id, epoch: lead.epoch }
}

/// A schedule that has ticked to an hour ago, with further columns as `, name` and `, value`.
async fn scheduled(database: &Database, columns: &str, values: &str) {
    database
        .run(&format!(
            "INSERT INTO schedules (name, cron, action, payload{columns}) VALUES ('s', '* * * * *', 'work', '\"s\"'{values});
             UPDATE schedules SET ticked_to = date_trunc('minute', now()) - interval '1 hour'"
        ))
        .await;
}

async fn tasks(database: &Database) -> i64 {
    database.value("SELECT count(*) FROM tasks").await
}

#[tokio::test]
async fn a_tick_inserts_the_schedules_task_and_tells_it_of_the_tick() {
    let database = database().await;
    scheduled(
        &database,
        ", queue, priority, design_ref, node_filter, request_context, max_attempts, \"timeout\", created_by",
        ", 'nightly', 2, 'file:///d.yaml', '{\"n\": 1}', '{\"traceparent\": \"t\"}', 3, '90 s', 'ann'",
    )
    .await;
    let mut leader = Actor::enter(&database).await;
    assert_eq!(ticked(&database, &mut leader, &[1]).await, "fired");
    let task: String = database
        .value(
            "SELECT concat_ws(' ', action, payload, queue, priority, design_ref, node_filter, max_attempts, \"timeout\",
                 created_by, status, run_at > now() - interval '1 minute', request_context ->> 'traceparent',
                 (request_context #>> '{schedule,fire_at}')::timestamptz = ticks.fire_at,
                 request_context #>> '{schedule,name}', request_context #>> '{schedule,by_hand}')
             FROM tasks JOIN schedule_ticks AS ticks USING (task_id)",
        )
        .await;
    assert_eq!(task, "work \"s\" nightly 2 file:///d.yaml {\"n\": 1} 3 00:01:30 ann queued t t t s false");
    assert!(due(&database).await.is_empty() || due(&database).await[0].ticked_to > Utc::now() - Duration::hours(1));
}

#[tokio::test]
async fn two_leaders_that_plan_the_same_tick_insert_one_task() {
    let database = database().await;
    scheduled(&database, ", overlap", ", 'queue'").await;
    let mut leader = Actor::enter(&database).await;
    for round in 1..=20 {
        // both believe the same: as if the lead alone decided nothing
        let leadership = leadership(&mut leader).await;
        let schedule = due(&database).await.remove(0);
        let plan = plan(&schedule, &[1]);
        let (mut one, mut two) = (database.conn().await, database.conn().await);
        let (one, two) =
            tokio::join!(tick(&mut one, leadership, &schedule, &plan), tick(&mut two, leadership, &schedule, &plan));
        assert_eq!(one.unwrap().len() + two.unwrap().len(), 1);
        assert_eq!(tasks(&database).await, round);
    }
}

#[tokio::test]
async fn a_leader_that_was_paused_past_its_lease_ticks_nothing_when_it_wakes() {
    let database = database().await;
    scheduled(&database, "", "").await;
    let (mut old, mut new) = (Actor::enter(&database).await, Actor::enter(&database).await);
    let deposed = leadership(&mut old).await;
    let schedule = due(&database).await.remove(0);
    let tick_of =
        async |by| tick(&mut database.conn().await, by, &schedule, &plan(&schedule, &[1])).await.unwrap().len();
    database.run("UPDATE active_instance SET lease_expires_at = now() - interval '1 s'").await;
    assert_eq!(tick_of(deposed).await, 0, "its lease is over, and nobody else leads");
    let leads = leadership(&mut new).await;
    assert_eq!(tick_of(deposed).await, 0);
    assert!(!refuse_schedule(&mut database.conn().await, deposed, &schedule, "wrong", MINUTE).await.unwrap());
    assert_eq!(prune_ticks(&mut database.conn().await, deposed, MINUTE).await.unwrap(), 0);
    assert_eq!((tasks(&database).await, tick_of(leads).await, tasks(&database).await), (0, 1, 1));
}

#[tokio::test]
async fn a_takeover_waits_for_the_tick_that_is_under_way() {
    let database = database().await;
    scheduled(&database, "", "").await;
    let (mut old, mut new) = (Actor::enter(&database).await, Actor::enter(&database).await);
    let leadership = leadership(&mut old).await;
    let schedule = due(&database).await.remove(0);
    let mut conn = database.conn().await;
    let mut ticking = conn.begin().await.unwrap();
    assert_eq!(tick(&mut *ticking, leadership, &schedule, &plan(&schedule, &[1])).await.unwrap().len(), 1);
    let commit = async {
        database.until_one_waits().await;
        ticking.commit().await.unwrap();
    };
    let mut other = database.conn().await;
    let take = sqlx::query("UPDATE active_instance SET epoch = epoch + 1");
    let (taken, ()) = tokio::join!(take.execute(&mut other), commit);
    assert_eq!((taken.unwrap().rows_affected(), tasks(&database).await), (1, 1));
    new.lead().await;
}

#[tokio::test]
async fn a_leader_killed_within_a_tick_leaves_neither_tick_nor_task_and_the_next_one_fires_it() {
    let database = database().await;
    scheduled(&database, "", "").await;
    let (mut killed, mut next) = (Actor::enter(&database).await, Actor::enter(&database).await);
    let leads = leadership(&mut killed).await;
    let schedule = due(&database).await.remove(0);
    let mut conn = database.conn().await;
    let mut ticking = conn.begin().await.unwrap();
    assert_eq!(tick(&mut *ticking, leads, &schedule, &plan(&schedule, &[1])).await.unwrap().len(), 1);
    ticking.rollback().await.unwrap();
    assert_eq!(database.value::<i64>("SELECT count(*) FROM schedule_ticks").await + tasks(&database).await, 0);
    database.run("UPDATE active_instance SET lease_expires_at = now() - interval '1 s'").await;
    assert_eq!(ticked(&database, &mut next, &[1]).await, "fired");
    assert_eq!(tasks(&database).await, 1);
}

#[tokio::test]
async fn a_tick_of_a_schedule_that_is_written_again_does_not_fire_twice() {
    let database = database().await;
    scheduled(&database, "", "").await;
    let mut leader = Actor::enter(&database).await;
    assert_eq!(ticked(&database, &mut leader, &[1]).await, "fired");
    database.run("DELETE FROM schedules").await;
    scheduled(&database, ", overlap", ", 'queue'").await;
    // as if the clock had gone back as well
    database
        .run("UPDATE schedules SET ticked_to = (SELECT min(fire_at) - interval '1 minute' FROM schedule_ticks)")
        .await;
    assert_eq!(ticked(&database, &mut leader, &[1, 2]).await, "fired");
    assert_eq!(tasks(&database).await, 2);
}

#[tokio::test]
async fn an_open_task_is_waited_for_or_joined_or_replaced_as_the_policy_says() {
    let database = database().await;
    let mut leader = Actor::enter(&database).await;
    scheduled(&database, ", overlap", ", 'skip'").await;
    let mut story = vec![ticked(&database, &mut leader, &[1, 2]).await];
    let batch = leader.claim(1).await;
    story.push(format!("running: {}", ticked(&database, &mut leader, &[1]).await));
    leader.succeed(&batch).await;
    story.push(format!("ended: {}", ticked(&database, &mut leader, &[1]).await));
    database.run("UPDATE schedules SET overlap = 'queue'").await;
    story.push(format!("queue: {}", ticked(&database, &mut leader, &[1, 2]).await));
    database.run("UPDATE schedules SET overlap = 'replace'").await;
    leader.claim(1).await;
    story.push(format!("replace: {}", ticked(&database, &mut leader, &[1]).await));
    let statuses: Vec<String> =
        database.values("SELECT concat_ws(' by ', status::text, terminated_by) FROM tasks ORDER BY task_id").await;
    story.extend(statuses);
    assert_eq!(
        story,
        [
            "fired skipped",
            "running: skipped",
            "ended: fired",
            "queue: fired fired",
            "replace: fired",
            "complete",
            "terminating by schedule s",
            "terminated by schedule s",
            "terminated by schedule s",
            "queued",
        ]
    );
}

#[tokio::test]
async fn what_is_passed_over_leaves_one_row_and_no_task() {
    let database = database().await;
    scheduled(&database, "", "").await;
    let mut leader = Actor::enter(&database).await;
    let leadership = leadership(&mut leader).await;
    let schedule = due(&database).await.remove(0);
    let missed = Plan { missed_at: Some(schedule.ticked_to + Duration::minutes(4)), ..plan(&schedule, &[5]) };
    tick(&mut database.conn().await, leadership, &schedule, &missed).await.unwrap();
    let ticks: Vec<String> = database
        .values("SELECT concat_ws(' ', outcome, task_id IS NOT NULL) FROM schedule_ticks ORDER BY fire_at")
        .await;
    assert_eq!(ticks, ["missed f", "fired t"]);
}

#[tokio::test]
async fn an_edit_undoes_what_was_planned_before_and_counts_from_now() {
    let database = database().await;
    let mut leader = Actor::enter(&database).await;
    for (edit, counts_from_now) in [
        ("cron = '0 0 * * *'", true),
        ("time_zone = 'Europe/Berlin'", true),
        ("cron = NULL, every = '1 hour'", true),
        ("starts_at = now() + interval '1 day'", true),
        ("payload = '\"other\"'", false),
        ("missed = 'none'", false),
        ("paused = true", false),
    ] {
        scheduled(&database, "", "").await;
        let leadership = leadership(&mut leader).await;
        let schedule = due(&database).await.remove(0);
        database.run(&format!("UPDATE schedules SET {edit}")).await;
        let done = tick(&mut database.conn().await, leadership, &schedule, &plan(&schedule, &[1])).await.unwrap();
        assert_eq!((done.len(), tasks(&database).await), (0, 0), "{edit}");
        let ticked_to: DateTime<Utc> = database.value("SELECT ticked_to FROM schedules").await;
        assert_eq!(ticked_to > schedule.ticked_to, counts_from_now, "{edit}");
        database.run("DELETE FROM schedules").await;
    }
}

#[tokio::test]
async fn a_pause_stops_the_ticks_and_its_end_makes_up_none() {
    let database = database().await;
    scheduled(&database, "", "").await;
    let mut conn = database.conn().await;
    assert!(pause_schedule(&mut conn, "s", true).await.unwrap());
    assert_eq!(due(&database).await, []);
    assert!(pause_schedule(&mut conn, "s", false).await.unwrap());
    let resumed = due(&database).await.remove(0);
    assert!(resumed.now - resumed.ticked_to < Duration::minutes(1), "{resumed:?}");
    assert!(!pause_schedule(&mut conn, "other", true).await.unwrap());
}

#[tokio::test]
async fn a_run_by_hand_needs_no_leader_heeds_the_policy_and_leaves_the_ticks_alone() {
    let database = database().await;
    scheduled(&database, ", paused", ", true").await;
    let mut conn = database.conn().await;
    let run = run_schedule(&mut conn, "s").await.unwrap().unwrap();
    let task: uuid::Uuid =
        database.value("SELECT task_id FROM tasks WHERE request_context #>> '{schedule,by_hand}' = 'true'").await;
    assert_eq!((run.outcome.as_str(), run.task_id), ("fired", Some(task)));
    let again = run_schedule(&mut conn, "s").await.unwrap().unwrap();
    assert_eq!((again.outcome.as_str(), again.task_id), ("skipped", None));
    assert_eq!(run_schedule(&mut conn, "other").await.unwrap(), None);
    assert!(database.value::<bool>("SELECT ticked_to < now() - interval '59 minutes' FROM schedules").await);
}

#[tokio::test]
async fn an_error_is_shown_until_the_row_is_edited_and_holds_up_no_other_schedule() {
    let database = database().await;
    scheduled(&database, "", "").await;
    database.run("INSERT INTO schedules (name, every, action) VALUES ('other', '1 h', 'work')").await;
    let mut leader = Actor::enter(&database).await;
    let leadership = leadership(&mut leader).await;
    let wrong = due(&database).await.into_iter().find(|schedule| schedule.name == "s").unwrap();
    let mut conn = database.conn().await;
    assert!(refuse_schedule(&mut conn, leadership, &wrong, "cron is odd", MINUTE).await.unwrap());
    let names = async || due(&database).await.into_iter().map(|schedule| schedule.name).collect::<Vec<_>>();
    assert_eq!(names().await, ["other"]);
    assert_eq!(schedules(&mut conn).await.unwrap()[1].error.as_deref(), Some("cron is odd"));
    database.run("UPDATE schedules SET next_at = now() WHERE name = 's'").await;
    assert_eq!(names().await, ["other", "s"], "it is tried again");
    database.run("UPDATE schedules SET cron = '@hourly' WHERE name = 's'").await;
    assert_eq!(schedules(&mut conn).await.unwrap()[1].error, None);
    assert!(!refuse_schedule(&mut conn, leadership, &wrong, "too late", MINUTE).await.unwrap());
}

#[tokio::test]
async fn a_schedule_that_somebody_edits_at_this_moment_is_passed_over_and_fires_later() {
    let database = database().await;
    scheduled(&database, "", "").await;
    let mut leader = Actor::enter(&database).await;
    let mut editor = database.conn().await;
    let mut edit = editor.begin().await.unwrap();
    sqlx::query("UPDATE schedules SET payload = '1'").execute(&mut *edit).await.unwrap();
    assert_eq!(ticked(&database, &mut leader, &[1]).await, "");
    edit.rollback().await.unwrap();
    assert_eq!(ticked(&database, &mut leader, &[1]).await, "fired");
}

#[tokio::test]
async fn old_ticks_go_with_retention_and_stay_while_their_task_is_open() {
    let database = database().await;
    scheduled(&database, ", overlap", ", 'queue'").await;
    let mut leader = Actor::enter(&database).await;
    ticked(&database, &mut leader, &[1, 2, 3]).await;
    let batch = leader.claim(2).await;
    leader.succeed(&batch).await;
    database.run("UPDATE schedule_ticks SET fire_at = fire_at - interval '30 days' WHERE fire_at < (SELECT max(fire_at) FROM schedule_ticks)").await;
    database.run("UPDATE schedule_ticks SET fire_at = fire_at - interval '31 days' WHERE fire_at = (SELECT max(fire_at) FROM schedule_ticks)").await;
    database
        .run("INSERT INTO schedule_ticks VALUES ('s', now(), 'skipped'), ('s', now() - interval '40 days', 'skipped')")
        .await;
    let leadership = leadership(&mut leader).await;
    let mut conn = database.conn().await;
    assert_eq!(prune_ticks(&mut conn, leadership, 60 * 24 * 30 * MINUTE).await.unwrap(), 3);
    assert_eq!(prune_ticks(&mut conn, leadership, 60 * 24 * 30 * MINUTE).await.unwrap(), 0);
    assert_eq!(
        database.values::<String>("SELECT outcome::text FROM schedule_ticks ORDER BY fire_at").await,
        ["fired", "skipped"]
    );
}
