//! The worker's configuration: one TOML file and a few environment variables, checked before anything is opened.
//!
//! `CONFIG.md` lists every key, `longshore.example.toml` shows them.

mod cells;
mod design;
mod environment;
mod error;
mod keys;
mod otlp;
mod print;
mod read;
mod secret_source;
mod section;
#[cfg(test)]
mod tests;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

pub use self::cells::{CELL_NAME, Cells, DEFAULT_CELL};
pub use self::design::{ActionDesign, Credential, CredentialKind, Design, DesignForm, Keystone};
pub use self::error::ConfigError;
use self::error::Report;
pub use self::otlp::Otlp;
pub use self::secret_source::SecretSource;
pub(crate) use self::secret_source::bytes_of;
use self::section::Section;
use crate::backoff::Backoff;
use crate::secret::Secret;

/// A file beyond this is no configuration.
const FILE_MAX_BYTES: usize = 1024 * 1024;
/// The file taken when none is named.
const DEFAULT_FILE: &str = "longshore.toml";
const THREE_WAYS: &str = "name the file with --config FILE, or with LONGSHORE_CONFIG=FILE, or write ./longshore.toml";

/// What a schema's name must be, if it is not: no longer than leaves room for the names of channels.
pub fn wrong_schema(name: &str) -> Option<String> {
    values::wrong_text(&keys::Kind::Identifier, name)
}

/// Everything a worker is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file it came from, for errors about it.
    pub source: String,
    /// Where the databases are: those of the environment win over those of the file.
    pub cells: Cells,
    /// The schema of this installation: an identifier that needs no quotes.
    pub schema: String,
    /// What stands between the worker and the server.
    pub connection: Connection,
    /// Whether the worker may LISTEN; else it polls only.
    pub notify: bool,
    /// The port for metrics and health.
    pub http: Http,
    /// The form of the log's lines.
    pub log: LogFormat,
    /// The process itself.
    pub worker: Worker,
    /// The queues claimed from, by name; never empty.
    pub queues: BTreeMap<String, Queue>,
    /// What the worker can do, by the action's name; never empty.
    pub actions: BTreeMap<String, Action>,
    /// How long ended tasks, and build data, are kept.
    pub retention: Retention,
    /// How design references are resolved.
    pub design: Design,
    /// Where spans are exported to; `None`: nowhere.
    pub otlp: Option<Otlp>,
}

/// What stands between the worker and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Nothing, or a proxy that keeps a session.
    Direct,
    /// A pooler that gives each transaction another server connection, such as PgBouncer in transaction mode.
    TransactionPooler,
}

/// The form of the log's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line, for programs.
    Json,
}

/// The port for metrics and health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http {
    /// The address listened on; port 0 lets the system choose.
    pub listen: SocketAddr,
}

/// The process itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Its name for people, 1 to 128 bytes; by default the host's name and the process id.
    pub name: String,
    /// How often it says that it lives.
    pub heartbeat: Duration,
    /// How long after its last heartbeat its tasks are given to others; at least two heartbeats.
    pub lease: Duration,
    /// How long running tasks may take to end after SIGTERM, before they are given back.
    pub shutdown_deadline: Duration,
    /// Threads that executors run on.
    pub executor_threads: usize,
}

/// One queue, as this worker serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Tasks of this queue running at once in this worker, 1 to 10,000.
    pub concurrency: usize,
    /// How long an idle queue sleeps at most before it looks again.
    pub poll: Duration,
    /// Whether tasks may be claimed a moment before there is room to run them.
    pub prefetch: bool,
}

/// One action, as this worker runs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// How long one attempt may take, from its start, where the task itself says nothing.
    pub timeout: Duration,
    /// The queues it is claimed from: configured ones, never empty.
    pub queues: BTreeSet<String>,
    /// How long a failed attempt waits before the next.
    pub retry: Backoff,
    /// What it wants of the design that its task names; `None`: nothing, and nothing is resolved.
    pub design: Option<ActionDesign>,
    /// What does the work.
    pub executor: ActionExecutor,
}

/// What does the work of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionExecutor {
    /// Nothing, successfully.
    Noop,
    /// A program started for each attempt.
    Command(CommandSettings),
    /// A POST to a URL.
    Http(HttpSettings),
    /// The rules for designs, on the one that the task names.
    ValidateDesign,
    /// An executor that the program registers under the action's name: see [`Config::rust_actions`].
    Rust,
}

