//! The demo's tasks, how the workers are to do them, and what must become of them.

use std::path::Path;
use std::time::Duration;

use longshore_queue::NewTask;

use super::endpoint::Endpoint;
use super::program::WORKER_VARIABLE;

/// The task whose worker is killed.
pub(super) const HOSTAGE: &str = "worker_killed";

/// Tasks of an action, and what must become of each.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) action: &'static str,
    pub(super) tasks: usize,
    /// The result that it must end with.
    pub(super) result_status: &'static str,
    /// How often it must have been tried at least.
    pub(super) attempts: usize,
}

/// All tasks.
#[derive(Debug)]
pub(super) struct Plan {
    /// The hostage first.
    pub(super) parts: Vec<Part>,
}

/// Attempts of a task that never succeeds.
const ATTEMPTS_MAX: i16 = 3;

impl Plan {
    /// Divides so many tasks, at least 100, among the actions.
    pub(super) fn of(total: usize) -> Self {
        let part = |action, tasks, result_status, attempts| Part { action, tasks, result_status, attempts };
        let mut parts = vec![
            part(HOSTAGE, 1, "success", 2),
            part("fails_always", 1, "failure", usize::from(ATTEMPTS_MAX.unsigned_abs())),
            // a program is started for each: some hundred are enough
            part("command", (total / 25).min(400), "success", 1),
            part("command_fails_once", (total / 100).min(50), "success", 2),
            part("http", (total / 20).min(1000), "success", 1),
            part("http_503_once", (total / 50).min(200), "success", 2),
        ];
        let others: usize = parts.iter().map(|part| part.tasks).sum();
        parts.push(part("noop", total - others, "success", 1));
        Self { parts }
    }

    /// How many there are.
    pub(super) fn total(&self) -> usize {
        self.parts.iter().map(|part| part.tasks).sum()
    }

    /// What they may take beyond what few of them take: a thousand a second is slow.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_millis(self.total() as u64)
    }

    /// The tasks to insert: the hostage first, the others mixed.
    pub(super) fn tasks(&self) -> Vec<NewTask> {
        let tasks = self.parts.iter().flat_map(|part| (0..part.tasks).map(|_| part.task()));
        let mut tasks: Vec<NewTask> = tasks.collect();
        fastrand::shuffle(&mut tasks[1..]);
        tasks
    }
}

impl Part {
    fn task(&self) -> NewTask {
        let mut task = NewTask::new(self.action).payload(serde_json::json!({ "from": "longshore demo" }));
        match self.action {
            HOSTAGE => task.priority = Some(0),
            "fails_always" => task.max_attempts = Some(ATTEMPTS_MAX),
            _ => {}
        }
        task
    }
}

/// The configuration of the worker of this name. A dead worker's tasks run again after the lease and three seconds.
pub(super) fn configuration(name: &str, program: &Path, endpoint: &Endpoint) -> String {
    let command = |action: &str, deed: &str| {
        let program = toml_text(&program.display().to_string());
        format!(
            "[actions.{action}]\nexecutor = \"command\"\nargv = [{program}, \"demo-program\", \"{deed}\"]\n\
             env = {{ {WORKER_VARIABLE} = {} }}\nretry = {RETRY}\n\n",
            toml_text(name)
        )
    };
    let http = |action: &str, path: &str| {
        let url = toml_text(&endpoint.url(path));
        format!("[actions.{action}]\nexecutor = \"http\"\nurl = {url}\nretry = {RETRY}\n\n")
    };
    [
        "[http]\nlisten = \"127.0.0.1:0\"\n\n".to_owned(),
        format!("[worker]\nname = {}\nheartbeat = \"500ms\"\nlease = \"3s\"\n\n", toml_text(name)),
        // programs that are started at once by the dozen would only wait for the same cores
        "[queues.default]\nconcurrency = 16\n\n[actions.noop]\nexecutor = \"noop\"\n\n".to_owned(),
        command("command", "succeed"),
        command("command_fails_once", "fail-once"),
        command("fails_always", "fail"),
        command(HOSTAGE, "hold-once"),
        http("http", "/ok"),
        http("http_503_once", "/busy"),
    ]
    .concat()
}

/// A second, every time.
const RETRY: &str = r#"{ base = "0s", factor = 1.0, jitter = 0.0 }"#;

/// A string of TOML, which takes JSON's.
fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use longshore_worker::config::Config;

    use super::*;

    #[tokio::test]
    async fn the_workers_configuration_knows_every_action_of_the_plan() {
        let endpoint = Endpoint::start().await.expect("an endpoint");
        let text = configuration("demo-1", Path::new("/odd \"path\"\\longshore"), &endpoint);
        let config = Config::parse(&text, "demo").expect("a configuration");
        let plan = Plan::of(5000);
        assert!(plan.parts.iter().all(|part| config.actions.contains_key(part.action)), "{text}");
        assert_eq!(config.actions.len(), plan.parts.len());
    }

    #[test]
    fn every_task_is_inserted_and_the_hostage_first() {
        for total in [100, 300, 5000, 20_000] {
            let plan = Plan::of(total);
            assert_eq!((plan.total(), plan.tasks().len()), (total, total));
            assert_eq!(plan.tasks()[0].action, HOSTAGE);
            assert!(plan.parts.iter().all(|part| part.tasks > 0), "{plan:?}");
        }
    }
}
