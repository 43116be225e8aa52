//! Spans that a collector receives, and what executors are told of their traces.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use longshore_postgres::Signal;
use longshore_queue::{NewTask, insert_many};
use serde_json::json;
use uuid::Uuid;

use crate::collector::{Collector, Mood, Taken, drawn};
use crate::rig::{Rig, Setup, eventually};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PRODUCER: &str = "00f067aa0ba902b7";

/// A program of the shell that speaks in lines of JSON, for an action of this name.
fn shell(name: &str, script: &str) -> String {
    format!(
        "[actions.{name}]\nexecutor = \"command\"\nstdout = \"jsonl\"\nargv = ['sh', '-c', '''{script}''']\n\
         retry = {{ base = \"0s\", factor = 1.0, max = \"1s\" }}\n"
    )
}

/// Inserts subtasks in its first run, waits for them, and ends in its second.
const PARENT: &str = r#"case "$(cat)" in
    *'"subtasks":null'*)
        echo '{"subtasks":[{"action":"leaf"},{"action":"hook"}]}'
        echo '{"result":{"suspend":{"until":"all"}}}';;
    *) echo '{"result":{"status":"success"}}';;
    esac"#;

/// Says which trace it was told of, in both ways.
const LEAF: &str =
    r#"echo "$TRACEPARENT $TRACESTATE"; grep -o '"traceparent":"[^"]*","tracestate"' | tail -n 1 | tr -d '"'"#;

fn producer_context() -> serde_json::Value {
    json!({ "traceparent": format!("00-{TRACE}-{PRODUCER}-01"), "tracestate": "congo=1" })
}

fn process_of<'a>(spans: &'a [Taken], action: &str) -> &'a Taken {
    spans.iter().find(|one| one.span.name == format!("process {action}")).unwrap()
}

pub(crate) async fn a_tree_of_tasks_over_two_workers_is_a_trace_of_its_shape() {
    let rig = Rig::new().await;
    let collector = Collector::start(Mood::Takes).await;
    let posted = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&posted);
    let hook = move |headers: HeaderMap| async move {
        let text = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        heard.lock().unwrap().push(format!("{} {}", text("traceparent"), text("tracestate")));
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(hook))).await });

    std::fs::write(rig.path("headers"), "Authorization: Bearer hunter2\n").unwrap();
    let otlp = format!("{}headers_file = \"{}\"\n", collector.section(), rig.path("headers").display());
    // neither can do what the other does
    let upper = Setup { name: "upper", binary: true, sections: shell("parent", PARENT) + &otlp, ..Setup::default() };
    let hook = format!("[actions.hook]\nexecutor = \"http\"\nurl = \"{url}\"\n");
    let lower =
        Setup { name: "lower", binary: true, sections: shell("leaf", LEAF) + &hook + &otlp, ..Setup::default() };
    let (upper, lower) = (rig.start(upper), rig.start(lower));
    upper.works().await;
    lower.works().await;

    let (site, build, ship) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let subtask = |id, action: &str, after: &[Uuid]| NewTask {
        task_id: Some(id),
        parent_task_id: Some(site),
        after: after.to_vec(),
        ..NewTask::new(action)
    };
    let root = NewTask { task_id: Some(site), request_context: Some(producer_context()), ..NewTask::new("noop") };
    let tasks = [root, subtask(build, "parent", &[]), subtask(ship, "noop", &[build])];
    insert_many(&mut rig.database.conn().await, &tasks).await.unwrap();
    rig.all_end().await;
    eventually("the whole tree is exported", || {
        collector.spans().iter().filter(|one| one.span.name.starts_with("task ")).count() == 5
    })
    .await;

    let spans = collector.spans();
    assert_eq!(
        drawn(&spans),
        "task noop\n  \
           process noop\n  \
           settle noop\n  \
           task noop\n    \
             process noop\n    \
             settle noop\n    \
             wait noop\n  \
           task parent\n    \
             process parent\n    \
             process parent\n    \
             settle parent\n    \
             settle parent\n    \
             task hook\n      \
               process hook\n      \
               settle hook\n      \
               wait hook\n    \
             task leaf\n      \
               process leaf\n      \
               settle leaf\n      \
               wait leaf\n    \
             wait parent\n    \
             wait parent\n  \
           wait noop"
    );
    assert!(spans.iter().all(|one| one.trace() == TRACE && one.span.trace_state == "congo=1"));
    let top = spans
        .iter()
        .find(|one| one.attribute("messaging.message.id") == site.to_string() && one.span.name.starts_with("task"));
    assert_eq!(top.unwrap().parent(), PRODUCER);
    assert_eq!(spans.iter().map(|one| &one.worker).collect::<BTreeSet<_>>().len(), 2, "both workers have exported");
    let outcomes: BTreeSet<String> = spans.iter().map(|one| one.attribute("longshore.outcome")).collect();
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), ["", "success", "suspended"]);

    // an executor's own spans would lie in its attempt's
    let told = |action: &str| format!("00-{TRACE}-{}-01 congo=1", process_of(&spans, action).id());
    let said = "SELECT message FROM result_message JOIN tasks USING (task_id) WHERE action = 'leaf' ORDER BY sequence";
    let in_json = told("leaf").replace(" congo=1", "");
    assert_eq!(rig.database.values::<String>(said).await, [told("leaf"), format!("traceparent:{in_json},tracestate")]);
    assert_eq!(*posted.lock().unwrap(), [told("hook")]);

    assert!(collector.authorization.lock().unwrap().iter().all(|said| said == "Bearer hunter2"));
    assert!(!collector.authorization.lock().unwrap().is_empty());
    assert!(upper.said("hunter2").is_empty() && lower.said("hunter2").is_empty());
}

