//! `longshore doctor`.

pub(crate) mod code;
mod fleet;
mod patient;
mod report;
mod schema;
mod server;
mod space;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use self::code::{Code, explained};
use self::patient::Patient;
use self::report::Report;
use super::block_on;
use super::database::Database;
use super::exit::Exit;
use super::say::{print, print_json, say};
use super::values::duration;

/// Says what is wrong with an installation, and what to do about it.
///
/// Looks at the server, the schema, the workers and the tables, and changes nothing. Each finding has a code that never
/// changes its meaning. What this session may not see is said to be not checked: GRANT pg_monitor to its user, or run
/// it as the tables' owner.
///
/// Exits 0 when no error was found, 4 when one was (or with --strict a warning; or the database cannot be reached), 2
/// wrong usage, 64 wrong configuration.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore doctor
  longshore doctor --json --strict | jq -r '.findings[] | [.code, .seen, .remedy] | @tsv'
  longshore doctor --only LS401,LS402 --max-age 1h
  longshore doctor --explain LS303")]
pub(crate) struct Doctor {
    /// As a JSON object: findings, checked, not_checked
    #[arg(long)]
    json: bool,
    /// A warning is as bad as an error
    #[arg(long)]
    strict: bool,
    /// Look for these codes alone
    #[arg(long, value_name = "CODE", value_delimiter = ',', conflicts_with = "skip")]
    only: Vec<Code>,
    /// Do not look for these codes
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    skip: Vec<Code>,
    /// Print what a code means and what to do, and look at nothing
    #[arg(long, value_name = "CODE", conflicts_with_all = ["json", "strict", "only", "skip"])]
    explain: Option<Code>,
    /// From which age on a transaction that keeps dead rows is told, and a table with dead rows that was not vacuumed
    /// (LS401, LS402, LS404)
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    max_age: Duration,
    /// From when on tasks that are due are told (LS305)
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration)]
    max_wait: Duration,
    /// Below which part of the disk that is free it is told, in percent (LS411)
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    min_free: u8,
    #[command(flatten)]
    database: Database,
}

impl Doctor {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(code) = self.explain {
            say!("{}", explained(code).trim_end())?;
            return Ok(Exit::Done.into());
        }
        let connect = self.database.connect()?;
        let (database, schema) = (connect.address(), connect.schema().to_owned());
        let mut report = Report::new(&self.only, &self.skip);
        block_on(async {
            self.examine(&mut Patient::new(connect), &mut report).await;
            Ok(())
        })?;
        if self.json {
            print_json(&report.json(&database, &schema, self.strict))?;
        } else {
            print(&report.text(&database, &schema))?;
        }
        Ok(if report.is_healthy(self.strict) { Exit::Done } else { Exit::Unhealthy }.into())
    }

    /// Makes all checks that are asked for, one after the other: what one cannot see is no reason to leave out the
    /// next.
    async fn examine(&self, patient: &mut Patient, report: &mut Report) {
        report.note(&[Code::LS103], Ok(server::tls(patient)));
        if let Err(why) = server::reached(patient, report).await {
            return report.end(&why);
        }
        server::check(patient, report).await;
        report.take(&[Code::LS109], server::notify(patient)).await;
        report.take(&[Code::LS411], space::disk(patient, self.min_free)).await;
        report.take(&[Code::LS210], schema::check_rights(patient)).await;
        if let Err(why) = schema::check(patient, report).await {
            return report.end(&why);
        }
        fleet::check(patient, report, self.max_wait).await;
        space::check(patient, report, self.max_age).await;
    }
}

/// As people say it: 3h 12m.
fn ago(seconds: f64) -> String {
    let whole = Duration::from_secs(seconds.max(0.0) as u64);
    let told = humantime::format_duration(whole).to_string();
    told.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// As people say it: 1.5 GiB.
fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// The first few, and how many more there are.
fn some(all: &[String], max: usize) -> String {
    let told = all.iter().take(max).cloned().collect::<Vec<_>>().join(", ");
    if all.len() > max { format!("{told} and {} more", all.len() - max) } else { told }
}
