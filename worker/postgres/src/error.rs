//! What can go wrong, with the value and the remedy in each message.

use std::io;
use std::path::{Path, PathBuf};

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No usable installation was found, and none could be fetched.
    #[error("no Postgres to run: {why}; any one of these brings it:\n{remedies}")]
    NotFound {
        /// What was looked at, or why fetching ended without a result.
        why: String,
        /// One command a line.
        remedies: String,
    },
    /// The process is root, and the user that Postgres would run as cannot enter a path.
    #[error(
        "Postgres refuses to run as root, and user `{user}` cannot reach `{}`: \
         use a folder every user can enter, such as one below /opt or /var/lib",
        path.display()
    )]
    Unreachable {
        /// The closed path.
        path: PathBuf,
        /// The unprivileged user.
        user: String,
    },
    /// A data folder belongs to a major version that is not installed.
    #[error(
        "data folder `{}` was made by Postgres {major}, found only {found}: \
         install Postgres {major}, or use another folder",
        data_dir.display()
    )]
    WrongMajor {
        /// The data folder.
        data_dir: PathBuf,
        /// Its `PG_VERSION`.
        major: u32,
        /// The majors that are installed.
        found: String,
    },
    /// The installation came without a program that only some uses need.
    #[error("no {program} in `{}`: install the whole of Postgres, such as Debian's package postgresql", bin_dir.display())]
    Lacks {
        /// The program.
        program: &'static str,
        /// Where it was looked for.
        bin_dir: PathBuf,
    },
    /// A socket in this folder would not fit into the kernel's address.
    #[error(
        "socket path `{}` has {} bytes, the limit is {limit}: use a shorter folder",
        path.display(), path.as_os_str().len()
    )]
    SocketPathTooLong {
        /// The path of the socket.
        path: PathBuf,
        /// The most bytes this platform allows.
        limit: usize,
    },
    /// A program ended, or took too long, before it had done its work.
    #[error("{program} {how}; its last output was:\n{log}")]
    Ended {
        /// `initdb`, `postgres`, `pip` or `npm`.
        program: &'static str,
        /// How it ended, or the bound it missed.
        how: String,
        /// The tail of what it printed.
        log: String,
    },
    /// The server was started by another process, which alone may end it.
    #[error("the server in `{}` belongs to another process: stop it there", .0.display())]
    Attached(PathBuf),
    /// The operating system refused something.
    #[error("{what}")]
    Io {
        /// The step, with the value it concerned.
        what: String,
        /// The refusal.
        source: io::Error,
    },
}

/// Makes an [`Error::Io`] of a step and the path it concerned.
pub(crate) fn at(step: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { what: format!("{step} `{}`", path.display()), source }
}
