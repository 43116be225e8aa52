//! How a command ends, for shells and orchestrators.

use std::process::ExitCode;

/// The exit codes of all commands but `worker` and `dev`, which add those of [`longshore_worker::Ended`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All was done.
    Done,
    /// Something was not.
    Failed,
    /// The command line, or what it names as input, cannot be understood; clap exits likewise.
    Usage,
    /// What was named is not there.
    NotFound,
    /// What was looked at is not well.
    Unhealthy,
    /// The time given was over before the end, as timeout(1) says it.
    TimedOut,
    /// Nobody reads what it prints any more: what a shell says of those that SIGPIPE ends.
    NotRead,
    /// The configuration is wrong: EX_USAGE of sysexits.h, which leaves 2 to the command line.
    BadConfiguration,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Unhealthy => 4,
            Self::TimedOut => 124,
            Self::NotRead => 141,
            Self::BadConfiguration => 64,
        }
    }

    /// The one to end with after several things were done: the first that did not go well.
    pub(crate) fn and(self, next: Self) -> Self {
        if self == Self::Done { next } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Input that cannot be understood: ends with [`Exit::Usage`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadInput(pub(crate) String);
