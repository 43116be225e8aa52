//! The life of one server.

use std::env;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal};

use crate::account::{self, Account};
use crate::child::Child;
use crate::cluster::{self, Cluster};
use crate::error::{Error, Result, at};
use crate::find::{self, Installation, Search};
use crate::guard::Guard;
use crate::postmaster::{self, Postmaster};
use crate::url;

/// A fast shutdown writes a checkpoint first.
const STOP_BOUND: Duration = Duration::from_secs(60);

/// An immediate shutdown, or a kill, writes nothing.
const STOP_IMMEDIATE_BOUND: Duration = Duration::from_secs(10);

/// What kind of server to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to find Postgres.
    pub search: Search,
    /// The superuser, who needs no password. It is created together with the cluster.
    pub user: String,
    /// Whether to listen on a free port of 127.0.0.1 too.
    pub tcp: bool,
    /// Settings as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
    /// The socket's folder: a fitting one is chosen where none is given.
    pub socket_dir: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            search: Search::default(),
            user: "longshore".to_owned(),
            tcp: false,
            settings: Vec::new(),
            socket_dir: None,
        }
    }
}

impl Options {
    /// As the default, with [`Search::for_tests`].
    pub fn for_tests() -> Self {
        Self { search: Search::for_tests(), ..Self::default() }
    }
}

/// A running server. Dropping one that this process started stops it.
///
/// It listens on a unix socket that its own user and root can connect to, without a password.
#[derive(Debug)]
pub struct Server {
    cluster: Cluster,
    process: Process,
}

#[derive(Debug)]
enum Process {
    /// Dropped in this order: the guard cleans up after a server that has ended.
    Own {
        child: Child,
        guard: Guard,
    },
    Attached(Pid),
}

impl Server {
    /// Starts a server on a new cluster. Everything it leaves is removed when the value is
    /// dropped, and also when this process is killed.
    ///
    /// # Errors
    /// All of [`Error`] but `WrongMajor` and `Attached`.
    pub fn temporary(options: &Options) -> Result<Self> {
        let account = Account::unprivileged()?;
        let installation = options.search.find_all(account.as_ref())?.swap_remove(0);
        let (cluster, guard) = Self::temporary_cluster(options, account, installation)?;
        Self::start(cluster, guard)
    }

    /// Starts a standby that streams from `primary`, by the same installation; it lives as [`Self::temporary`] does.
    /// Promoted (`SELECT pg_promote()`), it is a server like any other.
    ///
    /// # Errors
    /// [`Error::Lacks`] where the installation has no `pg_basebackup`; else as `temporary`.
    pub fn standby(primary: &Self, options: &Options) -> Result<Self> {
        let (account, installation) = (primary.cluster.account.clone(), primary.cluster.installation.clone());
        let (cluster, guard) = Self::temporary_cluster(options, account, installation)?;
        cluster.copy_of(&primary.cluster)?;
        Self::start(cluster, guard)
    }

    /// A cluster in a folder of its own, both gone with the guard; nothing is made yet.
    fn temporary_cluster(
        options: &Options,
        account: Option<Account>,
        installation: Installation,
    ) -> Result<(Cluster, Guard)> {
        let folder = unique_folder(&env::temp_dir(), account.as_ref())?;
        let mut cluster = Cluster::new(options, account, installation, folder.join("data"));
        let guard = Guard::start(&cluster.data_dir, Some(&folder)).map_err(at("guard", &folder))?;
        cluster.temporary = true;
        cluster.socket_dir = options.socket_dir.clone().unwrap_or(folder);
        Ok((cluster, guard))
    }

