//! The roles of `deploy/roles.sql`, run without psql.

use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::connect::quoted;
use crate::migrate::lock;
use crate::{Connect, Result};

/// As psql runs it.
const ROLES: &str = include_str!("../../deploy/roles.sql");

/// `deploy/roles.sql` for one schema, as plain SQL: psql's own lines left out, its two variables filled in.
pub fn roles_sql(schema: &str) -> String {
    let plain: Vec<&str> = ROLES.lines().filter(|line| !line.trim_start().starts_with('\\')).collect();
    plain
        .join("\n")
        .replace(":'schema'", &format!("'{}'", schema.replace('\'', "''")))
        .replace(":\"schema\"", &quoted(schema))
        + "\n"
}

/// Makes the roles that are missing and grants each what it needs in this schema; again, it changes nothing.
///
/// # Errors
/// Those of the database: 42501 where this user is not the tables' owner, or may not create a role that is missing.
pub async fn grant_roles(connect: &Connect) -> Result<()> {
    let mut conn = connect.plain().await?;
    // two at once would change one row of the catalog: tuple concurrently updated
    lock(&mut conn, connect.schema()).await?;
    conn.execute(AssertSqlSafe(roles_sql(connect.schema()))).await?;
    Ok(conn.close().await?)
}
