//! CPU time and memory of processes, from /proc: what stays true on a busy machine.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Clock ticks a second of /proc/PID/stat: fixed by the kernel's interface.
const TICKS: u64 = 100;

struct Stat {
    parent: u32,
    own: u64,
    waited_for: u64,
}

fn stat(pid: u32) -> Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // the name, in parentheses, may hold spaces: fields are counted behind it
    let (_, fields) = text.rsplit_once(") ").context("/proc/PID/stat has a name in parentheses")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    Ok(Stat {
        parent: u32::try_from(number(1)).unwrap_or_default(),
        own: number(11) + number(12),
        waited_for: number(13) + number(14),
    })
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / TICKS)
}

/// CPU time of a process with all its threads.
pub(crate) fn of_process(pid: u32) -> Result<Duration> {
    Ok(ticks(stat(pid)?.own))
}

/// CPU time of a process of one thread, to the microsecond.
pub(crate) fn of_backend(pid: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Ok(Duration::from_nanos(nanos.context("/proc/PID/schedstat begins with nanoseconds")?))
}

/// CPU time of a Postgres server: its main process, its children, and children that have ended.
pub(crate) fn of_server(postmaster: u32) -> Result<Duration> {
    let main = stat(postmaster)?;
    let mut all = main.own + main.waited_for;
    for entry in fs::read_dir("/proc")?.flatten() {
        // others end while this looks
        let child = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(|pid| stat(pid).ok());
        if let Some(child) = child.filter(|child| child.parent == postmaster) {
            all += child.own;
        }
    }
    Ok(ticks(all))
}

/// The most memory that a process had resident, in MiB.
pub(crate) fn peak_rss_mib(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("/proc/PID/status has VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// The machine's load over the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}
