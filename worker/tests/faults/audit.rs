//! The independent judge: a trigger of its own notes every change of a task's state, and afterwards nothing may be
//! missing, doubled or left over.

use uuid::Uuid;

use crate::rig::Rig;
use crate::support::Database;

/// Notes what happens to tasks, from before the first one.
pub(crate) async fn install(database: &Database) {
    for statement in [
        "CREATE TABLE history (number bigint GENERATED ALWAYS AS IDENTITY, at timestamptz, task_id uuid,
            before task_status, after task_status, attempt smallint, rescued boolean)",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $note$
         BEGIN
            INSERT INTO public.history (at, task_id, before, after, attempt, rescued)
            VALUES (clock_timestamp(), NEW.task_id, OLD.status, NEW.status, NEW.attempt,
                NEW.status = 'queued' AND NEW.result_reason = 'worker_died');
            RETURN NULL;
         END $note$",
        "CREATE TRIGGER note AFTER UPDATE ON tasks FOR EACH ROW
         WHEN (OLD.status <> NEW.status OR OLD.status IN ('complete', 'terminated')) EXECUTE FUNCTION note()",
    ] {
        database.run(statement).await;
    }
}

/// What must give no row once everything has ended.
const FAULTS: [(&str, &str); 7] = [
    ("a task has not ended", "SELECT format('%s is %s', task_id, status) FROM tasks
        WHERE status NOT IN ('complete', 'terminated')"),
    ("a task ended more than once, or changed afterwards", "SELECT format('%s, %s times', task_id, count(*)) FROM history
        WHERE after IN ('complete', 'terminated') OR before IN ('complete', 'terminated')
        GROUP BY task_id HAVING count(*) > 1"),
    ("a step was not legal", "SELECT format('%s: %s to %s', task_id, before, history.after) FROM history
        WHERE (before, after) NOT IN (('queued', 'running'), ('queued', 'terminated'), ('running', 'queued'),
            ('running', 'complete'), ('running', 'terminating'), ('terminating', 'terminated'),
            -- in trees: released, suspended, waiting to end, and terminated while subtasks are open
            ('requested', 'queued'), ('requested', 'complete'), ('requested', 'terminated'), ('running', 'requested'),
            ('requested', 'terminating'), ('queued', 'terminating'))
            -- a claimed duplicate ends before it starts
            AND NOT (before = 'running' AND after = 'terminated' AND EXISTS (
                SELECT FROM tasks WHERE tasks.task_id = history.task_id AND result_reason = 'duplicate'))"),
    ("a log has gaps", "SELECT format('%s has %s up to %s', task_id, count(*), max(sequence)) FROM result_message
        GROUP BY task_id HAVING count(*) <> max(sequence) OR min(sequence) <> 1"),
    ("attempts are out of bounds", "SELECT format('%s: %s of %s', task_id, attempt, max_attempts) FROM tasks
        WHERE attempt < 0 OR attempt > max_attempts OR status = 'complete' AND attempt = 0"),
    ("attempts went back by more than one, or skipped", "SELECT format('%s: %s', task_id, attempt) FROM (
            SELECT task_id, after, attempt, lag(attempt, 1, 0::smallint) OVER (PARTITION BY task_id ORDER BY number) AS last
            FROM history) AS steps
        WHERE after = 'running' AND attempt <> last + 1 OR after <> 'running' AND attempt NOT IN (last, last - 1)"),
    ("a session is idle in a transaction", "SELECT format('%s: %s', application_name, query) FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'
            AND state_change < now() - interval '2 seconds'"),
];

impl Rig {
    /// Judges: every acknowledged task is there and ended once, nothing else is left.
    pub(crate) async fn judge(&self, acknowledged: &[Uuid]) {
        self.all_end().await;
        self.database.until("SELECT NOT EXISTS (SELECT FROM claims)").await;
        let mut conn = self.database.conn().await;
        let missing: Vec<Uuid> =
            sqlx::query_scalar("SELECT task_id FROM unnest($1::uuid[]) AS task_id EXCEPT SELECT task_id FROM tasks")
                .bind(acknowledged)
                .fetch_all(&mut conn)
                .await
                .unwrap();
        assert!(missing.is_empty(), "acknowledged and not there: {missing:?}");
        for (fault, sql) in FAULTS {
            let found: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut conn).await.unwrap();
            assert!(found.is_empty(), "{fault}: {found:?}");
        }
    }
}
