//! `longshore tasks insert`.

use std::fs;
use std::io::{self, Read};
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use longshore_queue::{NewTask, Session, SubtaskPolicy, insert};
use serde_json::Value;
use uuid::Uuid;

use crate::cli::database::ask;
use crate::cli::exit::{BadInput, Exit};
use crate::cli::say::{note, say};
use crate::cli::values::{duration, instant, uuid};

/// The most that is read as JSON: the payload's limit, with room for spaces.
const INPUT_MAX_BYTES: u64 = 1024 * 1024;

/// Inserts a task and prints its id
///
/// A task whose unique key is taken is not inserted: nothing is printed but a word on stderr, and that is no failure.
/// JSON is given as it is, as @FILE, or as - for what comes on stdin.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore tasks insert send_email --payload '{\"to\": \"a@example.com\"}'
  longshore tasks insert report --queue slow --run-at 2030-01-01T02:00:00Z --unique-key nightly
  longshore tasks insert resize --payload @task.json --parent TASK --after TASK1,TASK2")]
pub(super) struct Insert {
    /// What to do
    action: String,
    /// What the action is to be told
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// Which lane of workers does it
    #[arg(long)]
    queue: Option<String>,
    /// 0 (first) to 9
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i16>,
    /// Not before this instant, such as 2030-01-01T02:00:00Z
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    run_at: Option<DateTime<Utc>>,
    /// After so many attempts a failure is final
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    max_attempts: Option<i16>,
    /// How long one attempt may take, such as 90s
    #[arg(long, value_parser = duration)]
    timeout: Option<Duration>,
    /// At most one task of the queue with this key waits
    #[arg(long, value_name = "KEY")]
    unique_key: Option<String>,
    /// With a key: at most one waits or runs
    #[arg(long, requires = "unique_key")]
    unique_until_ended: bool,
    /// The task that it is a part of
    #[arg(long, value_name = "TASK", value_parser = uuid)]
    parent: Option<Uuid>,
    /// Subtasks of the same parent that end first; several with commas
    #[arg(long, value_name = "TASK", value_delimiter = ',', value_parser = uuid)]
    after: Vec<Uuid>,
    /// What a failed subtask of it means for the others
    #[arg(long, value_name = "POLICY", value_parser = policies())]
    on_subtask_failure: Option<SubtaskPolicy>,
    /// URI of its input documents, without credentials
    #[arg(long, value_name = "URI")]
    design_ref: Option<String>,
    /// Which nodes it is about
    #[arg(long, value_name = "JSON")]
    node_filter: Option<String>,
    /// What travels along
    #[arg(long, value_name = "JSON")]
    request_context: Option<String>,
    /// A UUIDv7 of your own
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    task_id: Option<Uuid>,
}

fn policies() -> impl TypedValueParser<Value = SubtaskPolicy> {
    PossibleValuesParser::new(SubtaskPolicy::ALL.map(SubtaskPolicy::as_str))
        .map(|name| SubtaskPolicy::parse(&name).expect("a possible value is the name of a policy"))
}

impl Insert {
    pub(super) async fn run(self, session: &mut Session) -> anyhow::Result<Exit> {
        let task = NewTask {
            task_id: self.task_id,
            action: self.action,
            queue: self.queue,
            priority: self.priority,
            payload: json("payload", self.payload)?,
            design_ref: self.design_ref,
            node_filter: json("node-filter", self.node_filter)?,
            request_context: json("request-context", self.request_context)?,
            run_at: self.run_at,
            max_attempts: self.max_attempts,
            timeout: self.timeout,
            unique_key: self.unique_key,
            unique_until_ended: self.unique_until_ended,
            parent_task_id: self.parent,
            after: self.after,
            on_subtask_failure: self.on_subtask_failure,
        };
        match ask!(session, db => insert(db, &task)) {
            Some(task_id) => say!("{task_id}")?,
            None => note!("not inserted: a task with this unique key waits already"),
        }
        Ok(Exit::Done)
    }
}

/// The value of an option that is JSON, or says where it is.
fn json(option: &str, given: Option<String>) -> anyhow::Result<Option<Value>> {
    let Some(given) = given else { return Ok(None) };
    let text = match given.strip_prefix('@') {
        Some(file) => fs::File::open(file).and_then(read).map_err(|error| BadInput(format!("{file}: {error}")))?,
        None if given == "-" => read(io::stdin()).map_err(|error| BadInput(format!("stdin: {error}")))?,
        None => given,
    };
    let value = serde_json::from_str(&text).map_err(|error| BadInput(format!("--{option} is not JSON: {error}")))?;
    Ok(Some(value))
}

fn read(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(INPUT_MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > INPUT_MAX_BYTES {
        return Err(io::Error::other("longer than 1 MiB"));
    }
    Ok(text)
}
