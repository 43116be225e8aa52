//! What an operator does: pauses, workers, explanations, `top`.

use std::process::{Child, Stdio};

use serde_json::Value;

use crate::schedules::{run, with_database};
use crate::{Folder, read, stderr, stdout, wait_for};

/// A worker with one slot that sleeps as long as a task's payload says.
const SLEEPER: &str = "[http]
listen = \"127.0.0.1:0\"
[worker]
name = \"sleeper\"
heartbeat = \"200ms\"
lease = \"2s\"
[queues.mail]
concurrency = 1
[actions.send]
executor = \"command\"
argv = [\"sh\", \"-c\", \"sleep $(grep -o '\\\"payload\\\": *[0-9.]*' | grep -o '[0-9.]*$')\"]
";

struct Sleeper(Child, std::path::PathBuf);

impl Sleeper {
    fn start(folder: &Folder, url: &str) -> Self {
        folder.write("longshore.toml", SLEEPER);
        let log = folder.0.join("log");
        let mut command = folder.longshore(&["worker"]);
        command.env("DATABASE_URL", url).stdout(Stdio::null()).stderr(std::fs::File::create(&log).expect("a log"));
        let worker = Self(command.spawn().expect("a worker"), log.clone());
        wait_for("it works", || read(&log).contains("/metrics").then_some(()));
        worker
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.0.wait().expect("its end").code()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
        if std::thread::panicking() {
            eprintln!("{}", read(&self.1));
        }
    }
}

fn json(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("JSON: {}", stderr(output)))
}

/// The codes of an explanation.
fn codes(output: &std::process::Output) -> Vec<String> {
    let reasons = json(output)["reasons"].clone();
    let code = |reason: &Value| reason["code"].as_str().expect("a code").to_owned();
    reasons.as_array().expect("a list").iter().map(code).collect()
}

#[tokio::test]
async fn a_paused_queue_stands_still_until_it_is_resumed_and_its_backlog_is_found_at_once() {
    let folder = Folder::new("pause");
    let (longshore, url) = with_database(&folder, "SELECT 1").await;
    let _worker = Sleeper::start(&folder, &url);
    let insert =
        || stdout(&longshore(&["tasks", "insert", "send", "--queue", "mail", "--payload", "0"])).trim().to_owned();
    assert_eq!(longshore(&["tasks", "wait", &insert(), "--timeout", "60s"]).status.code(), Some(0));

    let paused = longshore(&["queues", "pause", "mail", "--reason", "the relay is down", "--by", "ann"]);
    assert_eq!((paused.status.code(), stderr(&paused)), (Some(0), String::new()));
    let waiting = [insert(), insert(), insert()];
    let listed = stdout(&longshore(&["queues", "list"]));
    let row: Vec<&str> = listed.trim().split('\t').collect();
    assert_eq!(row[..5], ["mail", "paused", "3", "0", "0"], "{listed}");
    assert!(row[8].starts_with("since ") && row[8].ends_with(" by ann: the relay is down"), "{listed}");
    assert_eq!(json(&longshore(&["queues", "list", "--json"]))["queues"][0]["paused"], true);
    assert_eq!(codes(&longshore(&["tasks", "explain", &waiting[0], "--json"])), ["paused_queue"]);
    // long enough for polls, which would have moved the place from which claims go on
    let again = longshore(&["tasks", "wait", &waiting[0], "--timeout", "4s"]);
    assert_eq!(again.status.code(), Some(124));

    let resumed = std::time::Instant::now();
    assert_eq!(longshore(&["queues", "resume", "mail"]).status.code(), Some(0));
    let waited =
        longshore(&[&["tasks", "wait", "--timeout", "60s"], &waiting.each_ref().map(String::as_str)[..]].concat());
    assert_eq!((waited.status.code(), stdout(&waited).lines().count()), (Some(0), 3));
    println!("figure: resumed to the end of three tasks {:?}", resumed.elapsed());
    assert!(resumed.elapsed() < std::time::Duration::from_secs(5), "{:?}", resumed.elapsed());
    let none = longshore(&["queues", "resume", "mail"]);
    assert_eq!(
        (none.status.code(), stderr(&none).as_str()),
        (Some(3), "longshore: there is no pause of queue \"mail\": queues list shows them\n")
    );
}

