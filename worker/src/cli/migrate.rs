//! `longshore migrate`.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use longshore_queue::{grant_roles, migrate, newest_version, pending_sql, roles_sql};

use super::block_on;
use super::database::Database;
use super::exit::Exit;

/// Applies what the database's schema lacks; any number of programs may do so at once.
///
/// The database is DATABASE_URL, else the configuration's database_url; with DATABASE_URL no configuration is needed.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// Print the SQL that is pending, and nothing else: for psql
    #[arg(long)]
    dry_run: bool,
    /// Make the roles of deploy/roles.sql as well where they are missing, and grant what they need
    #[arg(long)]
    grant: bool,
    #[command(flatten)]
    database: Database,
}

impl Migrate {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let connect = self.database.connect()?;
        if self.dry_run {
            let mut script = block_on(async { Ok(pending_sql(&connect).await?) })?;
            if self.grant {
                script.push_str(&roles_sql(connect.schema()));
            }
            io::stdout().write_all(script.as_bytes())?;
            return Ok(Exit::Done.into());
        }
        let applied = block_on(async { Ok(migrate(&connect).await?) })?;
        for version in &applied {
            println!("schema {}: applied migration {version}", connect.schema());
        }
        if applied.is_empty() {
            println!("schema {}: at version {}, nothing to apply", connect.schema(), newest_version());
        }
        if self.grant {
            block_on(async { Ok(grant_roles(&connect).await?) })?;
            println!("schema {}: roles granted", connect.schema());
        }
        Ok(Exit::Done.into())
    }
}
