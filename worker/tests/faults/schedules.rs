//! Schedules while leaders are killed and stopped.

use longshore_postgres::Signal;

use crate::rig::{Process, Rig, Setup};

/// Fires every second, also what a change of leader delays; no worker here knows its action.
const EVERY_SECOND: &str = "INSERT INTO schedules (name, cron, time_zone, action, overlap, missed)
    VALUES ('s', '* * * * * *', 'Asia/Kathmandu', 'elsewhere', 'queue', 'all')";

fn start(rig: &Rig, name: &'static str) -> Process {
    let worker = "heartbeat = \"500ms\"\nlease = \"3s\"".to_owned();
    rig.start(Setup { name, binary: true, worker, ..Setup::default() })
}

/// That the ticks are seconds without a gap, and that each has exactly one task.
async fn audit(rig: &Rig) -> i64 {
    // one statement: ticks come meanwhile
    let (ticks, counts): (i64, Vec<i64>) = rig
        .database
        .value(
            "SELECT (
                 count(*),
                 ARRAY[
                     count(*) FILTER (WHERE outcome = 'fired'),
                     (SELECT count(*) FROM tasks JOIN schedule_ticks USING (task_id)),
                     (SELECT count(*) FROM tasks),
                     extract(epoch FROM max(fire_at) - min(fire_at))::bigint + 1
                 ]
             ) FROM schedule_ticks",
        )
        .await;
    assert_eq!(counts, [ticks; 4], "tick by tick one task");
    ticks
}

/// Waits until the ticks have caught up with the clock, under a later epoch than this.
async fn caught_up(rig: &Rig, epoch: i64) {
    rig.database
        .until(&format!(
            "SELECT epoch > {epoch} AND (SELECT ticked_to > now() - interval '2 s' FROM schedules) FROM active_instance"
        ))
        .await;
}

pub(crate) async fn each_second_has_one_task_while_leaders_are_killed_and_stopped() {
    let rig = Rig::new().await;
    let mut one = start(&rig, "one");
    one.says("is the active instance").await;
    let two = start(&rig, "two");
    two.works().await;
    rig.database.run(EVERY_SECOND).await;
    rig.database.until("SELECT count(*) >= 3 FROM schedule_ticks").await;
    one.kill();
    caught_up(&rig, 1).await;
    let three = start(&rig, "three");
    three.works().await;
    two.signal(Signal::STOP);
    caught_up(&rig, 2).await;
    two.signal(Signal::CONT);
    two.says("another worker is the active instance").await;
    rig.database.until(&format!("SELECT count(*) >= {} FROM schedule_ticks", audit(&rig).await + 3)).await;
    println!("figure: {} ticks over two changes of the leader, each with one task", audit(&rig).await);
    let lag: String = rig.database.value("SELECT max(decided_at - fire_at)::text FROM schedule_ticks").await;
    println!("figure: the latest of them came after {lag} at a lease of 3 s");
}

pub(crate) async fn a_schedule_that_cannot_fire_says_why_and_the_others_go_on() {
    let rig = Rig::new().await;
    let worker = start(&rig, "worker");
    worker.says("is the active instance").await;
    rig.database
        .run(&format!(
            "{EVERY_SECOND};
             INSERT INTO schedules (name, cron, action) VALUES ('a', '0 0 30 2 *', 'elsewhere');
             INSERT INTO schedules (name, cron, action) VALUES ('b', '* * * * * *', 'refused');
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON tasks FOR EACH ROW WHEN (NEW.action = 'refused')
                 EXECUTE FUNCTION refuse()"
        ))
        .await;
    rig.database.until("SELECT count(*) = 2 FROM schedules WHERE error IS NOT NULL").await;
    let errors: Vec<String> =
        rig.database.values("SELECT error FROM schedules WHERE error IS NOT NULL ORDER BY name").await;
    assert!(errors[0].starts_with("cron \"0 0 30 2 *\" never comes"), "{errors:?}");
    assert!(errors[1].starts_with("the task is refused: ") && errors[1].contains("not this one"), "{errors:?}");
    rig.database.until("SELECT count(*) >= 3 FROM schedule_ticks WHERE schedule = 's'").await;
    rig.database.run("UPDATE schedules SET action = 'elsewhere' WHERE name = 'b'").await;
    rig.database.until("SELECT EXISTS (SELECT FROM schedule_ticks WHERE schedule = 'b' AND outcome = 'fired')").await;
    assert!(rig.database.value::<bool>("SELECT error IS NULL FROM schedules WHERE name = 'b'").await);
}
