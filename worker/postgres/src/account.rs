//! The unprivileged user that a root process runs Postgres as.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Error, Result, at};

/// Tried in this order.
const NAMES: [&str; 2] = ["postgres", "nobody"];

/// A user and its primary group.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// The user to run Postgres as: `None` where the process is not root and runs it as itself.
    pub(crate) fn unprivileged() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let account = NAMES
            .iter()
            .find_map(|name| Some(Self { name: (*name).to_owned(), uid: id("-u", name)?, gid: id("-g", name)? }));
        account.map(Some).ok_or_else(|| Error::Io {
            what: format!("Postgres refuses to run as root, and no user {NAMES:?} exists"),
            source: io::ErrorKind::NotFound.into(),
        })
    }
}

/// Asks `id`, which knows every source of users that the machine has.
fn id(flag: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([flag, name]).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// Makes the command run as `account`, without any of root's groups.
///
/// The standard library drops groups, gid and uid before it runs `pre_exec`,
/// which is the order that a death signal needs: a change of uid clears it.
pub(crate) fn run_as(command: &mut Command, account: Option<&Account>) {
    command.current_dir("/");
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
}

/// Hands a folder to `account`.
pub(crate) fn give(path: &Path, account: Option<&Account>) -> Result<()> {
    account.map_or(Ok(()), |account| {
        chown(path, Some(account.uid), Some(account.gid)).map_err(at("change the owner of", path))
    })
}

/// Refuses a folder that `account` cannot enter.
pub(crate) fn check_reach(path: &Path, account: Option<&Account>) -> Result<()> {
    let Some(account) = account else { return Ok(()) };
    let mut test = Command::new("sh");
    test.args(["-c", r#"test -x "$1""#, "sh"]).arg(path);
    run_as(&mut test, Some(account));
    if test.status().map_err(at("look at", path))?.success() {
        return Ok(());
    }
    Err(Error::Unreachable { path: path.to_owned(), user: account.name.clone() })
}

/// Creates a folder and its parents. As root they are open to every user, whatever the umask.
pub(crate) fn create_folder(path: &Path, account: Option<&Account>) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_folder(parent, account)?;
    }
    match fs::DirBuilder::new().mode(0o755).create(path) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        result => result.map_err(at("create folder", path))?,
    }
    if account.is_some() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(at("open folder", path))?;
    }
    Ok(())
}