pub(crate) async fn failures_are_errors_and_what_nobody_began_is_a_trace_of_its_own() {
    let rig = Rig::new().await;
    let collector = Collector::start(Mood::Takes).await;
    let sections = shell("fails", "echo oops >&2; exit 3") + &collector.section();
    let mut worker = rig.start(Setup { binary: true, sections, ..Setup::default() });
    worker.works().await;
    let [fails, plain, left_out] = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];
    let unsampled = json!({ "traceparent": format!("00-{TRACE}-{PRODUCER}-00") });
    let tasks = [
        NewTask { task_id: Some(fails), max_attempts: Some(2), ..NewTask::new("fails") },
        NewTask { task_id: Some(plain), ..NewTask::new("noop") },
        NewTask { task_id: Some(left_out), request_context: Some(unsampled), ..NewTask::new("noop") },
    ];
    insert_many(&mut rig.database.conn().await, &tasks).await.unwrap();
    rig.all_end().await;
    // what was settled last is exported before the process ends
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(0));
    assert!(collector.has_task(fails) && collector.has_task(plain));
    let spans = collector.spans();
    assert!(spans.iter().all(|one| [fails, plain].map(|id| id.simple().to_string()).contains(&one.trace())));
    let failed: Vec<String> = spans
        .iter()
        .filter(|one| one.span.status.as_ref().is_some_and(|status| status.code == 2))
        .map(|one| {
            let message = &one.span.status.as_ref().unwrap().message;
            format!("{} {} {message}", one.span.name, one.attribute("longshore.outcome"))
        })
        .collect();
    let end = rig.database.value::<String>("SELECT result_message FROM tasks WHERE action = 'fails'").await;
    assert_eq!(
        failed,
        [
            format!("process fails retried {end}"),
            format!("process fails failure {end}"),
            format!("task fails failure {end}")
        ]
    );
}

/// The sum of a counter's values, over its labels that hold this text.
fn counted(metrics: &str, name: &str, label: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name) && line.contains(label));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

async fn bears(mood: Option<Mood>) {
    const TASKS: usize = 6_000;
    let rig = Rig::new().await;
    let endpoint = match mood {
        Some(mood) => Collector::start(mood).await.endpoint,
        // nobody listens there any more
        None => {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            format!("http://{}", listener.local_addr().unwrap())
        }
    };
    let sections = format!("[otlp]\nendpoint = \"{endpoint}\"\ntimeout = \"300ms\"\n");
    let mut worker = rig.start(Setup { binary: true, sections, ..Setup::default() });
    worker.works().await;
    let tasks = rig.insert("noop", (0..TASKS).map(|n| json!(n))).await;
    rig.judge(&tasks).await;
    let well: i64 =
        rig.database.value("SELECT count(*) FROM tasks WHERE result_status = 'success' AND attempt = 1").await;
    assert_eq!(well, TASKS as i64);
    let dropped = "longshore_otlp_spans_dropped_total";
    let seen = async |label: &str| counted(&worker.get("/metrics").await.1, dropped, label);
    let since = Instant::now();
    // what does not wait is dropped at once, what waits when its batch has been tried
    while seen("failed").await == 0.0 || seen("queue_full").await == 0.0 {
        assert!(since.elapsed() < Duration::from_secs(30), "nothing is counted as dropped");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(worker.said("spans cannot be exported").len(), 1);
    let asked = Instant::now();
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(8), "ended after {:?}", asked.elapsed());
}

pub(crate) async fn a_collector_that_hangs_costs_spans_and_nothing_else() {
    bears(Some(Mood::Hangs)).await;
}

pub(crate) async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    bears(None).await;
}

pub(crate) async fn what_a_collector_answers_says_how_many_spans_are_counted_as_exported() {
    let rig = Rig::new().await;
    for (mood, dropped, exported) in
        [(Mood::Refuses, 4.0, 0.0), (Mood::TakesAllButOne, 1.0, 3.0), (Mood::Drones, 0.0, 4.0)]
    {
        let collector = Collector::start(mood).await;
        let worker = rig.start(Setup { binary: true, sections: collector.section(), ..Setup::default() });
        worker.works().await;
        rig.insert("noop", [json!(null)]).await;
        rig.all_end().await;
        let since = Instant::now();
        loop {
            let metrics = worker.get("/metrics").await.1;
            let seen = |name: &str| counted(&metrics, name, "");
            let now = (seen("longshore_otlp_spans_dropped_total"), seen("longshore_otlp_spans_exported_total"));
            if now == (dropped, exported) {
                break;
            }
            assert!(since.elapsed() < Duration::from_secs(30), "{mood:?}: {now:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
