//! Build data: what was found out about nodes, a history beside the tasks.

use std::time::Duration;

use chrono::{DateTime, Datelike, Utc};
use serde::{Serialize, Serializer};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::leader::unless_deposed;
use crate::{Held, Leadership, Result};

/// An entry to add. Everything is mandatory and not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBuildData {
    /// Its identity, a UUIDv7: sent twice, it is there once.
    pub build_id: Uuid,
    /// Which node, 1 to 253 characters.
    pub node_name: String,
    /// The task that found it out; it need not exist.
    pub task_id: Uuid,
    /// When; `None`: now.
    pub collected_date: Option<DateTime<Utc>>,
    /// What has found it out, 1 to 256 characters.
    pub generator: String,
    /// How the element is to be read, 1 to 32 characters.
    pub data_format: String,
    /// What was found out, up to 64 MiB of text.
    pub data_element: String,
}

impl NewBuildData {
    /// An entry collected now.
    pub fn new(
        node_name: impl Into<String>,
        task_id: Uuid,
        generator: impl Into<String>,
        data_format: impl Into<String>,
        data_element: impl Into<String>,
    ) -> Self {
        Self {
            build_id: Uuid::now_v7(),
            node_name: node_name.into(),
            task_id,
            collected_date: None,
            generator: generator.into(),
            data_format: data_format.into(),
            data_element: data_element.into(),
        }
    }

    /// Looks whether the table takes it.
    ///
    /// # Errors
    /// The first value that is out of its bounds, and what to do.
    pub fn check(&self) -> std::result::Result<(), String> {
        for (column, text, max) in [
            ("node_name", &self.node_name, NAME_MAX_CHARS),
            ("generator", &self.generator, GENERATOR_MAX_CHARS),
            ("data_format", &self.data_format, FORMAT_MAX_CHARS),
        ] {
            let chars = text.chars().count();
            if !(1..=max).contains(&chars) {
                let begins = if chars == 0 { String::new() } else { format!(", beginning `{}`", beginning(text)) };
                return Err(format!("{column} must have 1 to {max} characters, got {chars}{begins}"));
            }
            if text.contains('\0') {
                return Err(format!("{column} must not hold U+0000, got `{}`", beginning(text)));
            }
        }
        let bytes = self.data_element.len();
        if !(1..=ELEMENT_MAX_BYTES).contains(&bytes) {
            return Err(format!(
                "data_element must have 1 to {ELEMENT_MAX_BYTES} bytes, got {bytes}: leave an empty one out, keep a longer \
                 one elsewhere and record where"
            ));
        }
        if let Some(at) = self.data_element.find('\0') {
            return Err(format!(
                "data_element holds U+0000 at byte {at}, which Postgres does not store: encode it (base64, say) and name \
                 that in data_format"
            ));
        }
        match self.collected_date {
            Some(at) if !(2000..2200).contains(&at.year()) => Err(format!(
                "collected_date must be from the year 2000 to 2199, got {at}: leave it out for the time of recording"
            )),
            _ => Ok(()),
        }
    }
}

/// The bounds of the table's columns: domain names, the generators and formats of the task model.
const NAME_MAX_CHARS: usize = 253;
const GENERATOR_MAX_CHARS: usize = 256;
const FORMAT_MAX_CHARS: usize = 32;
const ELEMENT_MAX_BYTES: usize = 64 * 1024 * 1024;

/// As much of a name as an error shows.
fn beginning(text: &str) -> String {
    text.chars().take(32).map(|char| if char == '\0' { '\u{FFFD}' } else { char }).collect()
}

/// Adds an entry, by whoever may write the table; one that is there already stays as it is.
///
/// # Errors
/// Those of the database; a refused value names its constraint.
pub async fn insert_build_data(db: impl PgExecutor<'_>, data: &NewBuildData) -> Result<()> {
    sqlx::query(include_str!("sql/insert_build_data.sql"))
        .bind(data.build_id)
        .bind(&data.node_name)
        .bind(data.task_id)
        .bind(data.collected_date)
        .bind(&data.generator)
        .bind(&data.data_format)
        .bind(&data.data_element)
        .execute(db)
        .await?;
    Ok(())
}

