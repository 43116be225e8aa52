//! `longshore dev`: everything that a first task needs, until Ctrl-C.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use anyhow::Context;
use clap::Args;
use longshore_postgres::{Options, Server};
use longshore_queue::{Connect, create_database, example_insert, migrate};
use longshore_worker::config::{Cells, Config, ConfigError, Connection};
use longshore_worker::{Secret, Shutdown, Worker, log, metrics};

use super::block_on;
use super::say::{note, say};
use super::values::word;

/// The database on the private server.
pub(super) const DATABASE: &str = "longshore";

/// The configuration where none is named.
const EXAMPLE: &str = include_str!("dev.toml");

/// Runs a worker, and where no database is named a private Postgres for it, until Ctrl-C.
///
/// The data stays from one start to the next. Where another `longshore dev` runs, this one joins it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore dev
  longshore dev --config longshore.toml --data-dir ./pg")]
pub(crate) struct Dev {
    /// The configuration; else an example with the actions echo and noop
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of Postgres's programs; else they are looked for, and fetched where there are none
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
    /// The folder of the private Postgres's data; else one below the user's data folder
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The address of metrics and health; else the configuration's, or any free port where that is taken
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

impl Dev {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut config = self.config()?;
        let _log = log::start(config.log)?;
        let listener = bind(self.listen, config.http.listen)?;
        let server = if config.cells.is_empty() {
            Some(self.server()?)
        } else {
            self.say_what_is_not_used();
            None
        };
        // from here on Ctrl-C ends the worker, and then the server
        let shutdown = on_signals()?;
        if let Some(server) = &server {
            block_on(async { Ok(create_database(&server.url("postgres"), DATABASE).await?) })?;
            config.cells = Cells::one(Secret::new(server.url(DATABASE)));
        }
        let databases = config.databases()?;
        let mut psql = server.as_ref().map(|server| server.psql_line(DATABASE));
        for (_, url) in &databases {
            let pooled = config.connection == Connection::TransactionPooler;
            let connect = Connect::new(url.expose(), &config.schema, pooled)?;
            if server.is_none() {
                say!("{}, as DATABASE_URL, LONGSHORE_CELL_… or the configuration says", connect.address())?;
            }
            block_on(async { Ok(migrate(&connect).await?) })?;
            // that of the first
            psql = psql.or_else(|| Some(psql_line(&connect)));
        }
        introduce(&config, server.as_ref(), &psql.unwrap_or_default(), listener.local_addr()?)?;
        let ended = Worker::new(config).metrics(metrics::install()?).listener(listener).run_until(&shutdown)?;
        Ok(ExitCode::from(ended.exit_code()))
    }

    /// The configuration that is named, else the example; with the databases of the environment.
    fn config(&self) -> Result<Config, ConfigError> {
        if let Some(path) = &self.config {
            return Config::load(Some(path));
        }
        let mut config = Config::parse(EXAMPLE, "dev.toml")?;
        config.cells = Cells::from_environment()?;
        Ok(config)
    }

    /// With a database of somebody else's, what is said of a private one means nothing.
    fn say_what_is_not_used(&self) {
        for (option, is_given) in [("--data-dir", self.data_dir.is_some()), ("--pg-bin", self.pg_bin.is_some())] {
            if is_given {
                note!("{option} is not used: the database is named by DATABASE_URL or the configuration");
            }
        }
    }

    fn server(&self) -> anyhow::Result<Server> {
        let mut options = Options::default();
        options.search.bin_dir.clone_from(&self.pg_bin);
        Ok(Server::persistent(self.data_dir.as_deref(), &options)?)
    }
}

/// Binds the address that the command line names; else the configured one, or any free port where that is taken, as it
/// is by another `longshore dev`.
fn bind(named: Option<SocketAddr>, configured: SocketAddr) -> anyhow::Result<TcpListener> {
    let listen = named.unwrap_or(configured);
    let bound = match TcpListener::bind(listen) {
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        }
        bound => bound,
    };
    bound.with_context(|| format!("cannot listen on {listen}"))
}

/// Starts a thread that turns SIGINT and SIGTERM into requests to end.
fn on_signals() -> io::Result<Shutdown> {
    let shutdown = Shutdown::default();
    let asked = shutdown.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let listened = block_on(async { Ok(asked.on_signals().await?) });
        if let Err(error) = listened {
            tracing::error!(%error, "signals are not heard: end this process with SIGKILL");
        }
    })?;
    Ok(shutdown)
}

/// Prints how to look into the database, a first task, and where the metrics are.
fn introduce(config: &Config, server: Option<&Server>, psql: &str, metrics: SocketAddr) -> anyhow::Result<()> {
    match server {
        Some(server) if server.is_attached() => {
            say!("Postgres {} of another longshore dev, with which it ends", server.major())?;
        }
        Some(server) => say!("Postgres {} in {}", server.major(), server.data_dir().display())?,
        None => {}
    }
    let action = config.actions.keys().next().map_or("noop", String::as_str);
    let insert = example_insert(&config.schema, action);
    say!("psql:     {psql}")?;
    say!("insert:   {psql} -c {}", quoted_once(&insert))?;
    say!("metrics:  http://{metrics}/metrics")?;
    say!("Ctrl-C ends it")
}

/// A command line that opens a SQL prompt on somebody else's server. It shows no password: psql asks for it.
fn psql_line(connect: &Connect) -> String {
    let (host, port, user, database) = connect.login();
    format!("psql -h {} -p {port} -U {} -d {}", word(&host), word(user), word(database))
}

/// One word of a shell's command line, for a text full of single quotes.
fn quoted_once(text: &str) -> String {
    let escaped: String =
        text.chars().map(|c| if "\\\"$`".contains(c) { format!("\\{c}") } else { c.into() }).collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_configuration_is_one() {
        let config = Config::parse(EXAMPLE, "dev.toml").expect("a configuration");
        assert_eq!(config.actions.keys().collect::<Vec<_>>(), ["echo", "noop"]);
    }

    #[test]
    fn a_psql_line_names_one_host_and_shows_no_password() {
        let psql = |url: &str| psql_line(&Connect::new(url, "public", false).expect("a URL"));
        assert_eq!(psql("postgres://me:hunter2@one:1,two:2/db"), "psql -h one -p 1 -U me -d db");
        let line = psql("postgres://me:hunter2@db.example:6000/my%20db?sslmode=require");
        assert_eq!(line, "psql -h db.example -p 6000 -U me -d 'my db'");
        let line = psql("postgres://me@localhost:5433/longshore?host=/run/pg");
        assert_eq!(line, "psql -h /run/pg -p 5433 -U me -d longshore");
    }

    #[test]
    fn a_quoted_word_is_one_word_for_a_shell() {
        assert_eq!(quoted_once(r#"'{"a": "$1"}'"#), r#""'{\"a\": \"\$1\"}'""#);
    }
}