#[tokio::test]
async fn a_pause_of_an_action_that_nobody_knows_is_made_and_said_to_be() {
    let folder = Folder::new("slip");
    let (longshore, _) = with_database(&folder, "SELECT 1").await;
    let made = longshore(&["queues", "pause", "--action", "sned", "--for", "1h"]);
    assert_eq!(
        (made.status.code(), stderr(&made).as_str()),
        (Some(0), "longshore: no worker knows action \"sned\" of every queue: the pause holds all the same\n")
    );
    let listed = stdout(&longshore(&["queues", "list"]));
    assert!(listed.starts_with("*\tpartly paused\t") && listed.contains("\tsned since "), "{listed}");
    for arguments in [
        &["queues", "pause"][..],
        &["queues", "resume"],
        &["queues", "pause", "q", "--for", "0s"],
        &["queues", "pause", "q", "--for", "soon"],
        &["queues", "pause", "q", "--until", "2001-01-01T00:00:00Z"],
        &["queues", "pause", ""],
    ] {
        assert_eq!(longshore(arguments).status.code(), Some(2), "{arguments:?}: {}", stderr(&longshore(arguments)));
    }
}

#[tokio::test]
async fn each_state_of_a_task_is_explained() {
    let folder = Folder::new("explain");
    let (longshore, url) = with_database(&folder, "SELECT 1").await;
    let insert = |arguments: &[&str]| {
        let inserted = longshore(&[&["tasks", "insert"], arguments].concat());
        assert!(inserted.status.success(), "{}", stderr(&inserted));
        stdout(&inserted).trim().to_owned()
    };
    let explained = |task: &str| codes(&longshore(&["tasks", "explain", task, "--json"]));
    let early = insert(&["send", "--queue", "mail", "--payload", "60"]);
    assert_eq!(explained(&early), ["no_worker"]);
    let mut worker = Sleeper::start(&folder, &url);
    wait_for("it runs", || (explained(&early) == ["running"]).then_some(()));
    let second = insert(&["send", "--queue", "mail"]);
    wait_for("the worker has said that it is busy", || (explained(&second) == ["slots_full"]).then_some(()));
    let third = insert(&["send", "--queue", "mail"]);
    assert_eq!(explained(&third), ["slots_full", "behind_others"]);
    assert_eq!(explained(&insert(&["resize", "--queue", "mail"])), ["unknown_action", "behind_others"]);
    assert_eq!(explained(&insert(&["send", "--queue", "other"])), ["no_worker_of_queue"]);
    let later = insert(&["send", "--queue", "mail", "--run-at", "2100-01-01T00:00:00Z"]);
    assert_eq!(explained(&later), ["scheduled"]);
    let parent = insert(&["site", "--queue", "other"]);
    let first = insert(&["send", "--queue", "other", "--parent", &parent]);
    let after = insert(&["send", "--queue", "other", "--parent", &parent, "--after", &first]);
    assert_eq!(explained(&after), ["waits_for_predecessors"]);
    let told = stdout(&longshore(&["tasks", "explain", &after]));
    assert_eq!(told, format!("it waits for the tasks that it names in after: {first} (send, queued)\n"));
    run(&url, &format!("UPDATE tasks SET status = 'requested', waits_for = 'end' WHERE task_id = '{parent}'")).await;
    assert_eq!(explained(&parent), ["waits_for_subtasks"]);
    let retried = format!(
        "UPDATE tasks SET attempt = 1, result_reason = 'exit', result_message = 'exit code 1' WHERE task_id = '{later}'"
    );
    run(&url, &retried).await;
    assert_eq!(explained(&later), ["retry_due"]);
    assert!(longshore(&["tasks", "terminate", &third]).status.success());
    assert_eq!(explained(&third), ["ended"]);

    crate::signal("-STOP", worker.0.id());
    wait_for("its lease has run out", || (explained(&early) == ["held_by_silent_worker"]).then_some(()));
    run(&url, &format!("UPDATE tasks SET \"terminate\" = true WHERE task_id = '{early}'")).await;
    wait_for("its worker is silent", || (explained(&early) == ["terminating", "held_by_silent_worker"]).then_some(()));
    run(&url, "DELETE FROM workers").await;
    assert_eq!(explained(&early), ["terminating", "held_by_lost_worker"]);
    worker.0.kill().expect("it ends");
    let none = longshore(&["tasks", "explain", "01890a5d-ac96-774b-8cce-b302099a8057"]);
    assert_eq!((none.status.code(), stdout(&none).as_str()), (Some(3), ""));
}

