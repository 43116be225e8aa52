//! What can be found, by code. `deploy/DOCTOR.md` has a section for each.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// Tasks do not run, or may be lost.
    Error,
    /// It works, and will not for long, or not as well as it could.
    Warning,
    /// To be known.
    Info,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}

macro_rules! codes {
    ($($code:ident $severity:ident $title:literal,)*) => {
        /// A kind of finding. What a code means never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        pub(crate) enum Code {
            $(#[doc = $title] $code,)*
        }

        impl Code {
            /// All of them, in order.
            pub(crate) const ALL: &[Self] = &[$(Self::$code,)*];

            /// How bad it is.
            pub(crate) fn severity(self) -> Severity {
                match self { $(Self::$code => Severity::$severity,)* }
            }

            /// What it says in few words: the heading of its section.
            pub(crate) fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)* }
            }

            fn name(self) -> &'static str {
                match self { $(Self::$code => stringify!($code),)* }
            }
        }
    };
}

codes! {
    // the server and the way to it
    LS101 Error "The database cannot be reached",
    LS102 Error "A pooler in transaction mode stands before the database",
    LS103 Warning "TLS is not verified",
    LS104 Error "The server's version is not supported",
    LS105 Info "The server is newer than what is tested",
    LS106 Error "The server takes no writes",
    LS107 Warning "The clocks differ",
    LS108 Warning "Few connections are left",
    LS109 Error "NOTIFY does not arrive",
    LS110 Warning "The queue of notifications fills up",
    LS111 Error "A crash of the server may damage the data",
    LS112 Warning "A crash of the server may lose what was committed",
    LS113 Error "Autovacuum is off",
    LS114 Error "A setting changes what statements mean",
    // the schema and who may use it
    LS201 Error "The schema is not there, or older than this program",
    LS202 Info "The schema is newer than this program",
    LS203 Error "A migration was not applied as it is",
    LS204 Error "A part of the schema is missing",
    LS205 Warning "A part of the schema is not as migrations make it",
    LS206 Warning "Something was added to the tables",
    LS207 Error "An index is not valid",
    LS208 Error "A trigger does not fire",
    LS209 Warning "Storage settings were changed",
    LS210 Error "A role lacks rights",
    LS211 Warning "Every role may create objects in the schema",
    // who works
    LS301 Error "A worker is silent and its tasks are not given back",
    LS302 Error "Claims are held by no worker",
    LS303 Error "Nobody leads",
    LS304 Error "Tasks are due and no worker is alive",
    LS305 Warning "Tasks have been due for long",
    LS306 Warning "A schedule does not fire",
    LS307 Warning "No worker serves what is due",
    LS308 Warning "A pause has held for long",
    // dead rows, partitions, disk
    LS401 Warning "An old transaction keeps dead rows",
    LS402 Warning "A prepared transaction was left behind",
    LS403 Warning "A replication slot keeps the server's log",
    LS404 Warning "Vacuum does not keep up",
    LS405 Warning "Autovacuum is off for a table",
    LS406 Error "Transaction ids run out",
    LS407 Error "A range of time has no partition",
    LS408 Warning "Tasks lie in an open-ended partition",
    LS409 Warning "The partitions ahead run out",
    LS410 Warning "A partition is detached halfway",
    LS411 Error "The disk is nearly full",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Code {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|code| code.name().eq_ignore_ascii_case(text));
        found.copied().ok_or_else(|| "must be a code such as LS303; deploy/DOCTOR.md lists them all".to_owned())
    }
}

/// The page of all codes.
const PAGE: &str = include_str!("../../../../deploy/DOCTOR.md");

/// The section of a code.
pub(crate) fn explained(code: Code) -> &'static str {
    let heading = format!("### {code} ");
    let section = PAGE.find(&heading).map_or("", |at| &PAGE[at..]);
    let end = section[1..].find("\n##").map_or(section.len(), |at| at + 2);
    &section[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_section_and_every_section_its_code() {
        let told: Vec<&str> = PAGE.lines().filter(|line| line.starts_with("### ")).collect();
        let known: Vec<String> = Code::ALL.iter().map(|code| format!("### {code} {}", code.title())).collect();
        assert_eq!(told, known);
    }

    #[test]
    fn every_section_says_how_bad_it_is_what_it_means_and_what_to_do() {
        for code in Code::ALL {
            let section = explained(*code);
            let mut paragraphs = section.split("\n\n").skip(1);
            let meaning = paragraphs.next().unwrap_or_default();
            let first = format!("{}. ", code.severity());
            assert!(meaning.to_lowercase().starts_with(&first), "{code} begins with {meaning:?}");
            assert!(section.contains("\n\nRemedy: "), "{code} has no remedy");
            assert_eq!(section.matches("\n#").count(), 0, "{code} has another's section");
        }
    }

    #[test]
    fn codes_rise_and_are_read_as_they_are_written() {
        assert!(Code::ALL.is_sorted());
        for code in Code::ALL {
            assert_eq!(code.to_string().parse(), Ok(*code));
            assert_eq!(code.to_string().to_lowercase().parse(), Ok(*code));
        }
        assert!("LS999".parse::<Code>().is_err());
    }
}
