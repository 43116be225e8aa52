//! Task documents: a task with its result and its log as JSON, alone or with the tasks below it. The same documents
//! come from SQL: `task_document(task_id)` and `task_tree_document(task_id, layers)`; `result_node_filter` is
//! [`NodeFilter`].

use std::collections::BTreeMap;
use std::num::NonZeroU8;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::{BuildData, Result};

/// Which tasks below the first one get a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layers {
    /// All of them.
    All,
    /// So many layers; the task itself is the first.
    Upto(NonZeroU8),
}

impl Layers {
    /// The task alone.
    pub const ONE: Self = Self::Upto(NonZeroU8::MIN);

    /// As a number; no tree is deeper than 64.
    fn count(self) -> i32 {
        match self {
            Self::All => 64,
            Self::Upto(layers) => i32::from(layers.get()),
        }
    }
}

/// The document of a task.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the keys of the document")]
pub struct TaskDocument {
    pub kind: &'static str,
    #[serde(rename = "apiVersion")]
    pub api_version: &'static str,
    pub task_id: Uuid,
    pub action: String,
    pub parent_task_id: Option<Uuid>,
    pub design_ref: Option<String>,
    pub status: String,
    pub node_filter: Option<Box<RawValue>>,
    pub subtask_id_list: Vec<Uuid>,
    pub created: String,
    pub created_by: String,
    pub updated: Option<String>,
    pub terminated: Option<String>,
    pub terminated_by: Option<String>,
    pub terminate: bool,
    pub retry: i16,
    pub result: StatusDocument,
    /// Where it was asked for: of [`builds_of_task`](crate::builds_of_task).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_data: Option<Vec<BuildData>>,
    /// Where it was asked for: of [`subtask_errors`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subtask_errors: Option<BTreeMap<Uuid, SubtaskErrors>>,
}

/// The result of a task below another one, whose log has errors.
#[derive(Debug, Clone, Serialize)]
pub struct SubtaskErrors {
    /// Which task.
    pub task_id: Uuid,
    /// Its result, with the log.
    #[serde(flatten)]
    pub result: StatusDocument,
}

/// The document of a task's result.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the keys of the document")]
pub struct StatusDocument {
    pub kind: &'static str,
    #[serde(rename = "apiVersion")]
    pub api_version: &'static str,
    pub metadata: BTreeMap<(), ()>,
    pub message: Option<String>,
    pub reason: Option<String>,
    pub status: String,
    pub successes: Vec<String>,
    pub failures: Vec<String>,
    pub links: Vec<Link>,
    pub details: Details,
}

impl StatusDocument {
    /// The node filter of what these name; of no nodes where they name none.
    pub fn node_filter(&self, of: Named) -> NodeFilter {
        NodeFilter::of(match of {
            Named::Successes => self.successes.clone(),
            Named::Failures => self.failures.clone(),
        })
    }
}

/// Which names of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// Those for which it went well.
    Successes,
    /// Those for which it did not.
    Failures,
}

/// The document that says which nodes a task is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the keys of the document")]
pub struct NodeFilter {
    pub filter_set_type: &'static str,
    pub filter_set: [NodeNames; 1],
}

/// The one filter of a [`NodeFilter`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the keys of the document")]
pub struct NodeNames {
    pub node_names: Vec<String>,
    pub filter_type: &'static str,
}

impl NodeFilter {
    /// The filter that names these nodes: no nodes for no names, never all.
    pub fn of(names: Vec<String>) -> Self {
        Self { filter_set_type: "intersection", filter_set: [NodeNames { node_names: names, filter_type: "union" }] }
    }
}

/// A link of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// What it is to the result.
    pub rel: String,
    /// Where it leads.
    pub href: String,
}

/// The log of a task.
#[derive(Debug, Clone, Serialize)]
pub struct Details {
    /// Errors in the whole log.
    #[serde(rename = "errorCount")]
    pub error_count: i64,
    /// Its last messages, in order.
    #[serde(rename = "messageList")]
    pub message_list: Vec<StatusMessageDocument>,
}

/// The document of a message.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the keys of the document")]
pub struct StatusMessageDocument {
    pub message: String,
    pub error: bool,
    pub context_type: Option<String>,
    pub context: Option<String>,
    pub ts: String,
    pub extra: Box<RawValue>,
}

/// The documents of a tree, the first task's first. Serialized, they are a map by task id, with `init_task_id`.
#[derive(Debug, Clone)]
pub struct TreeDocument(pub Vec<TaskDocument>);

impl Serialize for TreeDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len() + 1))?;
        map.serialize_entry("init_task_id", &self.0.first().map(|task| task.task_id))?;
        for task in &self.0 {
            map.serialize_entry(&task.task_id, task)?;
        }
        map.end()
    }
}

