//! The server, the way to it, and its settings.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use longshore_queue::examine::{Server, examine_server, examine_settings};
use longshore_queue::{Error, Tls, notify_arrives};

use super::code::Code::{self, *};
use super::patient::{Patient, look};
use super::report::{Checked, Finding, NotChecked, Report};

/// The versions that every change is tested with, and those between them.
const TESTED: std::ops::RangeInclusive<i32> = 15..=18;

/// Beyond it log lines of a worker and times of the database cannot be laid side by side. The database's clock decides
/// everything, so tasks do not suffer.
const CLOCK_MAX: Duration = Duration::from_secs(2);

/// The part of all connections from which on a rollout, which doubles the workers for a while, may find none.
const CONNECTIONS_MAX: f64 = 0.8;

/// At 1 the server refuses to commit what notifies. It empties by itself, unless a session that listens has a
/// transaction open.
const NOTIFICATIONS_MAX: f64 = 0.25;

/// A notification takes milliseconds.
const NOTIFY_DEADLINE: Duration = Duration::from_secs(5);

/// The settings that are looked at.
const SETTINGS: [&str; 7] = [
    "autovacuum",
    "default_transaction_isolation",
    "fsync",
    "full_page_writes",
    "session_replication_role",
    "synchronous_commit",
    "track_counts",
];

/// By the URL alone: also of a server that cannot be reached.
pub(super) fn tls(patient: &Patient) -> Vec<Finding> {
    let how = match patient.connect.tls() {
        Tls::NotNeeded | Tls::Verified => return Vec::new(),
        Tls::NotVerified => "is encrypted for whoever answers: its certificate is not verified",
        Tls::NotSure => "is encrypted only if the server offers it, and its certificate is not verified",
    };
    let remedy = "add sslmode=verify-full to the database's URL, and sslrootcert=FILE where its authority is your own";
    vec![Finding::new(LS103, format!("the connection to {} {how}", patient.connect.address()), remedy)]
}

/// Opens the first session.
///
/// # Errors
/// Why there is none: it is noted, and nothing else can be looked at.
pub(super) async fn reached(patient: &mut Patient, report: &mut Report) -> Result<(), String> {
    let error = match patient.session().await {
        Ok(_) => {
            report.note(&[LS101, LS102], Ok(Vec::new()));
            return Ok(());
        }
        Err(error) => error,
    };
    let seen = error.to_string();
    let finding = match error {
        Error::Pooler => Finding::new(
            LS102,
            "the session's settings did not arrive: a pooler that shares connections stands before the database",
            "connect to the server itself, or say connection = \"transaction_pooler\" in the configuration",
        ),
        _ => Finding::new(LS101, seen, "check host, port, database, user and password, and that the server runs"),
    };
    let why = format!("{}: {}", finding.code, finding.code.title());
    report.note(&[finding.code], Ok(vec![finding]));
    Err(why)
}

/// Looks at the server and its settings.
pub(super) async fn check(patient: &mut Patient, report: &mut Report) {
    let began = SystemTime::now();
    let server = look!(patient, db => examine_server(db));
    let ended = SystemTime::now();
    let codes = [LS104, LS105, LS106, LS107, LS108, LS110, LS211];
    report.note(&codes, server.map(|server| judged(&server, patient, began, ended)).map_err(NotChecked::from));

    let settings = look!(patient, db => examine_settings(db, &SETTINGS));
    report.note(
        &[LS111, LS112, LS113, LS114],
        settings
            .map(|found| found.iter().filter_map(|it| setting(&it.name, &it.setting)).collect())
            .map_err(NotChecked::from),
    );
}

fn judged(server: &Server, patient: &Patient, began: SystemTime, ended: SystemTime) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |code: Code, seen: String, remedy: &str| findings.push(Finding::new(code, seen, remedy));
    let version = format!("the server is Postgres {}", server.version);
    if server.major < *TESTED.start() {
        find(LS104, version, "upgrade it: Postgres 15 is the oldest that works");
    } else if server.major > *TESTED.end() {
        find(LS105, version, "look for a newer longshore, or try it beside your load first");
    }
    if server.in_recovery {
        find(
            LS106,
            "the server is in recovery: a standby".to_owned(),
            "let the URL name the primary, or promote this one",
        );
    } else if server.read_only {
        let remedy = format!(
            "SET it off where it was set: ALTER DATABASE … or ALTER ROLE … RESET default_transaction_read_only ({})",
            patient.connect.address()
        );
        find(LS106, "default_transaction_read_only is on for this session".to_owned(), &remedy);
    }
    if let Some(seen) = clock(server.clock, began, ended) {
        find(LS107, seen, "run NTP (chrony, systemd-timesyncd) on both machines");
    }
    if server.connections as f64 > CONNECTIONS_MAX * server.connections_max as f64 {
        let seen = format!("{} of {} connections are open", server.connections, server.connections_max);
        find(
            LS108,
            seen,
            "raise max_connections (a restart), run fewer workers, or put a pooler before the other clients",
        );
    }
    if server.notification_queue_usage > NOTIFICATIONS_MAX {
        let seen = format!("it is {:.0}% full", server.notification_queue_usage * 100.0);
        find(
            LS110,
            seen,
            "end the session that listens and has a transaction open (pg_stat_activity, the oldest xact_start)",
        );
    }
    if server.everybody_creates == Some(true) {
        let schema = patient.connect.schema();
        let seen = format!("PUBLIC may create objects in the schema {schema}, where functions run as its owner");
        find(LS211, seen, &format!("REVOKE CREATE ON SCHEMA \"{schema}\" FROM PUBLIC, or longshore migrate --grant"));
    }
    findings
}

