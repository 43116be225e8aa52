//! Dead rows and what keeps them, partitions, and the disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;
use longshore_queue::Tls;
use longshore_queue::examine::{
    Age, Holder, HolderKind, Partition, Slot, TableUpkeep, examine_ages, examine_holders, examine_partitions,
    examine_server, examine_slots, examine_tables, fillfactor,
};

use super::code::Code::*;
use super::patient::{Patient, look};
use super::report::{Checked, Finding, NotChecked, Report};
use super::{ago, size};
use crate::cli::say::count;

/// A transaction from which so many others have begun keeps dead rows, however little time has passed.
const XIDS_MAX: i64 = 10_000_000;

/// Autovacuum begins at the server's threshold, looks once a minute, and needs some time.
const DEAD_ROWS_MAX: f64 = 3.0;

/// Fewer are not worth a word: a page or two of dead rows in a small table.
const DEAD_ROWS_MIN: i64 = 10_000;

/// Autovacuum is forced to look at the age where this is 1; an hour later it should have gone down.
const FREEZE_MAX: f64 = 1.5;

/// Partitions are made two weeks ahead.
const AHEAD_MIN: TimeDelta = TimeDelta::days(3);

/// Looks at what keeps dead rows, at the tables and their partitions.
pub(super) async fn check(patient: &mut Patient, report: &mut Report, max_age: Duration) {
    report_holders(report, look!(patient, db => examine_holders(db)), max_age);
    report
        .take(&[LS403], async { Ok(look!(patient, db => examine_slots(db))?.into_iter().filter_map(slot).collect()) })
        .await;
    let tables = look!(patient, db => examine_tables(db)).map_err(NotChecked::from);
    let kept = |tables: Vec<TableUpkeep>| tables.iter().filter_map(|table| upkeep(table, max_age)).collect();
    report.note(&[LS404, LS405], tables.clone().map(kept));
    report.note(&[LS209], tables.map(|tables| tables.iter().filter_map(storage).collect()));
    report
        .take(&[LS406], async { Ok(look!(patient, db => examine_ages(db))?.iter().filter_map(age).take(1).collect()) })
        .await;
    let partitions = look!(patient, db => examine_partitions(db)).map_err(NotChecked::from);
    report.note(&[LS407, LS408, LS409, LS410], partitions.map(|partitions| judged(&partitions)));
}

fn report_holders(report: &mut Report, holders: longshore_queue::Result<Vec<Holder>>, max_age: Duration) {
    let holders = match holders {
        Ok(holders) => holders,
        Err(error) => return report.note(&[LS401, LS402], Err(error.into())),
    };
    let is_old = |it: &&Holder| it.seconds.is_some_and(|age| age >= max_age.as_secs_f64()) || it.xids >= XIDS_MAX;
    let told = |it: &Holder| {
        let since = it.seconds.map_or_else(String::new, |age| format!("for {}, ", ago(age)));
        let seen = format!("{}: {since}{} ago", it.holder, count(it.xids, "transaction"));
        let code = if it.kind == HolderKind::Prepared { LS402 } else { LS401 };
        Finding::new(code, seen, it.remedy.clone())
    };
    let of = |kind: HolderKind| holders.iter().filter(move |it| it.kind == kind);
    let hidden = holders.iter().filter(|it| it.hidden && it.xids < XIDS_MAX).count();
    report.note(&[LS402], Ok(of(HolderKind::Prepared).filter(is_old).map(told).collect()));
    let sessions: Vec<Finding> = of(HolderKind::Session).filter(is_old).map(told).collect();
    // one that is seen is told, whatever else is hidden
    report.note(
        &[LS401],
        if hidden > 0 && sessions.is_empty() {
            let sessions = if hidden == 1 { "session hides how old it is" } else { "sessions hide how old they are" };
            Err(NotChecked(format!(
                "{hidden} {sessions}, of another role: GRANT pg_read_all_stats (or pg_monitor) to this user"
            )))
        } else {
            Ok(sessions)
        },
    );
}