/// A row of the statement.
#[derive(sqlx::FromRow)]
struct Row {
    task_id: Uuid,
    action: String,
    parent_task_id: Option<Uuid>,
    design_ref: Option<String>,
    status: String,
    node_filter: Option<String>,
    subtask_id_list: Vec<Uuid>,
    created: DateTime<Utc>,
    created_by: String,
    updated: Option<DateTime<Utc>>,
    terminated_at: Option<DateTime<Utc>>,
    terminated_by: Option<String>,
    terminate: bool,
    retry: i16,
    result_message: Option<String>,
    result_reason: Option<String>,
    result_status: String,
    result_successes: Vec<String>,
    result_failures: Vec<String>,
    result_links: Option<String>,
    error_count: i64,
    messages: Vec<String>,
    errors: Vec<bool>,
    context_types: Vec<Option<String>>,
    contexts: Vec<Option<String>>,
    instants: Vec<DateTime<Utc>>,
    extras: Vec<Option<String>>,
}

impl From<Row> for TaskDocument {
    fn from(mut row: Row) -> Self {
        row.subtask_id_list.sort_unstable();
        // the columns of one log: equally long
        let context = row.context_types.into_iter().zip(row.contexts);
        let time = row.instants.into_iter().zip(row.extras);
        let message_list = row.messages.into_iter().zip(row.errors).zip(context).zip(time);
        let message_list = message_list.map(|(((message, error), (context_type, context)), (ts, extra))| {
            StatusMessageDocument { message, error, context_type, context, ts: instant(ts), extra: object(extra) }
        });
        Self {
            kind: "Task",
            api_version: "v1",
            task_id: row.task_id,
            action: row.action,
            parent_task_id: row.parent_task_id,
            design_ref: row.design_ref,
            status: row.status,
            node_filter: row.node_filter.map(raw),
            subtask_id_list: row.subtask_id_list,
            created: instant(row.created),
            created_by: row.created_by,
            updated: row.updated.map(instant),
            terminated: row.terminated_at.map(instant),
            terminated_by: row.terminated_by,
            terminate: row.terminate,
            retry: row.retry,
            result: StatusDocument {
                kind: "Status",
                api_version: "v1.0",
                metadata: BTreeMap::new(),
                message: row.result_message,
                reason: row.result_reason,
                status: row.result_status,
                successes: row.result_successes,
                failures: row.result_failures,
                links: links(row.result_links.as_deref()),
                details: Details { error_count: row.error_count, message_list: message_list.collect() },
            },
            build_data: None,
            subtask_errors: None,
        }
    }
}

/// An instant as documents write it.
pub(crate) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// JSON as the database wrote it: numbers keep all their digits.
fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect("the database's jsonb is JSON")
}

/// Free fields of a message: an object, whatever was given.
fn object(extra: Option<String>) -> Box<RawValue> {
    raw(match extra {
        Some(extra) if extra.starts_with('{') => extra,
        Some(extra) if extra != "null" => format!("{{\"value\":{extra}}}"),
        _ => "{}".to_owned(),
    })
}

/// Links by relation, flat: relations in the order of their bytes, the URIs of each in their own.
fn links(links: Option<&str>) -> Vec<Link> {
    // what an executor wrote that is no list of texts is no link
    let by_relation: BTreeMap<String, Box<RawValue>> =
        links.and_then(|links| serde_json::from_str(links).ok()).unwrap_or_default();
    let uris = |(rel, uris): (String, Box<RawValue>)| {
        let uris: Vec<Box<RawValue>> = serde_json::from_str(uris.get()).unwrap_or_default();
        let uris = uris.into_iter().filter_map(|uri| serde_json::from_str(uri.get()).ok());
        uris.map(move |href| Link { rel: rel.clone(), href }).collect::<Vec<_>>()
    };
    by_relation.into_iter().flat_map(uris).collect()
}

/// Reads the documents of a task and of those below it, the task itself first; nothing when there is none of that id.
/// Each has the last `messages` of its log, and the error count of all of it.
///
/// # Errors
/// Those of the database.
pub async fn documents(
    db: impl PgExecutor<'_>,
    task_id: Uuid,
    layers: Layers,
    messages: u16,
) -> Result<Vec<TaskDocument>> {
    let rows = rows(db, task_id, layers, messages, false).await?;
    Ok(rows.into_iter().map(TaskDocument::from).collect())
}

/// Reads the results of all tasks below a task whose logs have errors, by their ids, each with the last `messages` of
/// its log.
///
/// # Errors
/// Those of the database.
pub async fn subtask_errors(
    db: impl PgExecutor<'_>,
    task_id: Uuid,
    messages: u16,
) -> Result<BTreeMap<Uuid, SubtaskErrors>> {
    let rows = rows(db, task_id, Layers::All, messages, true).await?;
    let errors = rows.into_iter().map(TaskDocument::from).map(|task| {
        let TaskDocument { task_id, result, .. } = task;
        (task_id, SubtaskErrors { task_id, result })
    });
    Ok(errors.collect())
}

async fn rows(
    db: impl PgExecutor<'_>,
    task_id: Uuid,
    layers: Layers,
    messages: u16,
    errors_below: bool,
) -> Result<Vec<Row>> {
    Ok(sqlx::query_as(include_str!("sql/documents.sql"))
        .bind(task_id)
        .bind(layers.count())
        .bind(i32::from(messages))
        .bind(errors_below)
        .fetch_all(db)
        .await?)
}
