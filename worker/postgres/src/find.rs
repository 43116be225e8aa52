//! Where Postgres's programs lie.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::account::{self, Account};
use crate::error::{Error, Result};
use crate::fetch::{self, Fetch};

/// The oldest major that runs. It is no longer maintained: messages ask for 15.
const OLDEST_MAJOR: u32 = 14;

/// Where packages of operating systems put Postgres; `*` stands for any part of one name.
const USUAL_FOLDERS: [&str; 5] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];

/// A folder with `initdb` and `postgres`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The folder.
    pub bin_dir: PathBuf,
    /// 15 for Postgres 15.18.
    pub major: u32,
}

/// Where to look for an installation.
#[derive(Debug, Clone)]
pub struct Search {
    /// Looked at alone where it is given.
    pub bin_dir: Option<PathBuf>,
    /// Folders as in `PATH`, looked through for `pg_config` and `postgres`.
    pub path: OsString,
    /// Further folders; `*` stands for any part of one name.
    pub usual_folders: Vec<PathBuf>,
    /// Where fetched packages lie.
    pub cache: PathBuf,
    /// Whether a package may be fetched where nothing is found.
    pub fetch: Option<Fetch>,
}

impl Default for Search {
    /// `PATH`, the usual folders and the user's cache; fetches, and says so on stderr.
    fn default() -> Self {
        Self {
            bin_dir: None,
            path: env::var_os("PATH").unwrap_or_default(),
            usual_folders: USUAL_FOLDERS.map(PathBuf::from).to_vec(),
            cache: folder_of_user("XDG_CACHE_HOME", ".cache", "/var/cache"),
            fetch: Some(Fetch::default()),
        }
    }
}

impl Search {
    /// As the default, with the folder that `LONGSHORE_TEST_PG_BIN` names, where it is set.
    pub fn for_tests() -> Self {
        Self { bin_dir: env::var_os("LONGSHORE_TEST_PG_BIN").map(Into::into), ..Self::default() }
    }

    /// Finds the installation with the highest major; among equals `path` comes before the usual
    /// folders, and those before the cache. Fetches a package where there is none.
    ///
    /// # Errors
    /// [`Error::NotFound`] with three remedies; [`Error::Unreachable`] where the only ones lie
    /// where root's stand-in cannot run them.
    pub fn find(&self) -> Result<Installation> {
        Ok(self.find_all(Account::unprivileged()?.as_ref())?.swap_remove(0))
    }

    /// Every installation, the best first; at least one.
    pub(crate) fn find_all(&self, account: Option<&Account>) -> Result<Vec<Installation>> {
        let found = self.installed(account)?;
        if !found.is_empty() {
            return Ok(found);
        }
        let why = match (&self.bin_dir, &self.fetch) {
            (Some(folder), _) => format!("no initdb and postgres, 15 or newer, in `{}`", folder.display()),
            (None, None) => "none is installed".to_owned(),
            (None, Some(fetch)) => {
                let usable = || self.installed(account).is_ok_and(|found| !found.is_empty());
                match fetch.run(&self.cache, account, usable) {
                    Ok(()) => return self.installed(account),
                    Err(why) => format!("none is installed, and fetching it ended with: {why}"),
                }
            }
        };
        Err(Error::NotFound { why, remedies: fetch::remedies(&self.cache) })
    }

    fn installed(&self, account: Option<&Account>) -> Result<Vec<Installation>> {
        let mut found: Vec<Installation> = Vec::new();
        let mut closed = None;
        for bin_dir in self.folders() {
            match major_in(&bin_dir, account) {
                Ok(Some(major)) if major >= OLDEST_MAJOR => {
                    found.push(Installation { bin_dir, major });
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    closed = closed.or(Some(bin_dir));
                }
                Ok(_) | Err(_) => {}
            }
        }
        if let (true, Some(path), Some(account)) = (found.is_empty(), closed, account) {
            return Err(Error::Unreachable { path, user: account.name.clone() });
        }
        // Stable: among equal majors the order of the folders stays.
        found.sort_by_key(|installation| std::cmp::Reverse(installation.major));
        Ok(found)
    }

    fn folders(&self) -> Vec<PathBuf> {
        if let Some(folder) = &self.bin_dir {
            return vec![folder.clone()];
        }
        let mut folders = Vec::new();
        if let Some(pg_config) = which("pg_config", &self.path) {
            let output = Command::new(pg_config).arg("--bindir").stderr(Stdio::null()).output();
            let printed = output.map(|output| output.stdout).unwrap_or_default();
            folders.push(String::from_utf8_lossy(&printed).trim().into());
        }
        if let Some(postgres) = which("postgres", &self.path) {
            // A link to `postgres` alone leads to the folder that has `initdb` too.
            let real = fs::canonicalize(&postgres).ok();
            folders.extend([Some(postgres), real].into_iter().flatten().filter_map(parent));
        }
        let cached = fetch::FOLDERS.iter().map(|folder| self.cache.join(folder));
        folders.extend(self.usual_folders.iter().cloned().chain(cached).flat_map(|it| expand(&it)));
        folders
    }
}

fn parent(path: PathBuf) -> Option<PathBuf> {
    path.parent().map(Path::to_owned)
}

/// Asks `postgres` for its version, as the user that will run it: `None` where it is not there.
fn major_in(bin_dir: &Path, account: Option<&Account>) -> io::Result<Option<u32>> {
    let postgres = bin_dir.join("postgres");
    if !postgres.is_absolute() || !postgres.is_file() || !bin_dir.join("initdb").is_file() {
        return Ok(None);
    }
    let mut command = Command::new(postgres);
    command.arg("--version").stderr(Stdio::null());
    account::run_as(&mut command, account);
    let printed = command.output()?.stdout;
    Ok(major(&String::from_utf8_lossy(&printed)))
}

/// 15 in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, 19 in `… 19beta1`.
fn major(version: &str) -> Option<u32> {
    let number = version.split_once(") ")?.1;
    let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..end].parse().ok()
}

/// The first file of this name in folders as in `PATH`.
pub(crate) fn which(name: &str, path: &OsString) -> Option<PathBuf> {
    env::split_paths(path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Every existing folder that a pattern stands for, in order of name. Hidden ones are left out.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::new()];
    for part in pattern.components() {
        let part = part.as_os_str();
        match part.to_str().and_then(|part| part.split_once('*')) {
            Some((start, end)) => {
                paths = paths.iter().flat_map(|path| children(path, start, end)).collect();
            }
            None => paths.iter_mut().for_each(|path| path.push(part)),
        }
    }
    paths.retain(|path| path.is_dir());
    paths
}

fn children(folder: &Path, start: &str, end: &str) -> Vec<PathBuf> {
    let fits = |name: &str| !name.starts_with('.') && name.strip_prefix(start).is_some_and(|rest| rest.ends_with(end));
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> =
        entries.filter(|entry| entry.file_name().to_str().is_some_and(fits)).map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// `longshore` below the XDG folder, below its default in the home folder, or, for root, whose home
/// is closed to the user that runs Postgres, below a folder of the system.
pub(crate) fn folder_of_user(variable: &str, in_home: &str, of_root: &str) -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return Path::new(of_root).join("longshore");
    }
    let given = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = given.or_else(|| env::home_dir().map(|home| home.join(in_home)));
    base.unwrap_or_else(env::temp_dir).join("longshore")
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn a_major_is_read_from_every_form_of_version() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 19beta1\n"), Some(19));
        assert_eq!(major("postgres: not found"), None);
    }
}