fn slot(slot: Slot) -> Option<Finding> {
    let kept = format!("slot {} keeps {} of log", slot.name, size(slot.kept_bytes));
    let seen = match slot.wal_status.as_str() {
        "lost" | "unreserved" => {
            format!("{kept}; its status is {}: who reads from it must begin anew", slot.wal_status)
        }
        _ if !slot.active && !slot.bounded => {
            format!("{kept}, nobody reads from it, and max_slot_wal_keep_size sets no bound")
        }
        _ => return None,
    };
    Some(Finding::new(LS403, seen, format!("{}; or start who reads from it, and set the bound", slot.remedy)))
}

fn upkeep(table: &TableUpkeep, max_age: Duration) -> Option<Finding> {
    let off =
        |it: &String| it.strip_prefix("autovacuum_enabled=").is_some_and(|it| ["false", "off", "0"].contains(&it));
    if table.options.iter().any(off) {
        let seen = format!("table {} has autovacuum_enabled = false", table.name);
        return Some(Finding::new(LS405, seen, format!("ALTER TABLE {} RESET (autovacuum_enabled)", table.identifier)));
    }
    let dead = table.dead_rows;
    // a burst leaves as many before autovacuum has come by, and where it has never been it may not have had to
    let seen_to = table.vacuumed_seconds_ago.or(table.analyzed_seconds_ago)?;
    let is_late = seen_to >= max_age.as_secs_f64();
    if !is_late || dead < DEAD_ROWS_MIN || (dead as f64) < DEAD_ROWS_MAX * table.dead_rows_due {
        return None;
    }
    let vacuumed = table.vacuumed_seconds_ago.map_or_else(|| "never".to_owned(), |seconds| ago(seconds) + " ago");
    let seen = format!(
        "table {} has {dead} dead rows beside {} live ones; it is vacuumed from {:.0} on, and was last vacuumed: {vacuumed}",
        table.name, table.live_rows, table.dead_rows_due
    );
    let remedy = format!(
        "look at LS401, LS402 and LS113, then VACUUM {}; if it comes back: more autovacuum workers, \
                          a lower autovacuum_vacuum_cost_delay",
        table.identifier
    );
    Some(Finding::new(LS404, seen, remedy))
}

/// A page has room for what the rows on it become, until a partition takes no more of them.
fn storage(table: &TableUpkeep) -> Option<Finding> {
    let expected = fillfactor(&table.root).filter(|_| !table.sealed)?;
    let found = table.options.iter().find(|option| option.starts_with("fillfactor="));
    if found.is_some_and(|found| found == expected) {
        return None;
    }
    let found = found.map_or("no fillfactor", String::as_str);
    let seen = format!("table {} has {found}, not {expected}: updates leave their page", table.name);
    Some(Finding::new(LS209, seen, format!("ALTER TABLE {} SET ({expected}); new pages follow it", table.identifier)))
}

fn age(age: &Age) -> Option<Finding> {
    let told = |what: &str, is: i64, due: i64| {
        (is as f64 > FREEZE_MAX * due as f64).then(|| {
            let seen = format!(
                "the oldest row of database {} is {is} {what} old; vacuum is forced from {due} on, and the server stops \
                 writing at 2 billion",
                age.database
            );
            let remedy = "end what LS401, LS402 and LS403 name, then VACUUM (FREEZE) in that database, as its owner";
            Finding::new(LS406, seen, remedy)
        })
    };
    told("transactions", age.xids, age.xids_due).or_else(|| told("multixacts", age.multixacts, age.multixacts_due))
}