    /// Starts a server on the cluster in `data_dir`, which is made where it is missing, or
    /// attaches to the server that already runs there. Without a folder: `longshore/pg<major>`
    /// below the user's data folder.
    ///
    /// Of two processes that do this at once, one starts the server and the other attaches. Beside
    /// the folder lie its log and its lock, of the same name with `.log` and `.lock`.
    ///
    /// # Errors
    /// All of [`Error`] but `Attached`.
    pub fn persistent(data_dir: Option<&Path>, options: &Options) -> Result<Self> {
        let account = Account::unprivileged()?;
        let found = options.search.find_all(account.as_ref())?;
        let data_dir = match data_dir {
            Some(data_dir) => std::path::absolute(data_dir).map_err(at("look at", data_dir))?,
            None => default_data_dir(&found),
        };
        let installation = cluster::installation_for(&data_dir, found)?;
        let mut cluster = Cluster::new(options, account, installation, data_dir);
        // Open until return, so that only one process initializes and starts.
        let _lock = cluster.lock()?;
        if let Some(running) = Postmaster::read(&cluster.data_dir).filter(Postmaster::answers) {
            cluster.socket_dir = running.socket_dir;
            cluster.port = running.port;
            cluster.tcp = running.tcp;
            return Ok(Self { cluster, process: Process::Attached(running.pid) });
        }
        let scratch = cluster.choose_socket_dir(options.socket_dir.as_deref())?;
        let guard = Guard::start(&cluster.data_dir, scratch.as_deref());
        let guard = guard.map_err(at("guard", &cluster.data_dir))?;
        Self::start(cluster, guard)
    }

    fn start(mut cluster: Cluster, mut guard: Guard) -> Result<Self> {
        cluster.choose_port()?;
        cluster.initialize()?;
        let child = cluster.start_first(&mut guard)?;
        Ok(Self { cluster, process: Process::Own { child, guard } })
    }

    /// Starts the server again, on the same data, socket and port, after [`Self::kill`] or
    /// [`Self::stop_immediate`]; a running one is stopped first, without losing a commit.
    ///
    /// # Errors
    /// [`Error::Attached`], or [`Error::Ended`] with the end of the log.
    pub fn restart(&mut self) -> Result<()> {
        let Process::Own { child, guard } = &mut self.process else {
            return Err(Error::Attached(self.cluster.data_dir.clone()));
        };
        child.stop(Signal::INT, STOP_BOUND).map_err(at("stop", &self.cluster.data_dir))?;
        *child = self.cluster.start(guard)?;
        Ok(())
    }

    /// Kills the server (SIGKILL) and waits until its main process is gone. Its backends end by
    /// themselves soon after.
    ///
    /// # Errors
    /// [`Error::Attached`].
    pub fn kill(&self) -> Result<()> {
        self.own()?.stop(Signal::KILL, STOP_IMMEDIATE_BOUND).map_err(at("kill", &self.cluster.data_dir))
    }

    /// Stops the server without a checkpoint (SIGQUIT), as a crash would, backends included.
    ///
    /// # Errors
    /// [`Error::Attached`].
    pub fn stop_immediate(&self) -> Result<()> {
        self.own()?.stop(Signal::QUIT, STOP_IMMEDIATE_BOUND).map_err(at("stop", &self.cluster.data_dir))
    }

