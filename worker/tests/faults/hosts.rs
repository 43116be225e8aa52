//! One database behind several hosts, of which one can be written.

use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::Instant;

use longshore_postgres::Server;

use crate::rig::{Rig, Setup, own_server};
use crate::support::Database;

/// Sessions of a worker that are open all the time: claims, settlements, heartbeats, the watcher, the scheduler, and the
/// listener.
const CONNECTIONS: usize = 6;

/// Connections of workers.
const OPEN: &str =
    "SELECT count(DISTINCT application_name) FROM pg_stat_activity WHERE application_name LIKE 'longshore %'";

/// A URL of several hosts, the database `postgres` on each.
pub(crate) fn url_of(servers: &[&Server], parameters: &str) -> String {
    let hosts: Vec<String> = servers.iter().map(|server| format!("127.0.0.1:{}", server.tcp_port().unwrap())).collect();
    format!("postgres://{}@{}/postgres{parameters}", servers[0].user(), hosts.join(","))
}

/// From then on this server lets sessions write, or not; those that are open as well.
pub(crate) async fn lets_write(database: &Database, yes: bool) {
    let read_only = if yes { "off" } else { "on" };
    database.run(&format!("ALTER SYSTEM SET default_transaction_read_only = {read_only}")).await;
    database.run("SELECT pg_reload_conf()").await;
    // sessions that begin from then on are of it
    database.until(&format!("SELECT current_setting('default_transaction_read_only') = '{read_only}'")).await;
}

pub(crate) async fn a_worker_and_all_its_connections_follow_the_server_that_can_be_written() {
    let servers = [own_server(&[]), own_server(&[])];
    let rigs = [Rig::on(&servers[0]).await, Rig::on(&servers[1]).await];
    lets_write(&rigs[0].database, false).await;
    let worker = rigs[0].start(Setup { url: Some(url_of(&[&servers[0], &servers[1]], "")), ..Setup::default() });
    worker.works().await;
    for (here, there) in [(1, 0), (0, 1), (1, 0)] {
        lets_write(&rigs[there].database, false).await;
        lets_write(&rigs[here].database, true).await;
        let since = Instant::now();
        // whoever settles opens its connection when there is something to settle
        let tasks = rigs[here].insert_work(50, 1).await;
        rigs[here].database.until(&format!("SELECT ({OPEN}) = {CONNECTIONS}")).await;
        rigs[there].database.until(&format!("SELECT ({OPEN}) = 0")).await;
        println!("figure: all connections are with the server that can be written after {:?}", since.elapsed());
        rigs[here].judge(&tasks).await;
    }
    assert!(worker.said("ERROR").is_empty(), "{:?}", worker.said("ERROR"));
}

fn list(url: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
    command.args(["tasks", "list"]).env("DATABASE_URL", url).env_remove("LONGSHORE_CONFIG").current_dir("/");
    command.output().unwrap()
}

pub(crate) async fn the_command_line_finds_the_server_that_can_be_written_and_says_why_none_can() {
    let server = own_server(&[]);
    let rig = Rig::on(&server).await;
    // takes connections, and never answers
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let (user, port) = (server.user(), server.tcp_port().unwrap());
    let hosts = format!("postgres://{user}@127.0.0.1:1,127.0.0.1:{silent_port},127.0.0.1:{port}/postgres");

    let since = Instant::now();
    let found = list(&format!("{hosts}?connect_timeout=1"));
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    assert!(since.elapsed().as_secs() < 3, "the silent host took {:?}", since.elapsed());

    lets_write(&rig.database, false).await;
    let refused = list(&format!("{hosts}?connect_timeout=1"));
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    for part in [
        "none of 3 hosts can be used: ",
        "database \"postgres\" at 127.0.0.1:1: ",
        "onnection refused",
        &format!("database \"postgres\" at 127.0.0.1:{silent_port}: "),
        "has not answered for 1s",
        &format!(
            "database \"postgres\" at 127.0.0.1:{port}: it is read-only, and target_session_attrs asks for read-write"
        ),
    ] {
        assert!(said.contains(part), "{said:?} lacks {part:?}");
    }
    // to read, any will do
    assert!(list(&format!("{hosts}?connect_timeout=1&target_session_attrs=any")).status.success());
    let wrong = list(&format!("{hosts}?target_session_attrs=fastest"));
    assert_eq!(wrong.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("target_session_attrs is one of read-write"), "{wrong:?}");
}
