//! PgBouncer in transaction mode stands before the database.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use longshore_queue::Connect;
use serde_json::json;

use crate::rig::{Process, Rig, Setup, eventually};

/// Where Debian's package puts it, and where others do.
const PROGRAMS: [&str; 3] = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"];

/// Fewer server connections than the workers have of their own, so that they do share.
const SERVER_CONNECTIONS: u32 = 4;

/// What a worker says of a pooler that it was not told of.
const REFUSAL: &str = "a pooler that shares connections stands before the database";

struct Pooler {
    port: u16,
    process: Process,
}

/// Starts one; `None`, said aloud, where the machine has none.
async fn pooler(rig: &Rig, ignored: &str) -> Option<Pooler> {
    let Some(program) = PROGRAMS.into_iter().find(|program| Path::new(program).exists()) else {
        println!("skipped: no pgbouncer in {PROGRAMS:?}");
        return None;
    };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = rig.database.tcp_url.trim_start_matches("postgres://");
    let (user, place) = url.split_once('@').unwrap();
    let (address, name) = place.split_once('/').unwrap();
    let (host, server_port) = address.split_once(':').unwrap();
    let config = rig.path("pgbouncer.ini");
    std::fs::write(
        &config,
        format!(
            "[databases]\n{name} = host={host} port={server_port} dbname={name} user={user}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = {SERVER_CONNECTIONS}\nmax_client_conn = 200\n\
             ignore_startup_parameters = {ignored}\n"
        ),
    )
    .unwrap();
    let mut command = Command::new(program);
    command.arg(&config);
    // it refuses to run as root
    if rustix::process::geteuid().is_root() {
        command.uid(id("postgres"));
    }
    let process = Process::start("pgbouncer", command);
    eventually("pgbouncer listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
    Some(Pooler { port, process })
}

fn id(user: &str) -> u32 {
    let output = Command::new("id").args(["-u", user]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().expect("a user to run pgbouncer as")
}

impl Pooler {
    fn url(&self, rig: &Rig) -> String {
        let (user, place) = rig.database.tcp_url.split_once('@').unwrap();
        format!("{user}@127.0.0.1:{}/{}?sslmode=disable", self.port, place.split_once('/').unwrap().1)
    }
}

async fn is_refused(ignored: &str) {
    let rig = Rig::new().await;
    let Some(pooler) = pooler(&rig, ignored).await else { return };
    let mut worker = rig.start(Setup { url: Some(pooler.url(&rig)), binary: true, ..Setup::default() });
    assert!(!worker.ended().await.success());
    worker.says(REFUSAL).await;
    worker.says("connection = \"transaction_pooler\"").await;
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_longshore"));
    // the worker has left a prepared statement on the connection that it gets
    doctor.args(["doctor", "--only", "LS102"]).current_dir(std::env::temp_dir());
    doctor.env_remove("LONGSHORE_CONFIG").env("DATABASE_URL", pooler.url(&rig));
    let told = doctor.output().unwrap();
    assert_eq!(told.status.code(), Some(4), "{}", String::from_utf8_lossy(&told.stderr));
    assert!(String::from_utf8_lossy(&told.stdout).contains("LS102"));
}

pub(crate) async fn a_pooler_that_refuses_our_settings_is_named() {
    is_refused("extra_float_digits").await;
}

pub(crate) async fn a_pooler_that_drops_our_settings_is_found_out() {
    is_refused("extra_float_digits,options").await;
}

pub(crate) async fn a_pooler_that_was_named_is_not_asked_to_be_named_where_it_refuses_options() {
    let rig = Rig::new().await;
    let Some(pooler) = pooler(&rig, "extra_float_digits").await else { return };
    // as PGOPTIONS would add them
    let url = format!("{}&options=-c%20work_mem%3D8MB", pooler.url(&rig));
    let session = |pooled| {
        let connect = Connect::new(&url, "public", pooled).unwrap();
        async move { connect.session("test").await.expect_err("options are refused").to_string() }
    };
    assert!(session(false).await.contains(REFUSAL));
    let refused = session(true).await;
    assert!(!refused.contains(REFUSAL) && refused.contains("startup parameter"), "{refused}");
}

pub(crate) async fn behind_a_pooler_that_was_named_thousands_of_tasks_end_with_their_own_rows() {
    let rig = Rig::new().await;
    let Some(mut pooler) = pooler(&rig, "extra_float_digits").await else { return };
    let start = |name, binary| {
        let top = "connection = \"transaction_pooler\"".to_owned();
        rig.start(Setup { name, binary, url: Some(pooler.url(&rig)), top, ..Setup::default() })
    };
    let workers = [start("one", false), start("two", false), start("three", true)];
    for worker in &workers {
        worker.works().await;
    }
    let mut tasks = rig.insert("noop", (0..1500).map(|number| json!({ "number": number }))).await;
    tasks.extend(rig.insert("work", (0..1500).map(|number| json!({ "number": number, "echo": true, "say": 1 }))).await);
    // one that is ended while it runs, which a worker behind a pooler learns by looking
    let long = rig.insert_work(1, 600_000).await;
    rig.until_tallied("begin", 1501).await;
    rig.database.run(&format!("SELECT terminate_task('{}')", long[0])).await;
    tasks.extend(long);
    rig.judge(&tasks).await;
    let mixed_up: i64 = rig
        .database
        .value(
            "SELECT count(*) FROM tasks LEFT JOIN task_output USING (task_id)
             WHERE status = 'complete' AND (attempt <> 1 OR result_status <> 'success'
                OR action = 'work' AND coalesce(tasks.output, task_output.output) IS DISTINCT FROM payload)",
        )
        .await;
    assert_eq!(mixed_up, 0, "a task with another's outcome");
    for worker in &workers {
        assert!(worker.said("WARN").is_empty(), "{:?}", worker.said("WARN"));
    }
    let through: i64 = rig.database.value("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'longshore%' AND client_addr IS NOT NULL AND datname = current_database()").await;
    assert!(through <= i64::from(SERVER_CONNECTIONS), "{through} connections: not through the pooler");
    assert!(pooler.process.is_running());
}