    /// Sends a signal to the server's main process, or nothing where it has ended.
    ///
    /// # Errors
    /// [`Error::Attached`].
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.own()?.signal(signal).map_err(at("signal the server in", &self.cluster.data_dir))
    }

    fn own(&self) -> Result<&Child> {
        match &self.process {
            Process::Own { child, .. } => Ok(child),
            Process::Attached(_) => Err(Error::Attached(self.cluster.data_dir.clone())),
        }
    }

    /// Whether another process started the server, and will stop it.
    pub fn is_attached(&self) -> bool {
        matches!(self.process, Process::Attached(_))
    }

    /// The id of the server's main process.
    pub fn pid(&self) -> u32 {
        let pid = match &self.process {
            Process::Own { child, .. } => child.pid(),
            Process::Attached(pid) => *pid,
        };
        pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// A URL over the unix socket, for sqlx and libpq.
    pub fn url(&self, database: &str) -> String {
        url::socket(self.user(), self.socket_dir(), self.port(), database)
    }

    /// A URL over TCP, where the server listens there.
    pub fn tcp_url(&self, database: &str) -> Option<String> {
        self.tcp_port().map(|port| url::tcp(self.user(), port, database))
    }

    /// A command line that opens a SQL prompt, to be pasted into a shell.
    pub fn psql_line(&self, database: &str) -> String {
        let psql = self.bin_dir().join("psql");
        let psql = if psql.is_file() { psql.display().to_string() } else { "psql".to_owned() };
        format!("{psql} '{}'", self.url(database))
    }

    /// The folder of the unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.cluster.socket_dir
    }

    /// The port in the name of the unix socket.
    pub fn port(&self) -> u16 {
        self.cluster.port
    }

    /// The port of 127.0.0.1, where the server listens there.
    pub fn tcp_port(&self) -> Option<u16> {
        self.cluster.tcp.then_some(self.cluster.port)
    }

    /// The superuser.
    pub fn user(&self) -> &str {
        &self.cluster.superuser
    }

    /// The data folder.
    pub fn data_dir(&self) -> &Path {
        &self.cluster.data_dir
    }

    /// What the server printed since it was first started.
    pub fn log_path(&self) -> &Path {
        &self.cluster.log_path
    }

    /// The folder of the server's programs.
    pub fn bin_dir(&self) -> &Path {
        &self.cluster.installation.bin_dir
    }

    /// 15 for Postgres 15.18.
    pub fn major(&self) -> u32 {
        self.cluster.installation.major
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let (Process::Own { child, .. }, false) = (&self.process, self.cluster.temporary) {
            // The child's own drop, which follows, is what a temporary server gets: no checkpoint.
            child.stop(Signal::INT, STOP_BOUND).ok();
        }
    }
}

impl Cluster {
    fn new(options: &Options, account: Option<Account>, installation: Installation, data_dir: PathBuf) -> Self {
        Self {
            installation,
            account,
            superuser: options.user.clone(),
            log_path: cluster::beside(&data_dir, ".log"),
            data_dir,
            socket_dir: PathBuf::new(),
            port: 0,
            tcp: options.tcp,
            settings: options.settings.clone(),
            temporary: false,
        }
    }

    /// Takes the folder that is given; else the data folder, so that URLs stay the same from start
    /// to start; else, where that path is too long, a new folder, which it returns.
    fn choose_socket_dir(&mut self, given: Option<&Path>) -> Result<Option<PathBuf>> {
        let account = self.account.as_ref();
        self.socket_dir = given.unwrap_or(&self.data_dir).to_owned();
        if given.is_some() || postmaster::check_socket(&self.socket_dir, u16::MAX).is_ok() {
            return Ok(None);
        }
        let runtime = env::var_os("XDG_RUNTIME_DIR").filter(|_| account.is_none());
        self.socket_dir = unique_folder(&runtime.map_or_else(env::temp_dir, Into::into), account)?;
        Ok(Some(self.socket_dir.clone()))
    }
}

/// The folder of the best major that has data already, else of the best major.
fn default_data_dir(found: &[Installation]) -> PathBuf {
    let base = find::folder_of_user("XDG_DATA_HOME", ".local/share", "/var/lib");
    let folder = |it: &Installation| base.join(format!("pg{}", it.major));
    let with_data = found.iter().map(folder).find(|dir| cluster::major_of(dir).is_some());
    with_data.unwrap_or_else(|| folder(&found[0]))
}

/// Creates a folder that only `account` and root can enter.
fn unique_folder(base: &Path, account: Option<&Account>) -> Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("longshore-{}-{:x}-{number}", process::id(), now.subsec_nanos());
    let folder = base.join(name);
    account::check_reach(base, account)?;
    fs::DirBuilder::new().mode(0o700).create(&folder).map_err(at("create folder", &folder))?;
    account::give(&folder, account)?;
    Ok(folder)
}
