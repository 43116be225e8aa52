//! A real worker process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::bed::Database;
use crate::cpu;

/// A worker process; killed when dropped.
pub(crate) struct Worker {
    child: Child,
    config: PathBuf,
}

impl Worker {
    /// Starts one that runs the action noop of `queue`, and does not wait for it.
    pub(crate) fn start(longshore: &Path, database: &Database, queue: &str, concurrency: usize) -> Result<Self> {
        Self::start_with(longshore, database, queue, concurrency, "")
    }

    /// Starts one with further sections in its configuration.
    pub(crate) fn start_with(
        longshore: &Path,
        database: &Database,
        queue: &str,
        concurrency: usize,
        sections: &str,
    ) -> Result<Self> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let config = std::env::temp_dir().join(format!("longshore-bench-{}-{number}.toml", std::process::id()));
        let text = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n[queues.{queue}]\nconcurrency = {concurrency}\n[actions.noop]\nexecutor = \"noop\"\n{sections}"
        );
        std::fs::write(&config, text)?;
        Self::spawn(longshore, config, vec![("DATABASE_URL".to_owned(), database.url.clone())])
    }

    /// Starts one that works in all of these databases, as cells.
    pub(crate) fn start_in_cells(longshore: &Path, databases: &[Database], concurrency: usize) -> Result<Self> {
        let config = std::env::temp_dir().join(format!("longshore-bench-{}-cells.toml", std::process::id()));
        let text = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n[queues.default]\nconcurrency = {concurrency}\n[actions.noop]\nexecutor = \"noop\"\n"
        );
        std::fs::write(&config, text)?;
        let cell = |(number, database): (usize, &Database)| (format!("LONGSHORE_CELL_C{number}"), database.url.clone());
        Self::spawn(longshore, config, databases.iter().enumerate().map(cell).collect())
    }

    fn spawn(longshore: &Path, config: PathBuf, databases: Vec<(String, String)>) -> Result<Self> {
        let child = Command::new(longshore)
            .args(["worker", "--config"])
            .arg(&config)
            .env_remove("DATABASE_URL")
            .envs(databases)
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned()))
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {} (build it: cargo build --release)", longshore.display()))?;
        Ok(Self { child, config })
    }

    /// Starts one and waits until it is idle.
    pub(crate) async fn start_idle(
        longshore: &Path,
        database: &mut Database,
        queue: &str,
        concurrency: usize,
    ) -> Result<Self> {
        let worker = Self::start(longshore, database, queue, concurrency)?;
        database.idle().await?;
        Ok(worker)
    }

    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu::of_process(self.child.id())
    }

    pub(crate) fn peak_rss_mib(&self) -> Result<f64> {
        cpu::peak_rss_mib(self.child.id())
    }

    /// Ends it in good order.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(pid, Signal::TERM)?;
        let since = Instant::now();
        while self.child.try_wait()?.is_none() {
            if since.elapsed() > Duration::from_secs(30) {
                bail!("the worker did not end");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_file(&self.config).ok();
    }
}
