//! A data folder, and how to run a server on it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::account::{self, Account};
use crate::child::{self, Child};
use crate::error::{Error, Result, at};
use crate::find::Installation;
use crate::guard::Guard;
use crate::postmaster::{self, Postmaster};

/// The socket's number, where no TCP port is asked for. Its folder is private: nothing clashes.
const SOCKET_PORT: u16 = 5432;

/// Takes one to two seconds; this is for a machine that is busy with much else.
const INITDB_BOUND: Duration = Duration::from_secs(120);

/// As long as that, for a cluster that is as good as new.
const COPY_BOUND: Duration = INITDB_BOUND;

/// Takes 50 ms, but recovery after a kill replays the log.
const START_BOUND: Duration = Duration::from_secs(60);

/// How often a starting server is asked whether it is ready.
const READY_POLL: Duration = Duration::from_millis(10);

/// The wait before another attempt, where the last one met something that passes.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What Postgres logs where an earlier server of the same folder is still ending: after a SIGKILL
/// its orphaned backends hold the shared memory until they notice
/// (`a_killed_server_restarts_on_the_same_data`).
const STILL_ENDING: [&str; 2] = ["pre-existing shared memory block", "lock file \"postmaster.pid\" already exists"];

/// What Postgres logs where another process took the TCP port between our choice and its bind.
const PORT_TAKEN: &str = "could not create any TCP/IP sockets";

/// More clashes in a row than this mean that something else is wrong.
const PORT_ATTEMPTS: usize = 3;

/// A data folder, and everything that a start on it needs.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) installation: Installation,
    pub(crate) account: Option<Account>,
    pub(crate) superuser: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) log_path: PathBuf,
    pub(crate) socket_dir: PathBuf,
    /// The same for the socket and for TCP.
    pub(crate) port: u16,
    pub(crate) tcp: bool,
    pub(crate) settings: Vec<(String, String)>,
    /// Its data need not outlive the machine's next power cut.
    pub(crate) temporary: bool,
}

impl Cluster {
    /// Keeps other processes from starting a server on this folder until the file is closed.
    ///
    /// Waits for them: each holds it for a bounded time, and the kernel lets go for the dead.
    pub(crate) fn lock(&self) -> Result<File> {
        if let Some(parent) = self.data_dir.parent() {
            account::create_folder(parent, self.account.as_ref())?;
        }
        let path = beside(&self.data_dir, ".lock");
        let file = File::create(&path).map_err(at("open", &path))?;
        file.lock().map_err(at("lock", &path))?;
        Ok(file)
    }

    /// Makes the cluster, where there is none yet. The folder appears complete or not at all.
    pub(crate) fn initialize(&self) -> Result<()> {
        if major_of(&self.data_dir).is_some() {
            return Ok(());
        }
        let account = self.account.as_ref();
        let half_made = beside(&self.data_dir, ".half-made");
        if half_made.exists() {
            fs::remove_dir_all(&half_made).map_err(at("remove", &half_made))?;
        }
        fs::create_dir(&half_made).map_err(at("create folder", &half_made))?;
        account::give(&half_made, account)?;
        account::check_reach(&half_made, account)?;
        let mut command = Command::new(self.installation.bin_dir.join("initdb"));
        command.arg("-D").arg(&half_made).args(["-U", &self.superuser, "-A", "trust"]);
        command.args(["-E", "UTF8", "--locale=C", "--no-instructions"]);
        command.args(self.temporary.then_some("--no-sync"));
        account::run_as(&mut command, account);
        child::run("initdb", command, &self.log_path, INITDB_BOUND)?;
        fs::rename(&half_made, &self.data_dir).map_err(at("rename the new cluster to", &self.data_dir))
    }

