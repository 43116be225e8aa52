//! The primary dies, and a standby that streamed from it is promoted in its place.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longshore_postgres::{Error, Options, Server};
use longshore_queue::{Connect, NewTask, Session, insert};
use serde_json::json;
use uuid::Uuid;

use crate::hosts::{lets_write, url_of};
use crate::rig::{Process, Rig, Setup, own_server};
use crate::support::Database;

/// A primary and its standby, workers and producers that know both.
struct Pair {
    primary: Server,
    standby: Server,
    rig: Rig,
    workers: Vec<Process>,
    stop: Arc<AtomicBool>,
    producers: Vec<tokio::task::JoinHandle<Vec<Uuid>>>,
}

impl Pair {
    /// `None` where this Postgres came without `pg_basebackup`.
    async fn start(settings: &[(&str, &str)]) -> Option<Self> {
        let primary = own_server(settings);
        let mut options = Options::for_tests();
        options.tcp = true;
        let standby = match Server::standby(&primary, &options) {
            Ok(standby) => standby,
            Err(Error::Lacks { program, bin_dir }) => {
                println!("skipped: no {program} in {}", bin_dir.display());
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let rig = Rig::on(&primary).await;
        rig.database.until("SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')").await;
        let url = url_of(&[&primary, &standby], "?connect_timeout=2");
        let workers: Vec<Process> = ["one", "two"]
            .into_iter()
            .map(|name| rig.start(Setup { name, url: Some(url.clone()), ..Setup::default() }))
            .collect();
        for worker in &workers {
            worker.works().await;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let producers =
            ["noop", "work"].map(|action| tokio::spawn(produce(url.clone(), action, Arc::clone(&stop)))).into();
        Some(Self { primary, standby, rig, workers, stop, producers })
    }

    /// The standby as a database.
    fn standby(&self) -> Database {
        let url = self.standby.url("postgres");
        Database {
            connect: Connect::new(&url, "public", false).unwrap(),
            tcp_url: self.standby.tcp_url("postgres").unwrap(),
            url,
        }
    }

    /// Kills the primary and promotes the standby, which lets nobody write before a look at what it has.
    async fn switch(&mut self) -> HashMap<Uuid, Seen> {
        let standby = self.standby();
        lets_write(&standby, false).await;
        self.primary.kill().unwrap();
        assert!(standby.value::<bool>("SELECT pg_promote()").await, "it was not promoted");
        let has = seen(&standby).await;
        lets_write(&standby, true).await;
        self.rig.database = standby;
        has
    }

    /// Goes on until so many more have ended, then stops the load and waits for all to end; what was acknowledged.
    async fn finish(&mut self) -> Vec<Uuid> {
        let since = Instant::now();
        let ended = "SELECT count(*) FROM tasks WHERE status = 'complete'";
        let before: i64 = self.rig.database.value(ended).await;
        self.rig.database.until(&format!("SELECT ({ended}) > {before}")).await;
        println!("figure: the first completion {:?} after the promotion", since.elapsed());
        self.rig.database.until(&format!("SELECT ({ended}) > {before} + 500")).await;
        self.stop.store(true, Ordering::Relaxed);
        let mut acknowledged = Vec::new();
        for producer in self.producers.drain(..) {
            acknowledged.extend(producer.await.unwrap());
        }
        acknowledged
    }
}

/// A task as it is seen from outside.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    status: String,
    attempt: i16,
    claim_token: Option<Uuid>,
}

async fn seen(database: &Database) -> HashMap<Uuid, Seen> {
    let rows: Vec<(Uuid, String, i16, Option<Uuid>)> =
        sqlx::query_as("SELECT task_id, status::text, attempt, claim_token FROM tasks")
            .fetch_all(&mut database.conn().await)
            .await
            .unwrap();
    rows.into_iter()
        .map(|(task_id, status, attempt, claim_token)| (task_id, Seen { status, attempt, claim_token }))
        .collect()
}

/// The ids of tasks in one of these states.
fn ids(tasks: &HashMap<Uuid, Seen>, states: &[&str]) -> HashSet<Uuid> {
    tasks.iter().filter(|(_, task)| states.contains(&task.status.as_str())).map(|(id, _)| *id).collect()
}

/// Inserts one task after the other through the failover; the ids that were acknowledged.
async fn produce(url: String, action: &'static str, stop: Arc<AtomicBool>) -> Vec<Uuid> {
    let connect = Connect::new(&url, "public", false).unwrap();
    let mut acknowledged = Vec::new();
    let mut session: Option<Session> = None;
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let Some(mut open) = (match session.take() {
            Some(open) => Some(open),
            None => connect.session("producer").await.ok(),
        }) else {
            continue;
        };
        let Ok(mut step) = open.step().await else { continue };
        // an error leaves it open whether the task is there: such a one is not acknowledged
        if let Ok(Some(task_id)) = insert(step.db(), &NewTask::new(action).payload(json!({"ms": 5}))).await {
            acknowledged.push(task_id);
            session = Some(open);
        }
    }
    acknowledged
}

pub(crate) async fn with_a_synchronous_standby_nothing_that_was_acknowledged_is_lost() {
    let Some(mut pair) = Pair::start(&[]).await else { return };
    pair.rig.database.run("ALTER SYSTEM SET synchronous_standby_names = '*'").await;
    pair.rig.database.run("SELECT pg_reload_conf()").await;
    pair.rig.database.until("SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')").await;
    let slow = pair.rig.insert_work(8, 6_000).await;
    pair.rig.until_tallied("begin", 100).await;
    pair.rig.database.until("SELECT count(*) > 500 FROM tasks WHERE status = 'complete'").await;
    // what anybody has seen of the primary was acknowledged by the standby first
    let before = seen(&pair.rig.database).await;
    let has = pair.switch().await;
    for (task_id, task) in &before {
        let kept = has.get(task_id);
        assert!(kept.is_some(), "task {task_id} was seen and is not there");
        if task.status == "complete" {
            assert_eq!(kept, Some(task), "a completion that was seen is lost");
        }
    }
    let mut acknowledged = pair.finish().await;
    acknowledged.extend(&slow);
    pair.rig.judge(&acknowledged).await;
    let after = seen(&pair.rig.database).await;
    for task_id in ids(&before, &["complete"]) {
        assert_eq!(after[&task_id], before[&task_id], "it ran again");
    }
    println!("figure: synchronous: {} acknowledged inserts, none lost", acknowledged.len());
    went_on(&pair);
}

pub(crate) async fn an_asynchronous_standby_loses_its_lag_and_nothing_else_and_sticks_nowhere() {
    let Some(mut pair) = Pair::start(&[]).await else { return };
    let standby = pair.standby();
    // claimed before the lag, ended in it
    let ended_in_lag = pair.rig.insert_work(4, 6_500).await;
    standby.until("SELECT count(*) = 4 FROM tasks WHERE status = 'running' AND payload ->> 'ms' = '6500'").await;
    // claimed in the lag, and running until long after the switch
    pair.rig
        .database
        .run(
            "INSERT INTO tasks (action, payload, run_at)
             SELECT 'work', '{\"ms\": 15000}', now() + interval '5 seconds' FROM generate_series(1, 4)",
        )
        .await;
    standby.until("SELECT count(*) = 4 FROM tasks WHERE payload ->> 'ms' = '15000'").await;
    pair.cut().await;
    let lag = Instant::now();
    let primary = pair.rig.database.clone();
    primary.until("SELECT count(*) = 4 FROM tasks WHERE status = 'complete' AND payload ->> 'ms' = '6500'").await;
    primary.until("SELECT count(*) = 4 FROM tasks WHERE status = 'running' AND payload ->> 'ms' = '15000'").await;
    let lag = lag.elapsed();
    let has = pair.switch().await;
    let since = Instant::now();
    let acknowledged: HashSet<Uuid> = pair.finish().await.into_iter().collect();
    pair.rig.all_end().await;
    println!("figure: asynchronous: all has ended {:?} after the promotion", since.elapsed());
    let after = seen(&pair.rig.database).await;
    let missing: HashSet<Uuid> = acknowledged.iter().filter(|id| !after.contains_key(*id)).copied().collect();
    let kept: Vec<Uuid> = acknowledged.difference(&missing).chain(has.keys()).copied().collect();
    pair.rig.judge(&kept).await;
    went_on(&pair);
    pair.workers.clear();
    // what the dead server had
    pair.primary.restart().unwrap();
    let had = seen(&primary).await;

    let lost: HashSet<Uuid> = had.keys().filter(|id| !has.contains_key(*id)).copied().collect();
    assert!(!missing.is_empty(), "there was no lag");
    assert_eq!(missing, acknowledged.intersection(&lost).copied().collect(), "the lag is lost, and nothing else");
    assert!(lost.iter().all(|id| !after.contains_key(id)), "a task came back from nowhere");
    for (task_id, task) in has.iter().filter(|(_, task)| task.status == "complete") {
        assert_eq!(&after[task_id], task, "it had ended, and ran again");
    }
    let tokens =
        |tasks: &HashMap<Uuid, Seen>| -> HashSet<Uuid> { tasks.values().filter_map(|task| task.claim_token).collect() };
    let of_lag: HashSet<Uuid> = tokens(&had).difference(&tokens(&has)).copied().collect();
    assert!(tokens(&after).is_disjoint(&of_lag), "a claim that the standby had not received wrote to it");
    let outlasting = ids(&had, &["running"]).into_iter().filter(|id| has.get(id).is_some_and(|task| task.attempt == 0));
    let outlasting: HashSet<Uuid> = outlasting.collect();
    assert!(outlasting.len() >= 4, "no claim was lost");
    let beginnings = pair.rig.beginnings();
    for task_id in ended_in_lag.iter().chain(&outlasting) {
        assert_ne!(has[task_id].status, "complete");
        assert!(beginnings.get(task_id).is_none_or(|times| *times >= 2), "{task_id}: its end or claim was lost");
    }
    let again =
        ids(&had, &["complete"]).into_iter().filter(|id| has.get(id).is_some_and(|task| task.status != "complete"));
    println!(
        "figure: asynchronous, {lag:?} of lag: {} of {} acknowledged inserts lost, {} ends lost and run again, {} claims \
         under way lost",
        missing.len(),
        acknowledged.len(),
        again.count(),
        outlasting.len()
    );
}

impl Pair {
    /// Nothing more reaches the standby.
    async fn cut(&self) {
        let standby = self.standby();
        standby.run("ALTER SYSTEM SET primary_conninfo = ''").await;
        standby.run("SELECT pg_reload_conf()").await;
        self.rig.database.until("SELECT NOT EXISTS (SELECT FROM pg_stat_replication)").await;
    }
}

/// The workers went on by themselves, and met nothing that they could not mend.
fn went_on(pair: &Pair) {
    for worker in &pair.workers {
        assert!(!worker.said("answers again").is_empty(), "it did not notice");
        assert!(worker.said("ERROR").is_empty(), "{:?}", worker.said("ERROR"));
    }
}