/// Adds an entry for a held task of this queue, whose id it takes; false when the claim is lost, or the task locked by
/// somebody else at this moment ([`fates`](crate::fates) tells). Sent twice, the second has no effect.
///
/// # Errors
/// Those of the database; a refused value names its constraint.
pub async fn record_build_data(db: impl PgExecutor<'_>, queue: &str, held: Held, data: &NewBuildData) -> Result<bool> {
    Ok(sqlx::query_scalar(include_str!("sql/record_build_data.sql"))
        .bind(held.task_id)
        .bind(held.claim_token)
        .bind(data.build_id)
        .bind(&data.node_name)
        .bind(data.collected_date)
        .bind(&data.generator)
        .bind(&data.data_format)
        .bind(&data.data_element)
        .bind(queue)
        .fetch_one(db)
        .await?)
}

/// An entry as recorded; serialized, it is the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct BuildData {
    /// Its identity.
    #[serde(skip)]
    pub build_id: Uuid,
    /// Which node.
    pub node_name: String,
    /// The task that found it out.
    pub task_id: Uuid,
    /// When.
    #[serde(serialize_with = "rfc_3339")]
    pub collected_date: DateTime<Utc>,
    /// What has found it out.
    pub generator: String,
    /// How the element is to be read.
    pub data_format: String,
    /// How long the element is.
    #[serde(skip)]
    pub data_bytes: i32,
    /// What was found out; `None` in a summary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_element: Option<String>,
}

fn rfc_3339<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    crate::document::instant(*at).serialize(serializer)
}

/// What to read of what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildView {
    /// Only entries that no later one of the same node and generator has replaced.
    pub latest: bool,
    /// With the elements, not only a summary.
    pub full: bool,
    /// At most so many, the newest first.
    pub limit: i32,
}

/// Reads the entries of a node, of one task where that is named.
///
/// # Errors
/// Those of the database.
pub async fn builds_of_node(
    db: impl PgExecutor<'_>,
    node_name: &str,
    task_id: Option<Uuid>,
    view: BuildView,
) -> Result<Vec<BuildData>> {
    Ok(sqlx::query_as(include_str!("sql/builds_of_node.sql"))
        .bind(node_name)
        .bind(task_id)
        .bind(view.latest)
        .bind(view.full)
        .bind(view.limit)
        .fetch_all(db)
        .await?)
}

/// Reads the entries of a task.
///
/// # Errors
/// Those of the database.
pub async fn builds_of_task(db: impl PgExecutor<'_>, task_id: Uuid, view: BuildView) -> Result<Vec<BuildData>> {
    Ok(sqlx::query_as(include_str!("sql/builds_of_task.sql"))
        .bind(task_id)
        .bind(view.latest)
        .bind(view.full)
        .bind(view.limit)
        .fetch_all(db)
        .await?)
}

/// Reads the entries of all nodes.
///
/// # Errors
/// Those of the database.
pub async fn builds(db: impl PgExecutor<'_>, view: BuildView) -> Result<Vec<BuildData>> {
    Ok(sqlx::query_as(include_str!("sql/builds.sql"))
        .bind(view.latest)
        .bind(view.full)
        .bind(view.limit)
        .fetch_all(db)
        .await?)
}

/// Entries looked at in one call: bounds how long the statement runs; their bytes are bounded as well.
const PRUNE_BATCH: i32 = 1000;

/// What [`prune_build_data`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct PrunedBuildData {
    /// Entries deleted.
    pub deleted: i64,
    /// Where to go on; `None` at the end.
    pub next: Option<Uuid>,
}

/// Deletes entries recorded longer than `retention` ago, but never the latest of a node and generator: looks at some,
/// from the nil UUID on, then from where the call before has said. Does nothing when the caller is not the active
/// instance.
///
/// # Errors
/// Those of the database.
pub async fn prune_build_data(
    db: impl PgExecutor<'_>,
    leadership: Leadership,
    retention: Duration,
    walked_to: Uuid,
) -> Result<PrunedBuildData> {
    let pruned = sqlx::query_as(include_str!("sql/prune_build_data.sql"))
        .bind(leadership.identity)
        .bind(leadership.epoch)
        .bind(retention)
        .bind(walked_to)
        .bind(PRUNE_BATCH)
        .fetch_one(db)
        .await;
    unless_deposed(pruned, PrunedBuildData { deleted: 0, next: None })
}
