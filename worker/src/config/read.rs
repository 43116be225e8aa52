//! From the sections of the file to the configuration: what lies between several keys is checked here.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::header::{HeaderName, HeaderValue};

use super::cells::Cells;
use super::keys::{KEYS, human};
use super::section::{Section, quoted};
use super::{
    Action, ActionExecutor, CommandSettings, Config, Connection, DesignForm, Http, HttpSettings, LogFormat, Queue,
    Retention, Stdout, Worker,
};
use super::{design, otlp};
use crate::backoff::Backoff;
use crate::secret::Secret;

/// Bytes of an action's name, as in the database's domain `task_action`.
const ACTION_MAX_BYTES: usize = 128;
/// Bytes of a queue's name, as in the database's domain `task_queue`.
const QUEUE_MAX_BYTES: usize = 64;
/// The queue that a producer's INSERT means when it names none.
const DEFAULT_QUEUE: &str = "default";
/// With fewer, a single late heartbeat would lose every claim.
const LEASE_HEARTBEATS_MIN: u32 = 2;
/// Bytes of a worker's name that come from the host's.
const HOST_NAME_MAX_BYTES: usize = 100;

/// Reads the whole file; what is wrong is noted in the report of the section.
pub(super) fn config(source: &str, root: &Section<'_>) -> Config {
    let queues = queues(root);
    let actions = actions(root, &queues);
    let connection = match root.text("connection").as_deref() {
        Some("transaction_pooler") => Connection::TransactionPooler,
        _ => Connection::Direct,
    };
    let log = match root.section("log", "log").text("format").as_deref() {
        Some("json") => LogFormat::Json,
        _ => LogFormat::Text,
    };
    let retention = root.section("retention", "retention");
    Config {
        source: source.to_owned(),
        cells: Cells::read(root),
        schema: root.text("schema").unwrap_or_default(),
        connection,
        notify: root.flag("notify"),
        http: Http { listen: root.section("http", "http").address("listen") },
        log,
        worker: worker(&root.section("worker", "worker")),
        queues,
        actions,
        retention: Retention {
            success: retention.duration("success"),
            other: retention.duration("other"),
            build_data: retention.some_duration("build_data"),
        },
        design: design::design(root),
        otlp: otlp::otlp(root),
    }
}

fn worker(section: &Section<'_>) -> Worker {
    let worker = Worker {
        name: section.text("name").unwrap_or_else(host_and_process),
        heartbeat: section.duration("heartbeat"),
        lease: section.duration("lease"),
        shutdown_deadline: section.duration("shutdown_deadline"),
        executor_threads: section.count("executor_threads").unwrap_or_else(cores),
    };
    if worker.lease < worker.heartbeat * LEASE_HEARTBEATS_MIN {
        let (lease, heartbeat) = (human(worker.lease), human(worker.heartbeat));
        let bound = format!("must be at least {LEASE_HEARTBEATS_MIN} x worker.heartbeat ({heartbeat})");
        section.refuse("lease", format!("{bound}, got {lease}"));
    }
    worker
}