    /// Copies the cluster of a running server, with what makes the copy a standby that streams from it.
    ///
    /// # Errors
    /// [`Error::Lacks`], [`Error::Ended`].
    pub(crate) fn copy_of(&self, primary: &Self) -> Result<()> {
        let (program, bin_dir) = ("pg_basebackup", &self.installation.bin_dir);
        if !bin_dir.join(program).is_file() {
            return Err(Error::Lacks { program, bin_dir: bin_dir.clone() });
        }
        let mut command = Command::new(bin_dir.join(program));
        command.arg("-D").arg(&self.data_dir).arg("-h").arg(&primary.socket_dir);
        command.args(["-p", &primary.port.to_string(), "-U", &primary.superuser]);
        command.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]);
        account::run_as(&mut command, self.account.as_ref());
        child::run(program, command, &self.log_path, COPY_BOUND)
    }

    /// Chooses a port.
    ///
    /// # Errors
    /// [`Error::SocketPathTooLong`].
    pub(crate) fn choose_port(&mut self) -> Result<()> {
        self.port = if self.tcp { free_port()? } else { SOCKET_PORT };
        postmaster::check_socket(&self.socket_dir, self.port)
    }

    /// Starts the server for the first time, with an empty log: another port is chosen where the
    /// first was taken.
    pub(crate) fn start_first(&mut self, guard: &mut Guard) -> Result<Child> {
        File::create(&self.log_path).map_err(at("empty", &self.log_path))?;
        for _ in 1..PORT_ATTEMPTS {
            match self.start(guard) {
                Err(Error::Ended { log, .. }) if log.contains(PORT_TAKEN) => self.choose_port()?,
                result => return result,
            }
        }
        self.start(guard)
    }

    /// Starts the server and waits until it takes connections.
    ///
    /// # Errors
    /// [`Error::Ended`] with the end of the log.
    pub(crate) fn start(&self, guard: &mut Guard) -> Result<Child> {
        let deadline = Instant::now() + START_BOUND;
        loop {
            match self.attempt(guard, deadline) {
                Err(Error::Ended { log, .. })
                    if STILL_ENDING.iter().any(|text| log.contains(text)) && Instant::now() < deadline =>
                {
                    thread::sleep(RETRY_AFTER);
                }
                result => return result,
            }
        }
    }

    fn attempt(&self, guard: &mut Guard, deadline: Instant) -> Result<Child> {
        let log_start = fs::metadata(&self.log_path).map_or(0, |metadata| metadata.len());
        let mut command = self.command();
        child::redirect(&mut command, &self.log_path)?;
        let child = Child::spawn(command, Signal::INT).map_err(at("start postgres in", &self.installation.bin_dir))?;
        guard.watch(child.pid()).map_err(at("guard", &self.data_dir))?;
        let how = loop {
            let own = Postmaster::read(&self.data_dir).filter(|it| it.pid == child.pid());
            if own.is_some_and(|postmaster| postmaster.answers()) {
                return Ok(child);
            }
            if let Some(status) = child.wait(READY_POLL) {
                break format!("ended with {status} while it started");
            }
            if Instant::now() > deadline {
                break format!("was not ready within {START_BOUND:?}");
            }
        };
        Err(Error::Ended { program: "postgres", how, log: child::tail(&self.log_path, log_start) })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.installation.bin_dir.join("postgres"));
        // The guard knows the server by this argument, and that more follow.
        command.arg("-D").arg(&self.data_dir).args(["-p", &self.port.to_string()]);
        let socket_dir = format!("\"{}\"", self.socket_dir.display());
        let own = [
            ("listen_addresses", if self.tcp { "127.0.0.1" } else { "" }),
            ("unix_socket_directories", &socket_dir),
            ("unix_socket_permissions", "0700"),
        ];
        let given = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.into_iter().chain(given) {
            command.args(["-c", &format!("{name}={value}")]);
        }
        account::run_as(&mut command, self.account.as_ref());
        command
    }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    Ok(address.map_err(at("find a free port of", Path::new("127.0.0.1")))?.port())
}

/// The path of a file that belongs to the data folder but lies beside it.
pub(crate) fn beside(data_dir: &Path, ending: &str) -> PathBuf {
    let mut path = data_dir.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// The major version that made the data folder: `None` where there is no cluster in it.
pub(crate) fn major_of(data_dir: &Path) -> Option<u32> {
    fs::read_to_string(data_dir.join("PG_VERSION")).ok()?.trim().parse().ok()
}

/// Picks the installation that a data folder needs, or the best for one that is yet to be made.
pub(crate) fn installation_for(data_dir: &Path, found: Vec<Installation>) -> Result<Installation> {
    let made_by = major_of(data_dir);
    let mut majors: Vec<String> = found.iter().map(|it| it.major.to_string()).collect();
    majors.dedup();
    let fits = |it: &Installation| made_by.is_none_or(|major| major == it.major);
    found.into_iter().find(fits).ok_or_else(|| Error::WrongMajor {
        data_dir: data_dir.to_owned(),
        major: made_by.unwrap_or_default(),
        found: majors.join(", "),
    })
}