/// What is told of the database's clock, read between two readings of ours.
fn clock(theirs: DateTime<Utc>, began: SystemTime, ended: SystemTime) -> Option<String> {
    let (began, ended) = (DateTime::<Utc>::from(began), DateTime::<Utc>::from(ended));
    let (ahead, behind) = (theirs - ended, began - theirs);
    let told = |by: chrono::TimeDelta, how: &str| {
        let by = by.to_std().ok().filter(|by| *by > CLOCK_MAX)?;
        Some(format!("the database's clock is {:.1}s {how} this machine's", by.as_secs_f64()))
    };
    told(ahead, "ahead of").or_else(|| told(behind, "behind"))
}

/// What is told of a setting.
fn setting(name: &str, value: &str) -> Option<Finding> {
    let (code, remedy) = match (name, value) {
        ("fsync" | "full_page_writes", "off") => (LS111, format!("ALTER SYSTEM SET {name} = on, then reload")),
        ("autovacuum" | "track_counts", "off") => (LS113, format!("ALTER SYSTEM SET {name} = on, then reload")),
        ("synchronous_commit", "off") => {
            (LS112, "ALTER SYSTEM, ALTER DATABASE or ALTER ROLE … SET synchronous_commit = on".to_owned())
        }
        ("default_transaction_isolation", "repeatable read" | "serializable") => {
            (LS114, format!("ALTER DATABASE or ALTER ROLE … RESET {name}: claims and upkeep need read committed"))
        }
        ("session_replication_role", "replica") => {
            (LS114, format!("ALTER DATABASE or ALTER ROLE … RESET {name}: with it no trigger fires"))
        }
        _ => return None,
    };
    Some(Finding::new(code, format!("{name} = {value}"), remedy))
}

/// Sends a notification from one session to another.
pub(super) async fn notify(patient: &mut Patient) -> Checked {
    if patient.connect.is_pooled() {
        return Err(NotChecked("nobody can listen behind a pooler in transaction mode: workers poll".to_owned()));
    }
    let remedy = "look for a proxy between workers and server, and at pg_stat_activity for a commit that waits; \
                  meanwhile workers poll, up to queues.NAME.poll late";
    let connect = patient.connect.clone();
    let seen = match look!(patient, db => notify_arrives(&connect, db, NOTIFY_DEADLINE)) {
        Ok(true) => return Ok(Vec::new()),
        Ok(false) => format!("a notification did not arrive within {NOTIFY_DEADLINE:?}"),
        Err(error) => error.to_string(),
    };
    Ok(vec![Finding::new(LS109, seen, remedy)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the server is asked for, and what cannot be caused here: other versions, a full queue of notifications, a
    /// standby.
    #[test]
    fn a_server_is_judged_by_its_version_its_room_and_its_state() {
        let now = SystemTime::now();
        let well = Server {
            major: 15,
            version: "15.18".to_owned(),
            in_recovery: false,
            read_only: false,
            clock: now.into(),
            notification_queue_usage: 0.2,
            connections: 80,
            connections_max: 100,
            data_directory: None,
            database_bytes: 0,
            everybody_creates: Some(false),
        };
        let patient =
            Patient::new(longshore_queue::Connect::new("postgres://localhost/db", "public", false).expect("a URL"));
        let told = |server: Server| -> Vec<String> {
            let findings = judged(&server, &patient, now, now);
            findings.iter().map(|it| format!("{}: {}", it.code, it.seen)).collect()
        };
        assert_eq!(told(well.clone()), Vec::<String>::new());
        assert_eq!(told(Server { major: 18, everybody_creates: None, ..well.clone() }), Vec::<String>::new());
        let old = Server { major: 14, version: "14.23".to_owned(), ..well.clone() };
        assert_eq!(told(old), ["LS104: the server is Postgres 14.23"]);
        let new = Server { major: 19, version: "19beta1".to_owned(), ..well.clone() };
        assert_eq!(told(new), ["LS105: the server is Postgres 19beta1"]);
        let standby = Server { in_recovery: true, read_only: true, ..well.clone() };
        assert_eq!(told(standby), ["LS106: the server is in recovery: a standby"]);
        let full = Server { notification_queue_usage: 0.26, connections: 81, ..well };
        assert_eq!(told(full), ["LS108: 81 of 100 connections are open", "LS110: it is 26% full"]);
    }

    #[test]
    fn clocks_differ_by_what_the_way_does_not_explain() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_millis(seconds);
        let told = |theirs, began, ended| clock(DateTime::from(at(theirs)), at(began), at(ended));
        assert_eq!(told(10_000, 9_000, 11_000), None);
        assert_eq!(told(13_000, 9_000, 11_000), None, "a slow answer explains two seconds");
        assert_eq!(
            told(13_500, 9_000, 11_000).as_deref(),
            Some("the database's clock is 2.5s ahead of this machine's")
        );
        assert_eq!(told(5_000, 9_000, 11_000).as_deref(), Some("the database's clock is 4.0s behind this machine's"));
    }
}
