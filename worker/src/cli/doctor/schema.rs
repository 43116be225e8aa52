//! The schema against what migrations make, and who may use it.

use std::collections::BTreeMap;

use longshore_queue::examine::{
    Broken, Drift, Right, drift, examine_indexes, examine_migrations, examine_objects, examine_rights, examine_triggers,
};
use longshore_queue::{Migration, migrations, newest_version};

use super::code::Code::{self, *};
use super::patient::{Patient, look};
use super::report::{Checked, Finding, NotChecked, Report};
use super::some;

/// As many names as one finding tells.
const NAMES_MAX: usize = 5;

/// Looks at who may use the schema: whoever may not cannot look at anything else.
pub(super) async fn check_rights(patient: &mut Patient) -> Checked {
    Ok(rights(look!(patient, db => examine_rights(db))?))
}

/// Looks at the schema.
///
/// # Errors
/// It is not there, or older than this program: what is said of the rest would be of another schema.
pub(super) async fn check(patient: &mut Patient, report: &mut Report) -> Result<(), String> {
    let schema = patient.connect.schema().to_owned();
    let recorded = look!(patient, db => examine_migrations(db));
    let found = match &recorded {
        Ok(recorded) => recorded.iter().filter(|it| it.success).map(|it| it.version).max().unwrap_or(0),
        // undefined_table: nothing was ever applied here
        Err(error) if error.sqlstate().is_some_and(|code| code == "42P01" || code == "3F000") => 0,
        Err(error) => {
            report.note(&[LS201, LS202, LS203], Err(NotChecked(error.to_string())));
            return Err(format!("which version the schema has is not known: {error}"));
        }
    };
    if found < newest_version() {
        let seen = match found {
            0 => format!("the schema {schema} has no tables of longshore"),
            _ => format!("the schema {schema} is at version {found}, this program needs {}", newest_version()),
        };
        report.note(&[LS201], Ok(vec![Finding::new(LS201, seen, "longshore migrate")]));
        return Err(format!("LS201: {}", LS201.title()));
    }
    report.note(&[LS201], Ok(Vec::new()));
    let newer = found > newest_version();
    let seen =
        format!("the schema {schema} is at version {found}, {} is the newest this program knows", newest_version());
    let newer_found = newer.then(|| Finding::new(LS202, seen, "use the longshore that migrated it"));
    report.note(&[LS202], Ok(newer_found.into_iter().collect()));
    let recorded = recorded.map_err(NotChecked::from);
    report.note(&[LS203], recorded.map(|it| migrations().iter().filter_map(|known| misapplied(known, &it)).collect()));

    let drift_codes = [LS204, LS205, LS206];
    if newer {
        report.note(&drift_codes, Err(NotChecked("LS202: this program does not know this version".to_owned())));
    } else {
        report.take(&drift_codes, drifted(patient)).await;
    }
    let broken = |code: Code, what: &str, found: longshore_queue::Result<Vec<Broken>>| -> Checked {
        let told = |it: Broken| Finding::new(code, format!("{what} {} of {}", it.name, it.table_name), it.remedy);
        Ok(found?.into_iter().map(told).collect())
    };
    report.take(&[LS207], async { broken(LS207, "index", look!(patient, db => examine_indexes(db))) }).await;
    report.take(&[LS208], async { broken(LS208, "trigger", look!(patient, db => examine_triggers(db))) }).await;
    Ok(())
}

/// What is told of a migration that is not recorded as applied, to its end, as this program has it.
fn misapplied(known: &Migration, recorded: &[longshore_queue::examine::Recorded]) -> Option<Finding> {
    let version = known.version;
    let (seen, remedy) = match recorded.iter().find(|it| it.version == version) {
        Some(it) if it.success && it.checksum == known.checksum() => return None,
        Some(it) if it.success => (
            format!("migration {version} was applied with another text than this program has"),
            "use the longshore that migrated it, or put the file back as it was released",
        ),
        _ => (
            format!("migration {version} is not recorded as applied to its end"),
            "restore longshore_migrations from a backup, or delete the row and run longshore migrate",
        ),
    };
    Some(Finding::new(LS203, seen, remedy))
}

async fn drifted(patient: &mut Patient) -> Checked {
    let objects = look!(patient, db => examine_objects(db))?;
    // what is told of each kind of difference, by its code
    let mut told: BTreeMap<Code, Vec<String>> = BTreeMap::new();
    for difference in drift(&objects) {
        let (code, line) = match difference {
            Drift::Missing { kind, name, .. } => (LS204, format!("{kind} {name}")),
            // its text is told as a digest, which says nothing
            Drift::Different { kind, name, .. } if kind == "function" => (LS205, format!("{kind} {name}")),
            Drift::Different { kind, name, expected, found } => {
                (LS205, format!("{kind} {name} is {found:?}, not {expected:?}"))
            }
            Drift::Added { kind, name, .. } => (LS206, format!("{kind} {name}")),
        };
        told.entry(code).or_default().push(line);
    }
    let remedy = |code| match code {
        LS206 => "drop it if nobody needs it: an index upon what a completion changes makes every completion dearer",
        _ => "put it back as the migrations have it: longshore migrate --dry-run on an empty database prints them",
    };
    Ok(told.into_iter().map(|(code, lines)| Finding::new(code, some(&lines, NAMES_MAX), remedy(code))).collect())
}

/// What is told of the roles that lack something. One that has nothing at all here is another installation's, unless
/// this session works with it.
fn rights(rights: Vec<Right>) -> Vec<Finding> {
    let mut by_subject: BTreeMap<(String, String), Vec<Right>> = BTreeMap::new();
    for right in rights {
        by_subject.entry((right.subject.clone(), right.role.clone())).or_default().push(right);
    }
    let told = |((subject, role), rights): ((String, String), Vec<Right>)| {
        let missing: Vec<String> =
            rights.iter().filter(|it| !it.granted).map(|it| format!("{} {}", it.privilege, it.object)).collect();
        // the schema public and many a function are for every role
        let is_used =
            rights.iter().any(|it| it.is_own || it.granted && it.object != "schema" && !it.object.contains('('));
        if missing.is_empty() || !is_used {
            return None;
        }
        let remedy = if subject == role {
            "longshore migrate --grant, as the tables' owner".to_owned()
        } else {
            format!("GRANT {role} TO \"{subject}\", or the role of deploy/roles.sql whose work it does")
        };
        Some(Finding::new(LS210, format!("{subject} lacks {}", some(&missing, NAMES_MAX)), remedy))
    };
    by_subject.into_iter().filter_map(told).collect()
}
