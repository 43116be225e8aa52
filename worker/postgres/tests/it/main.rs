//! Starts real servers, kills real processes, and fetches real packages.

mod life;
mod package;

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use longshore_postgres::{Options, Server};

/// Far more than anything here takes on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

fn temporary() -> Server {
    Server::temporary(&Options::for_tests()).expect("a temporary server")
}

/// Runs SQL, and returns what psql prints.
fn query(server: &Server, sql: &str) -> String {
    let output = psql(server, sql).output().expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn psql(server: &Server, sql: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec {} -XAtqc \"$1\"", server.psql_line("postgres")), "sh", sql]);
    command
}

/// Looks again and again until `condition` holds.
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {BOUND:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The command lines that name a path: servers and guards, not servers' backends.
fn processes_naming(path: &Path) -> Vec<String> {
    let output = Command::new("ps").args(["-axww", "-o", "pid=,args="]).output().expect("ps");
    let printed = String::from_utf8_lossy(&output.stdout);
    let naming = printed.lines().filter(|line| line.contains(&*path.to_string_lossy()));
    naming.map(str::to_owned).collect()
}

/// A folder that the servers' user can reach.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("longshore-it-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).expect("a new folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("the folder is removed");
    }
}
