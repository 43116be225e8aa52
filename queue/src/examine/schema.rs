//! The schema as it is in the database, against what migrations make of an empty one.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgExecutor;

use crate::Result;

/// What migrations and `deploy/roles.sql` make, one object or right a line: `kind name: facts`. Written by the test
/// `the_list_of_the_schema_is_what_migrations_make`.
const EXPECTED: &str = include_str!("schema.txt");

/// An object of the schema.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Object {
    /// `table`, `column`, `storage`, `constraint`, `index`, `trigger`, `type`, `function`, `sequence` or `view`.
    pub kind: String,
    /// The table it is a part of; `None`: it is none's.
    pub table_name: Option<String>,
    /// With the table's name before it, and a function's with its arguments.
    pub name: String,
    /// What makes it what it is; a function's text as its MD5.
    pub facts: String,
    /// The same for a schema of any name.
    pub facts_anywhere: String,
}

/// Reads the schema's objects but for partitions, in the order of kind and name.
///
/// # Errors
/// Those of the database.
pub async fn examine_objects(db: impl PgExecutor<'_>) -> Result<Vec<Object>> {
    Ok(sqlx::query_as(include_str!("../sql/examine_objects.sql")).fetch_all(db).await?)
}

/// How the schema differs from what migrations make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// It is not there.
    Missing {
        /// Which kind of object.
        kind: String,
        /// Its name.
        name: String,
        /// What it is to be.
        expected: String,
    },
    /// It is something else.
    Different {
        /// Which kind of object.
        kind: String,
        /// Its name.
        name: String,
        /// What it is to be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// It was added to one of our tables.
    Added {
        /// Which kind of object.
        kind: String,
        /// Its name.
        name: String,
        /// What it is.
        found: String,
    },
}

/// What migrations and `deploy/roles.sql` make: kind, name and facts.
pub fn expected() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    EXPECTED.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (object, facts) = line.split_once(": ")?;
        let (kind, name) = object.split_once(' ')?;
        Some((kind, name, facts))
    })
}

/// The list as it is committed.
pub fn expected_text() -> &'static str {
    EXPECTED
}

/// Our tables, as far as they are no partitions.
pub fn tables() -> Vec<&'static str> {
    expected().filter(|(kind, _, _)| *kind == "table").map(|(_, name, _)| name).collect()
}

/// The fillfactor of a table, or of its partitions while tasks change in them: `fillfactor=30`.
pub fn fillfactor(table: &str) -> Option<&'static str> {
    let of_table = expected().find(|(kind, name, _)| *kind == "storage" && *name == table);
    // partitions have their own, by the function add_partition
    of_table.map(|(_, _, facts)| facts).or_else(|| (table == "tasks").then_some("fillfactor=30"))
}

/// Compares the objects of a schema with what migrations make. Tables, functions and types of others beside ours are
/// nobody's concern; what was added to our tables is. Storage parameters are not looked at: see [`fillfactor`].
pub fn drift(found: &[Object]) -> Vec<Drift> {
    let tables: BTreeSet<&str> = tables().into_iter().collect();
    let mut others: BTreeMap<(&str, &str), &Object> = found
        .iter()
        .filter(|it| it.kind != "storage")
        .map(|object| ((object.kind.as_str(), object.name.as_str()), object))
        .collect();
    let mut drifts = Vec::new();
    for (kind, name, expected) in expected().filter(|(kind, _, _)| !["grant", "storage"].contains(kind)) {
        let own = |text: &str| text.to_owned();
        match others.remove(&(kind, name)) {
            None => drifts.push(Drift::Missing { kind: own(kind), name: own(name), expected: own(expected) }),
            Some(object) if [object.facts.trim_end(), object.facts_anywhere.trim_end()].contains(&expected) => {}
            Some(object) => drifts.push(Drift::Different {
                kind: own(kind),
                name: own(name),
                expected: own(expected),
                found: object.facts.clone(),
            }),
        }
    }
    let added =
        others.into_values().filter(|object| object.table_name.as_deref().is_some_and(|it| tables.contains(it)));
    drifts.extend(added.map(|object| Drift::Added {
        kind: object.kind.clone(),
        name: object.name.clone(),
        found: object.facts.clone(),
    }));
    drifts
}

/// An applied migration.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Recorded {
    /// Which one.
    pub version: i64,
    /// Whether it was applied to its end.
    pub success: bool,
    /// SHA-384 of its text.
    pub checksum: Vec<u8>,
}

/// Reads which migrations were applied.
///
/// # Errors
/// Those of the database.
pub async fn examine_migrations(db: impl PgExecutor<'_>) -> Result<Vec<Recorded>> {
    Ok(sqlx::query_as(include_str!("../sql/examine_migrations.sql")).fetch_all(db).await?)
}

/// An index or a trigger that does not do its work.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Broken {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub table_name: String,
    /// The statement that mends it.
    pub remedy: String,
}

/// Finds indexes of our tables that are not valid.
///
/// # Errors
/// Those of the database.
pub async fn examine_indexes(db: impl PgExecutor<'_>) -> Result<Vec<Broken>> {
    Ok(sqlx::query_as(include_str!("../sql/examine_indexes.sql")).bind(tables()).fetch_all(db).await?)
}

/// Finds triggers of our tables that do not fire.
///
/// # Errors
/// Those of the database.
pub async fn examine_triggers(db: impl PgExecutor<'_>) -> Result<Vec<Broken>> {
    Ok(sqlx::query_as(include_str!("../sql/examine_triggers.sql")).bind(tables()).fetch_all(db).await?)
}