/// A program started for each attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSettings {
    /// The program and its arguments; the program is not empty, and none holds a NUL.
    pub argv: Vec<String>,
    /// How its standard output is read.
    pub stdout: Stdout,
    /// Variables set for it; secret, because tokens are handed over this way.
    pub env: BTreeMap<String, Secret>,
    /// Bytes of output taken from one attempt.
    pub max_output_bytes: usize,
    /// How long after TERM it is killed.
    pub kill_after: Duration,
}

/// How a program's standard output is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdout {
    /// Every line is the text of a message.
    Text,
    /// A line may be a JSON object that says more.
    Jsonl,
}

/// A POST to a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// An http or https URL without user and password.
    pub url: String,
    /// Headers sent with it, by their names in lower case; valid as they stand.
    pub headers: BTreeMap<String, Secret>,
}

/// How long ended tasks, and build data, are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Those that ended in success.
    pub success: Duration,
    /// All others.
    pub other: Duration,
    /// Build data, except the latest of each node and generator; `None`: kept for ever.
    pub build_data: Option<Duration>,
}

impl Config {
    /// Reads the file at `path`, else at `LONGSHORE_CONFIG`, else `longshore.toml` in the working directory; then takes
    /// the databases of the environment. An empty variable counts as unset.
    ///
    /// # Errors
    /// A file that is missing, cannot be read or says something wrong, with all that is wrong.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_with(path, std::env::vars_os().collect())
    }

    fn load_with(path: Option<&Path>, environment: Vec<(OsString, OsString)>) -> Result<Self, ConfigError> {
        let variable = environment.iter().find(|(name, value)| name == "LONGSHORE_CONFIG" && !value.is_empty());
        let path = file_of(path, variable.map(|(_, path)| path.clone()));
        let name = path.display().to_string();
        let mut config = Self::parse(&read_file(&path, &name)?, &name)?;
        config.cells = config.cells.won_over_by(Cells::of(environment)?, &name)?;
        Ok(config)
    }

    /// Reads a text, without a look at the environment; `name` stands for it in errors.
    ///
    /// # Errors
    /// All that is wrong with it, by line.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        parse_with(text, name, |root| read::config(name, root))
    }

    /// The databases by the names of their cells, at least one.
    ///
    /// # Errors
    /// Neither the environment nor the file names one, or one cannot be used.
    pub fn databases(&self) -> Result<Vec<(String, Secret)>, ConfigError> {
        self.cells.urls(&self.source)
    }

    /// The actions whose executors the program must have registered.
    pub fn rust_actions(&self) -> impl Iterator<Item = &str> {
        let rust = self.actions.iter().filter(|(_, action)| action.executor == ActionExecutor::Rust);
        rust.map(|(name, _)| name.as_str())
    }
}

/// Reads a text, of which `read` takes what it wants.
fn parse_with<T>(text: &str, name: &str, read: impl FnOnce(&Section<'_>) -> T) -> Result<T, ConfigError> {
    if text.len() > FILE_MAX_BYTES {
        return Err(ConfigError::new(name, format!("must be at most {FILE_MAX_BYTES} bytes, got more")));
    }
    let report = Report::new(name, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        // Only the message: the error's own Display prints the line, which may hold a password.
        report.add(error.span().map(|span| span.start), format!("is not TOML: {}", error.message()));
    }
    report.finish()?;
    let taken = read(&Section::root(table.get_ref(), &report));
    report.finish()?;
    Ok(taken)
}

/// The file that a command means.
fn file_named(path: Option<&Path>) -> PathBuf {
    file_of(path, std::env::var_os("LONGSHORE_CONFIG").filter(|value| !value.is_empty()))
}

/// The same, where the environment says this.
fn file_of(path: Option<&Path>, variable: Option<OsString>) -> PathBuf {
    let named = path.map(Path::to_owned).or_else(|| variable.map(PathBuf::from));
    named.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE))
}

fn read_file(path: &Path, name: &str) -> Result<String, ConfigError> {
    let mut bytes = Vec::new();
    // One byte more than is allowed, so that the bound itself refuses what was cut off.
    let read = File::open(path).and_then(|file| file.take(FILE_MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(ConfigError::new(name, format!("there is no such file: {THREE_WAYS}")))
        }
        Err(error) => Err(ConfigError::new(name, format!("cannot be read ({error}): {THREE_WAYS}"))),
        Ok(length) if length > FILE_MAX_BYTES => {
            Err(ConfigError::new(name, format!("must be at most {FILE_MAX_BYTES} bytes, got more")))
        }
        Ok(_) => String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            ConfigError::new(name, format!("must be UTF-8 text, got something else at byte {at}"))
        }),
    }
}