#[tokio::test]
async fn a_worker_that_is_told_to_drain_finishes_what_it_has_and_ends_with_0() {
    let folder = Folder::new("drainit");
    let (longshore, url) = with_database(&folder, "SELECT 1").await;
    let mut worker = Sleeper::start(&folder, &url);
    let task = longshore(&["tasks", "insert", "send", "--queue", "mail", "--payload", "1.5"]);
    let task = stdout(&task).trim().to_owned();
    let listed = || json(&longshore(&["workers", "list", "--json"]));
    wait_for("it has it in hand", || (listed()[0]["queues"][0]["running"] == 1).then_some(()));
    let known = listed();
    assert_eq!((&known[0]["name"], &known[0]["state"]), (&"sleeper".into(), &"working".into()));
    assert_eq!(known[0]["queues"][0]["actions"], serde_json::json!(["send"]));
    let row = stdout(&longshore(&["workers", "list"]));
    assert!(
        row.starts_with("sleeper\t") && row.contains("\tworking\tleads\t") && row.contains("\t1/1\tmail\tsend\t"),
        "{row}"
    );

    assert_eq!(longshore(&["workers", "drain", "nobody"]).status.code(), Some(3));
    assert_eq!(longshore(&["workers", "drain"]).status.code(), Some(2));
    let asked = longshore(&["workers", "drain", "--all"]);
    assert!(asked.status.code() == Some(2) && stderr(&asked).contains("--yes"), "{}", stderr(&asked));
    let drained = longshore(&["workers", "drain", "sleeper"]);
    assert_eq!(stdout(&drained).trim(), known[0]["worker_id"].as_str().expect("an id"), "{}", stderr(&drained));
    let later = longshore(&["tasks", "insert", "send", "--queue", "mail", "--payload", "0"]);
    assert_eq!(worker.exit_code(), Some(0), "{}", read(&worker.1));
    assert!(read(&worker.1).contains("asked to drain"), "{}", read(&worker.1));
    assert_eq!(longshore(&["tasks", "wait", &task]).status.code(), Some(0), "it finished what it had");
    let later = stdout(&later).trim().to_owned();
    assert_eq!(codes(&longshore(&["tasks", "explain", &later, "--json"])), ["no_worker"]);
    assert_eq!(listed(), serde_json::json!([]));
}

#[tokio::test]
async fn top_prints_once_for_programs_what_workers_and_queues_do() {
    let folder = Folder::new("top");
    let (longshore, url) = with_database(&folder, "INSERT INTO tasks (action, queue) VALUES ('a', 'slow')").await;
    let _worker = Sleeper::start(&folder, &url);
    let insert = "INSERT INTO tasks (action, queue, payload) SELECT 'send', 'mail', '0' FROM generate_series(1, 200)";
    run(&url, insert).await;
    let of_mail = || {
        let top = json(&longshore(&["top", "--json"]));
        let queues = top["queues"].as_array().expect("a list").clone();
        queues.into_iter().find(|queue| queue["queue"] == "mail").expect("the queue")
    };
    let busy = |queue: &Value| {
        let above = |key: &str| queue[key].as_f64().is_some_and(|value| value > 0.0);
        ["inserted_per_second", "claimed_per_second", "finished_per_second", "ready"].into_iter().all(above)
    };
    let mail = wait_for("it is busy", || Some(of_mail()).filter(busy));
    assert_eq!((&mail["workers"], &mail["slots"]), (&1.into(), &1.into()));
    let printed = stdout(&longshore(&["top", "--once"]));
    println!("{printed}");
    for words in ["workers: 1 working, 0 draining, 0 silent", "leader: sleeper", "QUEUE", "slow", "CLAIMED/S"] {
        assert!(printed.contains(words), "{printed}");
    }
    let far = longshore(&["top", "--interval", "1ms"]);
    assert_eq!(far.status.code(), Some(2), "{}", stderr(&far));
}