fn judged(partitions: &[Partition]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut by_parent: BTreeMap<&str, Vec<&Partition>> = BTreeMap::new();
    for partition in partitions {
        by_parent.entry(&partition.parent).or_default().push(partition);
    }
    for parent in ["tasks", "result_message", "task_output"] {
        let empty = Vec::new();
        let leaves = by_parent.get(parent).unwrap_or(&empty);
        if let Some(seen) = gap(parent, leaves) {
            let remedy = "put the partition back (ALTER TABLE … ATTACH PARTITION), or as the owner: \
                          add_partition('NAME', since, until), which makes it for all three tables";
            findings.push(Finding::new(LS407, seen, remedy));
        }
    }
    for it in partitions {
        if it.detaching {
            let seen = format!("{} is being detached from {}", it.name, it.parent);
            let remedy = format!("wait if somebody is just doing it; else {}", it.finalize);
            findings.push(Finding::new(LS410, seen, remedy));
        }
        let upkeep = "see that a worker leads (LS303) and what its log says of upkeep_step";
        if it.tasks > 0 {
            let more = if it.tasks >= 1000 { " or more" } else { "" };
            let seen = format!("{} holds {}{more}", it.name, count(it.tasks, "task"));
            findings.push(Finding::new(LS408, seen, format!("{upkeep}: it cuts them off, and moves nothing")));
        }
        if let (true, None, Some(since)) = (it.parent == "tasks", it.upper_at, it.lower_at)
            && since < it.clock + AHEAD_MIN
        {
            let seen = format!("the last partition with an end reaches to {}", since.format("%Y-%m-%d %H:%M UTC"));
            findings.push(Finding::new(LS409, seen, upkeep));
        }
    }
    findings
}

/// From now on every instant needs a partition. Older ones may be gone, each by itself.
fn gap(parent: &str, leaves: &[&Partition]) -> Option<String> {
    let now = leaves.first().map(|leaf| leaf.clock);
    let mut ahead =
        leaves.iter().filter(|leaf| !leaf.detaching && leaf.upper_at.is_none_or(|end| Some(end) > now)).peekable();
    let from = |leaf: &&&Partition| leaf.lower_at;
    match ahead.peek() {
        None => return Some(format!("table {parent} has no partition for tasks of today")),
        Some(first) if from(first) > now => {
            return Some(format!("table {parent} has no partition for tasks of today: {} begins later", first.name));
        }
        Some(_) => {}
    }
    while let Some(leaf) = ahead.next() {
        match (leaf.upper_at, ahead.peek()) {
            (None, _) => {}
            (Some(end), Some(next)) if from(next) == Some(end) => {}
            (Some(end), _) => {
                return Some(format!("table {parent} has no partition from {} on", end.format("%Y-%m-%d %H:%M UTC")));
            }
        }
    }
    None
}

/// Looks at the file system of the data, where it is this machine's.
pub(super) async fn disk(patient: &mut Patient, min_free: u8) -> Checked {
    let server = look!(patient, db => examine_server(db))?;
    let weighs = format!("the database weighs {}", size(server.database_bytes));
    let elsewhere = |why: &str| NotChecked(format!("{why}; {weighs}: look at the free space of the server's disk"));
    let Some(folder) = server.data_directory else {
        return Err(elsewhere("where the data lies is not for this user to see (pg_read_all_settings)"));
    };
    if patient.connect.tls() != Tls::NotNeeded {
        return Err(elsewhere("the server is on another machine"));
    }
    let Ok(disk) = rustix::fs::statvfs(Path::new(&folder)) else {
        return Err(elsewhere(&format!("{folder} is not on this machine, or not for this user to enter")));
    };
    // what is left for those who are not root
    let (free, all) = (disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize));
    let percent = free as f64 / (all as f64).max(1.0) * 100.0;
    if percent >= f64::from(min_free) {
        return Ok(Vec::new());
    }
    let bytes = |bytes: u64| size(i64::try_from(bytes).unwrap_or(i64::MAX));
    let seen = format!(
        "{} of {} are free at {folder} ({percent:.0}%, less than {min_free}%); {weighs}",
        bytes(free),
        bytes(all)
    );
    let remedy =
        "make the disk larger, or retention.success and retention.other shorter; look at LS403 for log that is kept";
    Ok(vec![Finding::new(LS411, seen, remedy)])
}
