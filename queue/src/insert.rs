//! Inserting from Rust: the same INSERT that any producer writes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, PgExecutor};
use uuid::Uuid;

use crate::{Result, SubtaskPolicy};

/// A task to insert. What is `None` takes the database's default.
#[derive(Debug, Clone, Default)]
pub struct NewTask {
    /// A UUIDv7 of the producer's own.
    pub task_id: Option<Uuid>,
    /// What to do; 1 to 128 bytes.
    pub action: String,
    /// Which lane; `default`.
    pub queue: Option<String>,
    /// 0 (first) to 9; 5.
    pub priority: Option<i16>,
    /// Up to 256 KiB of JSON text; `{}`.
    pub payload: Option<Value>,
    /// URI of input documents, without credentials.
    pub design_ref: Option<String>,
    /// Which nodes it is about.
    pub node_filter: Option<Value>,
    /// Whatever shall travel along, such as a `traceparent`.
    pub request_context: Option<Value>,
    /// When it is due; now.
    pub run_at: Option<DateTime<Utc>>,
    /// After how many attempts a failure is final; 20.
    pub max_attempts: Option<i16>,
    /// How long one attempt may take; the action's configuration.
    pub timeout: Option<Duration>,
    /// At most one task of this queue and key waits; a further one is not inserted.
    pub unique_key: Option<String>,
    /// With a key: at most one waits or runs.
    pub unique_until_ended: bool,
    /// The task that this one is a part of.
    pub parent_task_id: Option<Uuid>,
    /// Subtasks of the same parent, inserted before or further up in the same statement, that must have ended first.
    pub after: Vec<Uuid>,
    /// What the failure of one of its own subtasks means for the others; the dependants are terminated.
    pub on_subtask_failure: Option<SubtaskPolicy>,
}

impl NewTask {
    /// A task of this action, with defaults.
    pub fn new(action: impl Into<String>) -> Self {
        Self { action: action.into(), ..Self::default() }
    }

    /// The same with a payload.
    #[must_use]
    pub fn payload(self, payload: Value) -> Self {
        Self { payload: Some(payload), ..self }
    }
}

/// Inserts a task: its id, or `None` when its key is taken.
///
/// # Errors
/// Those of the database; a refused value names its constraint.
pub async fn insert(db: impl PgExecutor<'_>, task: &NewTask) -> Result<Option<Uuid>> {
    Ok(insert_many(db, std::slice::from_ref(task)).await?.pop())
}

/// Inserts tasks with one statement: the ids of those whose key was not taken, in order.
///
/// # Errors
/// Those of the database; one refused value refuses all.
pub async fn insert_many(db: impl PgExecutor<'_>, tasks: &[NewTask]) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar_with(include_str!("sql/insert.sql"), columns(tasks)?).fetch_all(db).await?)
}

/// The columns of tasks as arguments, in the order of `insert.sql` and `insert_subtasks.sql`.
pub(crate) fn columns(tasks: &[NewTask]) -> Result<PgArguments> {
    fn column<T>(tasks: &[NewTask], of: impl Fn(&NewTask) -> T) -> Vec<T> {
        tasks.iter().map(of).collect()
    }
    let mut arguments = PgArguments::default();
    macro_rules! add {
        ($($column:expr),* $(,)?) => { $(arguments.add($column).map_err(sqlx::Error::Encode)?;)* };
    }
    add!(
        column(tasks, |task| task.task_id),
        column(tasks, |task| task.action.clone()),
        column(tasks, |task| task.queue.clone()),
        column(tasks, |task| task.priority),
        column(tasks, |task| task.payload.clone()),
        column(tasks, |task| task.design_ref.clone()),
        column(tasks, |task| task.node_filter.clone()),
        column(tasks, |task| task.request_context.clone()),
        column(tasks, |task| task.run_at),
        column(tasks, |task| task.max_attempts),
        column(tasks, |task| task.timeout.map(|timeout| timeout.as_secs_f64())),
        column(tasks, |task| task.unique_key.clone()),
        column(tasks, |task| task.unique_until_ended),
        column(tasks, |task| task.parent_task_id),
        column(tasks, |task| (!task.after.is_empty()).then(|| array(&task.after))),
        column(tasks, |task| task.on_subtask_failure.map(SubtaskPolicy::as_str)),
    );
    Ok(arguments)
}

/// Ids as the text of an array, since an array of arrays cannot be unnested into arrays.
fn array(ids: &[Uuid]) -> String {
    format!("{{{}}}", ids.iter().map(Uuid::to_string).collect::<Vec<_>>().join(","))
}

/// The INSERT of a producer, on one line, to show to people: a task of this action in the tables of this schema.
pub fn example_insert(schema: &str, action: &str) -> String {
    let schema = if schema == "public" { String::new() } else { format!("\"{}\".", schema.replace('"', "\"\"")) };
    let action = action.replace('\'', "''");
    format!(
        r#"INSERT INTO {schema}tasks (action, payload) VALUES ('{action}', '{{"text": "hello"}}') RETURNING task_id"#
    )
}
