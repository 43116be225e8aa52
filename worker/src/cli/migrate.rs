//! `longshore migrate`.

use std::process::ExitCode;

use clap::Args;
use longshore_queue::{Connect, grant_roles, migrate, newest_version, pending_sql, roles_sql};

use super::database::Database;
use super::exit::Exit;
use super::say::{is_reader_gone, note, print_as_it_is, say};
use super::{block_on, exit_of, told};

/// Applies what the database's schema lacks; any number of programs may do so at once.
///
/// The database is DATABASE_URL, else the configuration's database_url; with DATABASE_URL no configuration is needed.
/// Of several cells all are migrated, one after the other, or the one that --cell names.
///
/// Exits 0 done, 1 when it failed, if only in one cell, 2 wrong usage, 64 bad configuration.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  DATABASE_URL=postgres://… longshore migrate
  longshore migrate --dry-run | psql")]
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
        let cells = self.database.cells()?;
        let several = cells.len() > 1;
        let mut failed = None;
        for (name, connect) in &cells {
            let done = match self.dry_run {
                true => self.print(connect, several.then_some(name)),
                false => self.apply(connect, &if several { format!("cell {name}, ") } else { String::new() }),
            };
            // a cell that is away does not keep the others from being migrated
            if let Err(error) = done {
                if is_reader_gone(&error) {
                    return Err(error);
                }
                if several {
                    note!("cell {name}: {}", told(&error));
                }
                failed = failed.or(Some(error));
            }
        }
        match failed {
            Some(error) if several => Ok(exit_of(&error).into()),
            Some(error) => Err(error),
            None => Ok(Exit::Done.into()),
        }
    }

    /// Prints what is pending.
    fn print(&self, connect: &Connect, cell: Option<&String>) -> anyhow::Result<()> {
        let mut script = block_on(async { Ok(pending_sql(connect).await?) })?;
        if self.grant {
            script.push_str(&roles_sql(connect.schema()));
        }
        if let Some(cell) = cell {
            say!("-- cell {cell}")?;
        }
        print_as_it_is(&script)
    }

    fn apply(&self, connect: &Connect, of_cell: &str) -> anyhow::Result<()> {
        let (applied, schema) = (block_on(async { Ok(migrate(connect).await?) })?, connect.schema());
        for version in &applied {
            say!("{of_cell}schema {schema}: applied migration {version}")?;
        }
        if applied.is_empty() {
            say!("{of_cell}schema {schema}: at version {}, nothing to apply", newest_version())?;
        }
        if self.grant {
            block_on(async { Ok(grant_roles(connect).await?) })?;
            say!("{of_cell}schema {schema}: roles granted")?;
        }
        Ok(())
    }
}
