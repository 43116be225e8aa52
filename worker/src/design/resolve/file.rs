//! `file`: a regular file below the configured root, whatever stands on its way.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::error::Problem;

/// Close on exec; without waiting for somebody to write into a pipe; without taking a terminal as one's own.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Reads a file below `root`. Follows no symbolic link below the root, and leaves it by no way. Blocks.
pub(super) fn read(root: &Path, path: &Path, max_bytes: usize) -> Result<Vec<u8>, Problem> {
    let below = path.strip_prefix(root).map_err(|_| Problem::OutsideRoot)?;
    // components() passes over `.` and doubled slashes, which lead nowhere
    if below.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(Problem::OutsideRoot);
    }
    if below.as_os_str().is_empty() {
        return Err(Problem::NotAFile);
    }
    let root = openat(CWD, root, FLAGS | OFlags::DIRECTORY, Mode::empty())
        .map_err(|errno| Problem::Unreadable(format!("[design] file_root: {errno}")))?;
    let file = open_below(&root, below).map_err(refused)?;
    read_regular(file, max_bytes)
}

/// Reads a file that a person named, from wherever it is: a pipe will do. Blocks.
pub(super) fn read_local(path: &Path, max_bytes: usize) -> Result<Vec<u8>, Problem> {
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Problem::NoSuchFile,
        _ => Problem::Unreadable(error.to_string()),
    })?;
    read_all(file, max_bytes)
}

/// Opens with the kernel's own guard, and where the kernel has none, step by step.
#[cfg(target_os = "linux")]
fn open_below(root: &OwnedFd, below: &Path) -> Result<OwnedFd, Errno> {
    use rustix::fs::{ResolveFlags, openat2};
    let guard = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(root, below, FLAGS, Mode::empty(), guard) {
        // before Linux 5.6, and in sandboxes that do not know the call
        Err(Errno::NOSYS | Errno::PERM) => walk_below(root, below),
        opened => opened,
    }
}

#[cfg(not(target_os = "linux"))]
fn open_below(root: &OwnedFd, below: &Path) -> Result<OwnedFd, Errno> {
    walk_below(root, below)
}

/// Opens one component after the other, none of them through a link.
pub(super) fn walk_below(root: &OwnedFd, below: &Path) -> Result<OwnedFd, Errno> {
    let mut parts: Vec<&std::ffi::OsStr> = below.iter().collect();
    let Some(name) = parts.pop() else { return Err(Errno::ISDIR) };
    let mut folder: Option<OwnedFd> = None;
    for part in parts {
        let flags = FLAGS | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        // a link is no folder to it
        let next = openat(folder.as_ref().unwrap_or(root), part, flags, Mode::empty());
        folder = Some(next?);
    }
    openat(folder.as_ref().unwrap_or(root), name, FLAGS | OFlags::NOFOLLOW, Mode::empty())
}

pub(super) fn refused(errno: Errno) -> Problem {
    match errno {
        Errno::NOENT | Errno::NOTDIR => Problem::NoSuchFile,
        Errno::LOOP => Problem::Link,
        Errno::XDEV => Problem::OutsideRoot,
        // a socket, a device without a driver
        Errno::NXIO | Errno::NODEV | Errno::ISDIR => Problem::NotAFile,
        errno => Problem::Unreadable(errno.to_string()),
    }
}

pub(super) fn read_regular(file: OwnedFd, max_bytes: usize) -> Result<Vec<u8>, Problem> {
    let found = fstat(&file).map_err(|errno| Problem::ReadFailed(errno.to_string()))?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(Problem::NotAFile);
    }
    if usize::try_from(found.st_size).is_ok_and(|size| size > max_bytes) {
        return Err(Problem::TooLarge(max_bytes));
    }
    read_all(File::from(file), max_bytes)
}

fn read_all(file: File, max_bytes: usize) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    // one byte more than is allowed, so that a file that grows meanwhile is found out
    let bound = max_bytes as u64 + 1;
    file.take(bound).read_to_end(&mut bytes).map_err(|error| match error.kind() {
        std::io::ErrorKind::IsADirectory => Problem::NotAFile,
        _ => Problem::ReadFailed(error.to_string()),
    })?;
    if bytes.len() > max_bytes { Err(Problem::TooLarge(max_bytes)) } else { Ok(bytes) }
}
