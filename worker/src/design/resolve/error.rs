//! Why a reference did not resolve, and whether another try may.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::StatusCode;

use super::address::Origin;
use crate::design::reference::{Reference, ReferenceError, ReferenceProblem};

/// A reference that did not resolve. Shows no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("design reference {reference}: {problem}")]
pub struct ResolveError {
    /// The reference, without what may be a secret.
    pub reference: String,
    /// What was in the way.
    pub problem: Problem,
}

/// Whether another try may end better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Not as long as the reference, the configuration and the other side stay as they are.
    Permanent,
    /// It may: the task's retries decide how often.
    Transient,
}

/// What was in the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The task names none.
    #[error("the task has none, and its action wants the documents")]
    Missing,
    /// Not a reference.
    #[error(transparent)]
    Reference(#[from] ReferenceProblem),

    /// Files are off.
    #[error("files are read only below [design] file_root, and none is configured")]
    FilesAreOff,
    /// A file outside of the root.
    #[error("the file is not below [design] file_root")]
    OutsideRoot,
    /// A path with a symbolic link in it, or a loop of them.
    #[error("the path holds a symbolic link, which is not followed")]
    Link,
    /// No such file.
    #[error("there is no such file")]
    NoSuchFile,
    /// A folder, a device, a pipe, a socket.
    #[error("not a regular file")]
    NotAFile,
    /// The system does not let it be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// Reading broke off.
    #[error("reading broke off: {0}")]
    ReadFailed(String),

    /// An address that is not somebody's on the Internet, and not listed.
    #[error(
        "{host} has the address {address}, which is private or reserved: [design] allow may list its network or origin"
    )]
    Forbidden {
        /// The host as the URL has it.
        host: String,
        /// Its address, or the first of them.
        address: IpAddr,
    },
    /// No address for the host.
    #[error("no address for {host}: {why}")]
    Unresolved {
        /// The host as the URL has it.
        host: String,
        /// What the system says.
        why: String,
    },
    /// No connection: refused, not in time, or without a certificate that is trusted.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// Not all of it in time.
    #[error("took longer than {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// The connection broke.
    #[error("the answer broke off: {0}")]
    BrokeOff(String),
    /// Another status than 200.
    #[error("answered {0}")]
    Status(StatusCode),
    /// A redirect, and none is followed, or no further one.
    #[error("answered {status}, and [design] redirects allows {allowed}")]
    Redirects {
        /// Which one.
        status: StatusCode,
        /// How many are followed.
        allowed: usize,
    },
    /// A redirect to what is not followed.
    #[error("is redirected to {0}")]
    Redirected(&'static str),
    /// A type that [design] content_types does not list.
    #[error("has the type {0:?}, which [design] content_types does not list")]
    ContentType(String),
    /// Compressed in a way that is not read.
    #[error("is encoded as {0:?}: only gzip is read")]
    ContentEncoding(String),
    /// More bytes than are taken.
    #[error("is larger than [design] max_bytes, {0} bytes")]
    TooLarge(usize),
    /// Not what gzip makes.
    #[error("is not valid gzip: {0}")]
    Corrupt(String),

    /// A token is needed, and none may be sent there.
    #[error("[design.keystone] origins does not list {0}, so no token is sent there")]
    NoToken(Origin),
    /// Keystone gave no token.
    #[error("no token from Keystone: {0}")]
    Keystone(Box<Problem>),
    /// What Keystone answers holds none.
    #[error("its answer holds none")]
    NoTokenInAnswer,
}

impl Problem {
    /// Whether another try may end better.
    pub fn class(&self) -> Class {
        match self {
            Self::Keystone(problem) => problem.class(),
            Self::Status(status) if is_passing(*status) => Class::Transient,
            Self::ReadFailed(_)
            | Self::Unresolved { .. }
            | Self::Connect(_)
            | Self::TimedOut(_)
            | Self::BrokeOff(_)
            | Self::Corrupt(_)
            | Self::NoTokenInAnswer => Class::Transient,
            _ => Class::Permanent,
        }
    }

    pub(super) fn of(self, reference: &Reference) -> ResolveError {
        ResolveError { reference: reference.to_string(), problem: self }
    }
}

/// Statuses that pass: as for the answers of an http executor.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS)
}

impl From<ReferenceError> for ResolveError {
    fn from(error: ReferenceError) -> Self {
        Self { reference: error.shown, problem: error.problem.into() }
    }
}
