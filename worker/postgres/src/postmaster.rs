//! A running server, as its files and its socket show it.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use crate::error::{Error, Result};

/// The bytes of a socket's path that fit beside the closing NUL (`sun_path`).
const SOCKET_PATH_LIMIT: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// What a running server says of itself in `postmaster.pid`.
#[derive(Debug)]
pub(crate) struct Postmaster {
    pub(crate) pid: Pid,
    pub(crate) port: u16,
    pub(crate) socket_dir: PathBuf,
    /// Whether it listens on TCP too.
    pub(crate) tcp: bool,
    ready: bool,
}

impl Postmaster {
    /// Reads the file: `None` where it is missing, or not yet written to its end.
    pub(crate) fn read(data_dir: &Path) -> Option<Self> {
        let text = fs::read_to_string(data_dir.join("postmaster.pid")).ok()?;
        // pid, data folder, start, port, socket folder, TCP address, shared memory, status
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let [pid, _, _, port, socket_dir, address, _, status] = lines[..] else { return None };
        Some(Self {
            pid: Pid::from_raw(pid.parse().ok()?)?,
            port: port.parse().ok()?,
            socket_dir: socket_dir.into(),
            tcp: !address.is_empty(),
            ready: status == "ready",
        })
    }

    /// Whether the server takes connections.
    pub(crate) fn answers(&self) -> bool {
        self.ready && UnixStream::connect(socket(&self.socket_dir, self.port)).is_ok()
    }
}

fn socket(socket_dir: &Path, port: u16) -> PathBuf {
    socket_dir.join(format!(".s.PGSQL.{port}"))
}

/// Refuses a folder in which no socket can be opened.
pub(crate) fn check_socket(socket_dir: &Path, port: u16) -> Result<()> {
    let path = socket(socket_dir, port);
    if path.as_os_str().len() > SOCKET_PATH_LIMIT {
        return Err(Error::SocketPathTooLong { path, limit: SOCKET_PATH_LIMIT });
    }
    Ok(())
}
