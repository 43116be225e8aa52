//! Designs: resolved before each attempt of an action that wants them, from a server of the story's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::AssertSqlSafe;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::rig::{Process, Rig, Setup, eventually};

/// What no log, table or metric may hold.
const SECRET: &str = "hunter2-of-the-story";

/// The good page.
const PAGE: &str = "site: one\n";

/// A server of pages; `asked` counts its requests, and `gate` lets one more page go.
struct Pages {
    address: String,
    asked: Arc<AtomicUsize>,
    gate: Arc<Notify>,
}

/// Serves a page at `/good`, what was sent at `/echo`, an error once and then a page at `/late`, a page at `/gate` when it
/// is let go, nothing ever at `/never`.
async fn pages() -> Pages {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (asked, late) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Arc::new(Notify::new());
    let pages = Pages { address, asked: Arc::clone(&asked), gate: Arc::clone(&gate) };
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (asked, late, gate) = (Arc::clone(&asked), Arc::clone(&late), Arc::clone(&gate));
            tokio::spawn(async move {
                let mut head = vec![0; 16 * 1024];
                let length = stream.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                asked.fetch_add(1, Ordering::SeqCst);
                let (status, body) = match head.split(' ').nth(1) {
                    Some("/good") => ("200 OK", PAGE.to_owned()),
                    Some("/echo") => ("403 Forbidden", head),
                    Some("/late") if late.fetch_add(1, Ordering::SeqCst) == 0 => {
                        ("503 Service Unavailable", String::new())
                    }
                    Some("/late") => ("200 OK", PAGE.to_owned()),
                    Some("/gate") => {
                        gate.notified().await;
                        ("200 OK", PAGE.to_owned())
                    }
                    Some("/never") => std::future::pending().await,
                    _ => ("404 Not Found", String::new()),
                };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: text/yaml\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await.ok();
            });
        }
    });
    pages
}

/// A worker whose action `deploy` prints what it is sent, its designs from these pages.
fn worker(rig: &Rig, pages: &Pages, timeout: &str) -> Process {
    let sections = format!(
        "[actions.deploy]\nexecutor = \"command\"\nargv = ['cat']\nretry = {{ base = \"0s\", factor = 1.0, max = \"1s\" }}\n\
         design = {{ as = \"bytes\", timeout = \"{timeout}\" }}\n\
         [design]\nallow = ['127.0.0.1']\n\
         [design.credentials.pages]\norigin = 'http://{}'\nusername = 'longshore'\npassword = '{SECRET}'\n",
        pages.address
    );
    rig.start(Setup { sections, ..Setup::default() })
}

/// Inserts a task for this page of the server, or for a reference as it stands.
async fn insert(rig: &Rig, pages: &Pages, page: &str, max_attempts: u8) -> Uuid {
    let reference = if page.starts_with('/') { format!("'http://{}{page}'", pages.address) } else { page.to_owned() };
    let insert = format!(
        "INSERT INTO tasks (action, max_attempts, design_ref) VALUES ('deploy', {max_attempts}, {reference}) RETURNING task_id"
    );
    sqlx::query_scalar(AssertSqlSafe(insert)).fetch_one(&mut rig.database.conn().await).await.unwrap()
}

/// How a task ended, in which attempt, and of which page the hash is noted on it.
async fn end(rig: &Rig, task_id: Uuid) -> String {
    rig.database
        .until(&format!("SELECT status IN ('complete', 'terminated') FROM tasks WHERE task_id = '{task_id}'"))
        .await;
    let sql = format!(
        "SELECT concat_ws(' ', status, result_status, result_reason, attempt,
            CASE WHEN design_hash = sha256('{PAGE}') THEN 'of the page' WHEN design_hash IS NULL THEN 'of none' END)
         FROM tasks WHERE task_id = '{task_id}'"
    );
    rig.database.value(&sql).await
}

