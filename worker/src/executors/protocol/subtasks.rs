//! Tasks that an executor asks for, by the names of the contract's columns. Pure.

use chrono::{DateTime, Utc};
use longshore_queue::{NewTask, SubtaskPolicy};
use serde_json::Value;
use uuid::Uuid;

use super::{Object, read_duration, shown};

/// Reads a list of tasks.
pub(super) fn read(objects: Vec<Object>) -> Result<Vec<NewTask>, String> {
    let numbered = objects.into_iter().enumerate();
    numbered.map(|(at, object)| read_task(object).map_err(|problem| format!("subtasks[{at}]: {problem}"))).collect()
}

fn read_task(mut object: Object) -> Result<NewTask, String> {
    let after = object.take::<Vec<String>>("after", "a list of UUIDs")?.unwrap_or_default();
    let task = NewTask {
        action: object.take("action", "a string")?.ok_or("`action` is missing")?,
        task_id: take_id(&mut object, "task_id")?,
        parent_task_id: take_id(&mut object, "parent_task_id")?,
        after: after.iter().map(|id| read_id("after", id)).collect::<Result<_, _>>()?,
        on_subtask_failure: object
            .take::<SubtaskPolicy>("on_subtask_failure", "continue, stop, terminate_dependants or terminate_rest")?,
        queue: object.take("queue", "a string")?,
        priority: object.take_integer("priority", 0, 9)?,
        payload: object.take::<Value>("payload", "JSON")?,
        design_ref: object.take("design_ref", "a string")?,
        node_filter: object.take::<Value>("node_filter", "JSON")?,
        request_context: object.take::<Value>("request_context", "JSON")?,
        run_at: object.take::<DateTime<Utc>>("run_at", "an RFC 3339 time")?,
        max_attempts: object.take_integer("max_attempts", 1, 1000)?,
        timeout: object
            .take::<Value>("timeout", "a duration")?
            .map(|value| read_duration("timeout", &value))
            .transpose()?,
        unique_key: object.take("unique_key", "a string")?,
        unique_until_ended: match object.take::<String>("unique_until", "claimed or ended")?.as_deref() {
            None | Some("claimed") => false,
            Some("ended") => true,
            Some(other) => return Err(format!("`unique_until` must be claimed or ended, got {}", shown(other))),
        },
    };
    object.end().map(|()| task)
}

fn take_id(object: &mut Object, key: &str) -> Result<Option<Uuid>, String> {
    object.take::<String>(key, "a UUID")?.map(|id| read_id(key, &id)).transpose()
}

/// Reads an id as the schema has it: with hyphens.
fn read_id(key: &str, id: &str) -> Result<Uuid, String> {
    let read = if id.len() == 36 { Uuid::try_parse(id).ok() } else { None };
    read.ok_or_else(|| format!("`{key}` must be a UUID, got {}", shown(id)))
}
