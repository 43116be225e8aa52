//! The demo's worker processes: this very binary, each with a configuration and a log of its own.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use longshore_postgres::{Child, Signal};
use tokio::time::sleep;

use super::endpoint::Endpoint;
use super::{POLL, plan};
use crate::cli::say::note;

/// Three: after one is killed the others still share the work.
const WORKERS: usize = 3;

/// How long a killed process may take to be gone.
const KILL_BOUND: Duration = Duration::from_secs(10);

/// As much of a log as a failure shows.
const LOG_LINES: usize = 30;

/// Dropped, all of them are killed.
#[derive(Debug)]
pub(super) struct Workers {
    all: Vec<WorkerProcess>,
}

#[derive(Debug)]
struct WorkerProcess {
    name: String,
    log: PathBuf,
    child: Child,
    /// Where its metrics are; known once it works.
    metrics: Option<String>,
    killed: bool,
}

impl Workers {
    /// Starts them, with their files in `folder`, which is made.
    pub(super) fn start(folder: &Path, url: &str, endpoint: &Endpoint) -> anyhow::Result<Self> {
        fs::create_dir(folder).with_context(|| format!("cannot create folder `{}`", folder.display()))?;
        let all = (1..=WORKERS).map(|number| WorkerProcess::start(&format!("demo-{number}"), folder, url, endpoint));
        Ok(Self { all: all.collect::<anyhow::Result<_>>()? })
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.all.iter().map(|worker| worker.name.as_str()).collect()
    }

    /// Waits until each has said where its metrics are, which it says when it begins to work.
    pub(super) async fn wait_until_working(&mut self, patience: Duration) -> anyhow::Result<()> {
        let since = Instant::now();
        for worker in &mut self.all {
            while worker.metrics.is_none() {
                worker.check()?;
                if since.elapsed() > patience {
                    bail!("worker {} does not work after {patience:?}", worker.name);
                }
                sleep(POLL).await;
                worker.metrics = metrics_url(&fs::read_to_string(&worker.log)?).map(str::to_owned);
            }
        }
        Ok(())
    }

    /// # Errors
    /// One has ended that nobody killed.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.living().try_for_each(WorkerProcess::check)
    }

    /// Kills the one of this name, and waits until it is gone.
    pub(super) fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let worker = self.all.iter_mut().find(|worker| worker.name == name);
        let worker = worker.with_context(|| format!("worker {name} is not one of the demo's"))?;
        worker.killed = true;
        worker.child.stop(Signal::KILL, KILL_BOUND).with_context(|| format!("cannot kill worker {name}"))
    }

    /// The metrics of those that live, one text each.
    pub(super) async fn scrape(&self) -> anyhow::Result<Vec<String>> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // a client is not made without one, even where it never needs it
            rustls::crypto::ring::default_provider().install_default().ok();
        }
        let client = reqwest::Client::builder().no_proxy().timeout(KILL_BOUND).build()?;
        let mut texts = Vec::new();
        for url in self.living().filter_map(|worker| worker.metrics.as_deref()) {
            texts.push(client.get(url).send().await?.error_for_status()?.text().await?);
        }
        Ok(texts)
    }

    /// Tells those that live to end; returns their exit codes, `None` for one that a signal ended.
    pub(super) async fn end(&self, patience: Duration) -> anyhow::Result<Vec<Option<i32>>> {
        self.living().try_for_each(|worker| worker.child.signal(Signal::TERM))?;
        let since = Instant::now();
        let mut codes = Vec::new();
        for worker in self.living() {
            let status = loop {
                if let Some(status) = worker.child.wait(Duration::ZERO) {
                    break status;
                }
                if since.elapsed() > patience {
                    bail!("worker {} has not ended {patience:?} after SIGTERM", worker.name);
                }
                sleep(POLL).await;
            };
            codes.push(status.code());
        }
        Ok(codes)
    }

    /// Prints the ends of all logs to stderr.
    pub(super) fn print_logs(&self) {
        for worker in &self.all {
            let log = fs::read_to_string(&worker.log).unwrap_or_else(|error| error.to_string());
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
            note!("the log of {}{}:\n{tail}", worker.name, if worker.killed { ", killed" } else { "" });
        }
    }

    fn living(&self) -> impl Iterator<Item = &WorkerProcess> {
        self.all.iter().filter(|worker| !worker.killed)
    }
}

impl WorkerProcess {
    fn start(name: &str, folder: &Path, url: &str, endpoint: &Endpoint) -> anyhow::Result<Self> {
        let program = env::current_exe().context("cannot tell where this program is")?;
        let (config, log) = (folder.join(format!("{name}.toml")), folder.join(format!("{name}.log")));
        fs::write(&config, plan::configuration(name, &program, endpoint))
            .with_context(|| format!("cannot write `{}`", config.display()))?;
        let output = File::create(&log).with_context(|| format!("cannot write `{}`", log.display()))?;
        let mut command = Command::new(&program);
        command.arg("worker").arg("--config").arg(&config);
        // the log must say where the metrics are, whatever is set for the demo itself
        command.env("DATABASE_URL", url).env("RUST_LOG", longshore_worker::log::DEFAULT);
        command.stdout(output.try_clone()?).stderr(output);
        // the database goes with the demo: there is nothing that a worker could still write
        let child = Child::spawn(command, Signal::KILL).with_context(|| format!("cannot start worker {name}"))?;
        Ok(Self { name: name.to_owned(), log, child, metrics: None, killed: false })
    }

    fn check(&self) -> anyhow::Result<()> {
        match self.child.wait(Duration::ZERO) {
            Some(status) => bail!("worker {} has ended by itself: {status}", self.name),
            None => Ok(()),
        }
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        if let Err(error) = self.child.stop(Signal::KILL, KILL_BOUND) {
            tracing::error!(worker = self.name, %error, "a worker process does not end");
        }
    }
}

/// The address in a worker's log.
fn metrics_url(log: &str) -> Option<&str> {
    let (_, rest) = log.split_once("metrics=http://")?;
    let end = rest.find("/metrics")? + "/metrics".len();
    let start = log.len() - rest.len() - "http://".len();
    log.get(start..log.len() - rest.len() + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_the_metrics_is_read_from_the_log() {
        let line = "INFO longshore_worker::worker: working schema=\"public\" metrics=http://127.0.0.1:41/metrics x=1\n";
        assert_eq!(metrics_url(line), Some("http://127.0.0.1:41/metrics"));
        assert_eq!(metrics_url("starting"), None);
    }
}