async fn messages(rig: &Rig, task_id: Uuid) -> Vec<String> {
    let sql = format!(
        "SELECT concat_ws(' ', error, context_type, message) FROM result_message WHERE task_id = '{task_id}' ORDER BY sequence"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut rig.database.conn().await).await.unwrap()
}

pub(crate) async fn an_executor_gets_the_design_and_its_hash_stays_with_the_task() {
    let (rig, pages) = (Rig::new().await, pages().await);
    let worker = worker(&rig, &pages, "10s");
    let tasks: Vec<Uuid> = futures_util::future::join_all((0..50).map(|_| insert(&rig, &pages, "/good", 1))).await;
    let late = insert(&rig, &pages, "/late", 3).await;
    // the ends of tasks of a tree are another statement's
    let (parent, child) = (Uuid::now_v7(), Uuid::now_v7());
    let page = format!("'http://{}/good'", pages.address);
    rig.database
        .run(&format!(
            "INSERT INTO tasks (task_id, parent_task_id, action, design_ref)
             VALUES ('{parent}', NULL, 'deploy', {page}), ('{child}', '{parent}', 'deploy', {page})"
        ))
        .await;
    for task in tasks.iter().chain([&parent, &child]) {
        assert_eq!(end(&rig, *task).await, "complete success 1 of the page");
    }
    let said = messages(&rig, tasks[0]).await;
    let sent: serde_json::Value = serde_json::from_str(said[0].trim_start_matches("f ")).unwrap();
    assert_eq!((sent["design"]["text"].as_str(), sent["design"]["size_bytes"].as_u64()), (Some(PAGE), Some(10)));
    let hash: String = rig.database.value(&format!("SELECT encode(sha256('{PAGE}'), 'hex')")).await;
    assert_eq!(sent["design"]["content_hash"], hash);
    assert_eq!(end(&rig, late).await, "complete success 2 of the page");
    assert!(messages(&rig, late).await[0].ends_with("/late: answered 503 Service Unavailable"));
    assert_eq!(pages.asked.load(Ordering::SeqCst), 3, "one for all, and two for the late one");
    drop(worker);
}

pub(crate) async fn a_design_that_cannot_be_had_fails_or_is_tried_again_and_the_log_says_why() {
    let (rig, pages) = (Rig::new().await, pages().await);
    let worker = worker(&rig, &pages, "300ms");
    let host = &pages.address;
    for (page, ended, why) in [
        ("/gone", "complete failure design 1 of none", format!("http://{host}/gone: answered 404 Not Found")),
        ("/echo", "complete failure design 1 of none", format!("http://{host}/echo: answered 403 Forbidden")),
        ("/never", "complete failure design 2 of none", format!("http://{host}/never: took longer than 300ms")),
        ("NULL", "complete failure design 1 of none", "of this task: the task has none".to_owned()),
        ("'ftp://h/a'", "complete failure design 1 of none", "ftp://h/a: the scheme ftp is unknown".to_owned()),
        (
            "'file:///etc/passwd'",
            "complete failure design 1 of none",
            "file:///etc/passwd: files are read only".to_owned(),
        ),
        (
            "'http://10.0.0.1/'",
            "complete failure design 1 of none",
            "http://10.0.0.1/: 10.0.0.1 has the address".to_owned(),
        ),
        (
            "'http://0x7f.2:1/'",
            "complete failure design 1 of none",
            "http://127.0.0.2:1/: 127.0.0.2 has the".to_owned(),
        ),
    ] {
        let task = insert(&rig, &pages, page, 2).await;
        assert_eq!(end(&rig, task).await, ended, "{page}");
        let said = messages(&rig, task).await;
        let expected = format!("t design_ref design reference {why}");
        // what an attempt says of its design, and the history of attempts says again
        let (history, said): (Vec<_>, Vec<_>) =
            said.iter().partition(|one| one.starts_with("t attempt failed (design): "));
        assert!(said.iter().all(|one| one.starts_with(&expected)) && !said.is_empty(), "{expected} in {said:?}");
        assert!(history.iter().all(|one| one.contains(why.as_str())), "{why} in {history:?}");
    }
    let (_, metrics) = worker.get("/metrics").await;
    assert!(metrics.contains("longshore_design_resolve_seconds_count{result=\"permanent\"} 7"), "{metrics}");
    let tables = "SELECT concat((SELECT string_agg(t::text, '') FROM tasks AS t), (SELECT string_agg(m::text, '') FROM result_message AS m))";
    let tables: String = rig.database.value(tables).await;
    for shown in [&metrics, &tables, &worker.said("").join("\n")] {
        // as it is, and as it is sent
        assert!(!shown.contains(SECRET) && !shown.contains("bG9uZ3Nob3JlOmh1bnRlcj"), "{shown}");
    }
}

