//! A dump of a queue that is at work, restored.

use std::path::Path;
use std::process::Command;

use longshore_queue::Connect;
use sqlx::{AssertSqlSafe, Executor};
use uuid::Uuid;

use crate::rig::{Rig, Setup};
use crate::support::{Database, SERVER};

fn run(bin_dir: &Path, program: &str, arguments: &[&str]) {
    let done = Command::new(bin_dir.join(program)).args(arguments).output().unwrap();
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A task's id, state, attempts, and when it ended.
type Row = (Uuid, String, i16, Option<String>);

async fn rows(database: &Database, condition: &str) -> Vec<Row> {
    let sql =
        format!("SELECT task_id, status::text, attempt, finished_at::text FROM tasks WHERE {condition} ORDER BY 1");
    sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut database.conn().await).await.unwrap()
}

pub(crate) async fn a_dump_of_a_queue_at_work_is_restored_and_drained() {
    let bin_dir = SERVER.bin_dir();
    if !bin_dir.join("pg_dump").is_file() || !bin_dir.join("pg_restore").is_file() {
        println!("skipped: no pg_dump and pg_restore in {}", bin_dir.display());
        return;
    }
    let mut rig = Rig::new().await;
    let mut first = rig.start(Setup { name: "first", ..Setup::default() });
    first.works().await;
    rig.insert_work(10, 20_000).await;
    rig.insert_work(2_000, 20).await;
    rig.insert("tree", [3.into()]).await;
    rig.until_tallied("end", 200).await;
    let file = rig.path("queue.dump");
    let file = file.to_str().unwrap();
    run(bin_dir, "pg_dump", &["--format=custom", "--file", file, &rig.database.url]);
    first.kill();

    let name = format!("restored_{}", std::process::id());
    rig.database
        .conn()
        .await
        .execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0")))
        .await
        .unwrap();
    let url = SERVER.url(&name);
    run(bin_dir, "pg_restore", &["--exit-on-error", "--dbname", &url, file]);
    rig.database = Database {
        connect: Connect::new(&url, "public", false).unwrap(),
        tcp_url: SERVER.tcp_url(&name).unwrap(),
        url,
    };
    let all = rows(&rig.database, "true").await;
    let complete = rows(&rig.database, "status = 'complete'").await;
    let running = rows(&rig.database, "status = 'running'").await;
    assert!(complete.len() >= 100 && running.len() >= 10, "{} complete, {} running", complete.len(), running.len());
    assert!(all.len() > complete.len() + running.len(), "nothing waits");

    let second = rig.start(Setup { name: "second", ..Setup::default() });
    second.works().await;
    let ids: Vec<Uuid> = all.iter().map(|row| row.0).collect();
    rig.judge(&ids).await;
    let after = rows(&rig.database, "true").await;
    for row in &complete {
        assert!(after.contains(row), "{row:?} ran again");
    }
    for (task_id, _, attempt, _) in running {
        let now = after.iter().find(|row| row.0 == task_id).unwrap();
        assert_eq!(now.2, attempt + 1, "what ran at the dump runs again, once: {task_id}");
    }
    println!("figure: restored with {} tasks, {} of them complete", all.len(), complete.len());
    assert!(second.said("ERROR").is_empty(), "{:?}", second.said("ERROR"));
}
