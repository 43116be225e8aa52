//! Who may do what, against what `deploy/roles.sql` grants.

use sqlx::PgExecutor;

use super::schema::expected;
use crate::Result;

/// Whose rights a worker needs.
const WORKER: &str = "longshore_worker";

/// A right that a role needs.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Right {
    /// Who needs it.
    pub subject: String,
    /// The role of `deploy/roles.sql` whose work that is: the subject itself, but for a user who is none of them.
    pub role: String,
    /// Whether this session works with it.
    pub is_own: bool,
    /// `SELECT`, …
    pub privilege: String,
    /// Upon what.
    pub object: String,
    /// Whether the subject has it.
    pub granted: bool,
}

/// Looks at the rights of the roles of `deploy/roles.sql`, as far as they exist, and of this session's user as a worker
/// unless it owns the tables or is a member of one of these roles.
///
/// # Errors
/// Those of the database.
pub async fn examine_rights(db: impl PgExecutor<'_>) -> Result<Vec<Right>> {
    let (mut roles, mut privileges, mut kinds, mut objects, mut columns) = (vec![], vec![], vec![], vec![], vec![]);
    for (_, role, right) in expected().filter(|(kind, _, _)| *kind == "grant") {
        let mut words = right.splitn(3, ' ');
        let (Some(privilege), Some(kind), Some(object)) = (words.next(), words.next(), words.next()) else { continue };
        let (object, column) = match object.split_once('.') {
            Some((table, column)) if kind == "column" => (table, Some(column)),
            _ => (object, None),
        };
        roles.push(role);
        privileges.push(privilege);
        kinds.push(kind);
        objects.push(object);
        columns.push(column);
    }
    Ok(sqlx::query_as(include_str!("../sql/examine_rights.sql"))
        .bind(roles)
        .bind(privileges)
        .bind(kinds)
        .bind(objects)
        .bind(columns)
        .bind(WORKER)
        .fetch_all(db)
        .await?)
}