pub(crate) async fn whoever_waits_for_a_design_hears_that_it_shall_end() {
    let (rig, pages) = (Rig::new().await, pages().await);
    let mut worker = worker(&rig, &pages, "1h");
    let terminated = insert(&rig, &pages, "/never", 1).await;
    let released = insert(&rig, &pages, "/never", 1).await;
    eventually("the page is asked for", || pages.asked.load(Ordering::SeqCst) == 1).await;
    rig.database.run(&format!("SELECT terminate_task('{terminated}')")).await;
    assert_eq!(end(&rig, terminated).await, "terminated failure terminated 1 of none");
    for _ in 0..2 {
        worker.signal(longshore_postgres::Signal::TERM);
    }
    worker.ended().await;
    let back: String = rig
        .database
        .value(&format!("SELECT concat_ws(' ', status, attempt) FROM tasks WHERE task_id = '{released}'"))
        .await;
    assert_eq!(back, "queued 0");
}

pub(crate) async fn a_failed_attempt_notes_its_design_also_after_somebodys_lock() {
    let (rig, pages) = (Rig::new().await, pages().await);
    let sections = "[actions.fails]\nexecutor = \"command\"\nargv = ['sh', '-c', 'echo ran; exit 1']\nretry = { base = \"1h\" }\n\
         design = { as = \"bytes\", timeout = \"1h\" }\n[design]\nallow = ['127.0.0.1']\n";
    let worker = rig.start(Setup { sections: sections.to_owned(), ..Setup::default() });
    let gate = format!("INSERT INTO tasks (action, design_ref) VALUES ('fails', 'http://{}/gate')", pages.address);
    let task: Uuid = rig.database.value(&format!("{gate} RETURNING task_id")).await;
    eventually("the page is asked for", || pages.asked.load(Ordering::SeqCst) == 1).await;
    // messages are recorded beside such a lock, a hash and an outcome are not
    let mut other = rig.database.conn().await;
    let mut lock = sqlx::Connection::begin(&mut other).await.unwrap();
    sqlx::query("SELECT FROM tasks WHERE task_id = $1 FOR SHARE").bind(task).execute(&mut *lock).await.unwrap();
    pages.gate.notify_one();
    rig.database.until(&format!("SELECT EXISTS (SELECT FROM result_message WHERE task_id = '{task}')")).await;
    let free: Uuid = rig.database.value(&format!("{} RETURNING task_id", gate.replace("/gate", "/good"))).await;
    let noted = |task: Uuid| {
        format!(
            "SELECT status = 'queued' AND design_hash = sha256('{PAGE}') AND attempt = 1 FROM tasks WHERE task_id = '{task}'"
        )
    };
    // nobody else is held up
    rig.database.until(&noted(free)).await;
    let held: String = rig.database.value(&format!("SELECT status::text FROM tasks WHERE task_id = '{task}'")).await;
    assert_eq!(held, "running");
    lock.rollback().await.unwrap();
    rig.database.until(&noted(task)).await;
    assert!(worker.said("ERROR").is_empty(), "{:?}", worker.said("ERROR"));
}
