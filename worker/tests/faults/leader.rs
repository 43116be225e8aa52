//! The active instance is killed, or stopped for longer than its lease.

use std::time::{Duration, Instant};

use longshore_postgres::Signal;

use crate::rig::{Process, Rig, Setup, own_server};

/// What DESIGN promises beyond the lease.
const TAKEOVER: Duration = Duration::from_secs(1);

/// The lease of these workers, and what the machine may take on top where it is busy.
const LEASE: Duration = Duration::from_secs(3);
const BUSY: Duration = Duration::from_millis(500);

fn start(rig: &Rig, name: &'static str) -> Process {
    let worker = "heartbeat = \"500ms\"\nlease = \"3s\"".to_owned();
    rig.start(Setup { name, binary: true, worker, ..Setup::default() })
}

async fn three(rig: &Rig) -> (Process, [Process; 2]) {
    let leader = start(rig, "leader");
    leader.says("is the active instance").await;
    let others = [start(rig, "one"), start(rig, "two")];
    for other in &others {
        other.works().await;
    }
    (leader, others)
}

fn leads(epoch: u8) -> String {
    format!("SELECT epoch = {epoch} AND lease_expires_at > now() FROM active_instance")
}

pub(crate) async fn a_killed_leader_is_replaced_within_its_lease_and_a_second() {
    let rig = Rig::new().await;
    let (mut leader, _others) = three(&rig).await;
    leader.kill();
    let killed = Instant::now();
    rig.database.until(&leads(2)).await;
    println!("figure: takeover from a killed leader {:?} at a lease of {LEASE:?}", killed.elapsed());
    assert!(killed.elapsed() < LEASE + TAKEOVER + BUSY, "{:?}", killed.elapsed());
}

pub(crate) async fn a_leader_that_is_told_to_end_gives_the_lead_up() {
    let rig = Rig::new().await;
    let (mut leader, _others) = three(&rig).await;
    leader.signal(Signal::TERM);
    assert_eq!(leader.ended().await.code(), Some(0));
    rig.database.until(&leads(2)).await;
}

pub(crate) async fn a_leader_stopped_past_its_lease_changes_nothing_when_it_wakes() {
    let rig = Rig::new().await;
    let (leader, others) = three(&rig).await;
    leader.signal(Signal::STOP);
    rig.database.until(&leads(2)).await;
    leader.signal(Signal::CONT);
    leader.says("another worker is the active instance").await;
    let same: bool = rig.database.value(&leads(2)).await;
    assert!(same, "the lead changed again");
    assert_eq!(others.iter().map(|other| other.said("is the active instance").len()).sum::<usize>(), 1);
    assert_eq!(leader.said("tasks of dead workers are given back").len(), 0);
    let (status, metrics) = leader.get("/metrics").await;
    assert!(status == 200 && metrics.contains("longshore_leader{cell=\"default\"} 0"), "{metrics}");
}

pub(crate) async fn a_leader_that_cannot_renew_its_lead_says_so_after_its_lease() {
    let mut server = own_server(&[]);
    let rig = Rig::on(&server).await;
    let leader = start(&rig, "leader");
    leader.says("is the active instance").await;
    let metrics = leader.get("/metrics").await.1;
    assert!(metrics.contains("longshore_leader{cell=\"default\"} 1"), "{metrics}");
    server.kill().unwrap();
    leader.says("could not be renewed within its lease").await;
    let metrics = leader.get("/metrics").await.1;
    assert!(
        metrics.contains("longshore_leader{cell=\"default\"} 0")
            && metrics.contains("longshore_workers_alive{cell=\"default\"} NaN"),
        "{metrics}"
    );
    server.restart().unwrap();
    rig.database.until(&leads(1)).await;
}

pub(crate) async fn a_leader_that_cannot_count_goes_on_with_the_rest() {
    let rig = Rig::new().await;
    // what the count reads and no claim does
    rig.database.run("ALTER TABLE pauses RENAME COLUMN reason TO why").await;
    let worker = rig.start(Setup { binary: true, ..Setup::default() });
    worker.works().await;
    worker.says("the database refuses a step").await;
    let since = Instant::now();
    while !worker.get("/metrics").await.1.contains("longshore_db_table_bytes") {
        assert!(since.elapsed() < Duration::from_secs(20), "the tables are not weighed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(worker.said("the database refuses a step").len(), 1);
}