/// The name a worker has by default: for people, not for uniqueness.
fn host_and_process() -> String {
    let host = gethostname::gethostname().to_string_lossy().replace('\0', "");
    format!("{}-{}", &host[..host.floor_char_boundary(HOST_NAME_MAX_BYTES)], std::process::id())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn queues(root: &Section<'_>) -> BTreeMap<String, Queue> {
    let mut queues = BTreeMap::new();
    for (name, section) in root.named("queues", "queues.NAME") {
        refuse_name(&section, &name, QUEUE_MAX_BYTES);
        queues.insert(name, queue(&section));
    }
    if queues.is_empty() {
        queues.insert(DEFAULT_QUEUE.to_owned(), queue(&root.missing("queues.NAME")));
    }
    queues
}

fn queue(section: &Section<'_>) -> Queue {
    Queue {
        concurrency: section.count("concurrency").unwrap_or_default(),
        poll: section.duration("poll"),
        prefetch: section.flag("prefetch"),
    }
}

fn actions(root: &Section<'_>, queues: &BTreeMap<String, Queue>) -> BTreeMap<String, Action> {
    let sections = root.named("actions", "actions.NAME");
    if sections.is_empty() {
        root.refuse("actions", "must name at least one: add a section such as [actions.noop] with executor = \"noop\"");
    }
    let mut actions = BTreeMap::new();
    for (name, section) in sections {
        refuse_name(&section, &name, ACTION_MAX_BYTES);
        let timeout = section.duration("timeout");
        let queues = action_queues(&section, queues);
        let retry = backoff(&section);
        let design = design::of_action(&section);
        if let Some(executor) = executor(&section) {
            let needs_one = executor == ActionExecutor::ValidateDesign;
            if needs_one && design.is_some_and(|design| design.form != DesignForm::Bytes) {
                let what =
                    "must have as = \"bytes\" for executor = \"validate_design\", which reads the documents itself";
                section.refuse("design", what);
            }
            let design = design.or_else(|| needs_one.then(|| design::unsaid(&section)));
            actions.insert(name, Action { timeout, queues, retry, design, executor });
        }
    }
    actions
}

fn refuse_name(section: &Section<'_>, name: &str, max_bytes: usize) {
    if name.is_empty() || name.len() > max_bytes || name.contains('\0') {
        let bound = format!("must have a name of 1 to {max_bytes} bytes without a NUL character");
        section.refuse_all(format!("{bound}, as in the database, got {} bytes", name.len()));
    }
}

fn action_queues(section: &Section<'_>, configured: &BTreeMap<String, Queue>) -> BTreeSet<String> {
    let Some(named) = section.texts("queues") else { return configured.keys().cloned().collect() };
    let mut queues = BTreeSet::new();
    for queue in named {
        if !configured.contains_key(&queue) {
            let known = configured.keys().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
            let queue = quoted(&queue);
            let remedy = format!("add a section [queues.{queue}], or choose from {known}");
            section.refuse("queues", format!("must name configured queues, got {queue}: {remedy}"));
        } else if !queues.insert(queue.clone()) {
            section.refuse("queues", format!("must name each queue once, got {} twice", quoted(&queue)));
        }
    }
    queues
}

fn backoff(action: &Section<'_>) -> Backoff {
    let section = action.section("retry", "actions.NAME.retry");
    let backoff = Backoff {
        base: section.duration("base"),
        factor: section.number("factor"),
        max: section.duration("max"),
        jitter: section.number("jitter"),
    };
    if backoff.base > backoff.max {
        let (base, max) = (human(backoff.base), human(backoff.max));
        section.refuse("max", format!("must be at least retry.base ({base}), got {max}"));
    }
    backoff
}

/// The executor of an action; `None` if it is missing, unknown or incomplete.
fn executor(section: &Section<'_>) -> Option<ActionExecutor> {
    let chosen = section.text("executor")?;
    for key in KEYS.iter().filter(|key| section.entry(key.name).is_some()) {
        match key.executor {
            Some(executor) if key.section == "actions.NAME" && executor != chosen => {
                let what = format!("belongs to executor = {executor:?}, this action has {chosen:?}: remove one");
                section.refuse(key.name, what);
            }
            _ => {}
        }
    }
    match chosen.as_str() {
        "noop" => Some(ActionExecutor::Noop),
        "command" => command(section).map(ActionExecutor::Command),
        "http" => http(section).map(ActionExecutor::Http),
        "validate_design" => Some(ActionExecutor::ValidateDesign),
        "rust" => Some(ActionExecutor::Rust),
        _ => None,
    }
}

fn command(section: &Section<'_>) -> Option<CommandSettings> {
    let stdout = match section.text("stdout").as_deref() {
        Some("jsonl") => Stdout::Jsonl,
        _ => Stdout::Text,
    };
    let env = section.text_map("env");
    for (name, value) in &env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            section.refuse_entry("env", name, "must be a variable without = in its name and without NUL characters");
        }
    }
    let max_output_bytes = section.count("max_output_bytes").unwrap_or_default();
    let kill_after = section.duration("kill_after");
    let argv = section.texts("argv")?;
    if argv.first().is_some_and(String::is_empty) {
        section.refuse("argv", "must begin with the program to run, got an empty string");
    }
    let env = env.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
    Some(CommandSettings { argv, stdout, env, max_output_bytes, kill_after })
}

fn http(section: &Section<'_>) -> Option<HttpSettings> {
    let headers = headers(section);
    let url = section.text("url")?;
    Some(HttpSettings { url, headers })
}

/// The headers of a section, by their names in lower case.
pub(super) fn headers(section: &Section<'_>) -> BTreeMap<String, Secret> {
    let mut headers = BTreeMap::new();
    for (name, value) in section.text_map("headers") {
        let parsed = HeaderName::try_from(name.as_str());
        match parsed {
            Err(_) => section.refuse_entry("headers", &name, "must have a header's name: letters, digits and hyphens"),
            Ok(_) if HeaderValue::try_from(value.as_str()).is_err() => {
                section.refuse_entry("headers", &name, "must be one line without control characters (it is not shown)");
            }
            Ok(parsed) => {
                let before = headers.insert(parsed.as_str().to_owned(), Secret::new(value));
                if before.is_some() {
                    section.refuse_entry("headers", &name, "must stand once: the case of a header's name says nothing");
                }
            }
        }
    }
    headers
}
