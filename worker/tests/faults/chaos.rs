//! Producers, schedules, workers and faults at random, for a bounded time, and the judge afterwards.
//!
//! A run alone, for an hour: `LONGSHORE_CHAOS_SECONDS=3600 cargo test -p longshore-worker --test faults -- chaos`.
//!
//! - `LONGSHORE_CHAOS_SECONDS`: how long faults are thrown, 25 where it is not set.
//! - `LONGSHORE_CHAOS_SEED`: repeats the choices of the run that printed it; its timing is the machine's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use longshore_postgres::{Server, Signal};

use crate::outage::restarted;
use crate::produce::{ASIDE, SCHEDULES, produce};
use crate::proxy::{Cut, Proxy, Statement, Weather};
use crate::rig::{Process, Rig, Setup, eventually, own_server};
use crate::support::PATIENCE;

/// How long faults are thrown where nothing else is said.
const SECONDS: u64 = 25;

/// Workers at once.
const NAMES: [&str; 3] = ["one", "two", "three"];

/// Short, so that many leases run out in little time.
const LEASE: &str = "heartbeat = \"500ms\"\nlease = \"3s\"";

/// A worker that is stopped for so long has lost what it held.
const STOPPED: Duration = Duration::from_millis(4500);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Kill,
    Stop,
    Terminate,
    KillLeader,
    StopLeader,
    Postmaster,
    Cut,
    Away,
    HalfOpen,
    Slow,
}

impl Fault {
    const ALL: [Self; 10] = [
        Self::Kill,
        Self::Stop,
        Self::Terminate,
        Self::KillLeader,
        Self::StopLeader,
        Self::Postmaster,
        Self::Cut,
        Self::Away,
        Self::HalfOpen,
        Self::Slow,
    ];
}

/// How long a run may take in all.
pub(crate) fn duration() -> Duration {
    Duration::from_secs(from_environment("LONGSHORE_CHAOS_SECONDS").unwrap_or(SECONDS))
}

/// What decides the choices of a run.
pub(crate) fn seed() -> u64 {
    from_environment("LONGSHORE_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..))
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number, got {text:?}")))
}

/// Everything that is at work in a run.
struct Chaos {
    random: Rng,
    server: Option<Server>,
    rig: Rig,
    proxy: Proxy,
    workers: Vec<Process>,
    done: BTreeMap<Fault, u32>,
}

pub(crate) async fn faults_at_random_lose_nothing_and_double_nothing() {
    let seed = seed();
    println!("chaos: LONGSHORE_CHAOS_SEED={seed}");
    let server = own_server(&[("max_connections", "150")]);
    let rig = Rig::on(&server).await;
    let proxy = Proxy::start(&rig.database);
    let mut chaos = Chaos {
        random: Rng::with_seed(seed),
        server: Some(server),
        workers: Vec::new(),
        proxy,
        rig,
        done: BTreeMap::new(),
    };
    chaos.workers = NAMES.map(|name| chaos.worker(name)).into();
    for worker in &chaos.workers {
        worker.works().await;
    }
    chaos.rig.database.run(SCHEDULES).await;
    let stop = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(produce(chaos.rig.database.clone(), chaos.random.fork(), Arc::clone(&stop))))
        .collect();

    let began = Instant::now();
    // each once, in some order; then whatever comes
    let mut first = Fault::ALL;
    chaos.random.shuffle(&mut first);
    let mut next = first.into_iter();
    while next.len() > 0 || began.elapsed() < duration() {
        let fault = next.next().unwrap_or_else(|| Fault::ALL[chaos.random.usize(..Fault::ALL.len())]);
        chaos.throw(fault).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for producer in producers {
        acknowledged.extend(producer.await.unwrap());
    }
    chaos.calm().await;
    chaos.rig.judge(&acknowledged).await;
    chaos.rig.judge_trees().await;
    chaos.rig.judge_schedules().await;
    chaos.nothing_is_left().await;
    chaos.report(acknowledged.len()).await;
}

impl Chaos {
    fn worker(&self, name: &'static str) -> Process {
        let shell = "[actions.shell]\nexecutor = \"command\"\nargv = [\"sh\", \"-c\", \"echo begun; sleep 0.3; echo done\"]\n\
            retry = { base = \"0s\", factor = 1.0, max = \"1s\" }\n";
        self.rig.start(Setup {
            name,
            url: Some(self.proxy.url(&self.rig.database)),
            worker: format!("{LEASE}\nshutdown_deadline = \"2s\""),
            sections: format!("[queues.{ASIDE}]\nconcurrency = 8\n{shell}"),
            ..Setup::default()
        })
    }

    async fn throw(&mut self, fault: Fault) {
        *self.done.entry(fault).or_default() += 1;
        let one = match fault {
            Fault::KillLeader | Fault::StopLeader => self.leader().await,
            _ => self.random.usize(..self.workers.len()),
        };
        match fault {
            Fault::Kill | Fault::KillLeader => {
                self.workers[one].kill();
                self.workers[one] = self.worker(NAMES[one]);
            }
            Fault::Stop | Fault::StopLeader => {
                let epoch: i64 = self.rig.database.value("SELECT epoch FROM active_instance").await;
                self.workers[one].signal(Signal::STOP);
                tokio::time::sleep(STOPPED).await;
                if fault == Fault::StopLeader {
                    // another one leads before it wakes, however slow the machine is
                    self.rig.database.until(&format!("SELECT epoch > {epoch} FROM active_instance")).await;
                }
                self.workers[one].signal(Signal::CONT);
            }
            Fault::Terminate => {
                self.workers[one].signal(Signal::TERM);
                let code = self.workers[one].ended().await.code();
                assert!(matches!(code, Some(0 | 10 | 11)), "{code:?}");
                self.workers[one] = self.worker(NAMES[one]);
            }
            Fault::Postmaster => {
                let server = self.server.take().expect("put back below");
                self.server = Some(restarted(server).await);
            }
            Fault::Cut => {
                let before = Statement::ALL.map(|statement| self.struck(statement));
                for statement in Statement::ALL {
                    let mut cuts = Cut::ALL;
                    self.random.shuffle(&mut cuts);
                    self.proxy.strike(statement, cuts);
                }
                // else the run may end before they bite
                let is_cut = |(statement, before)| self.struck(statement) > before;
                eventually("each statement is cut", || Statement::ALL.into_iter().zip(before).all(is_cut)).await;
            }
            Fault::Away => {
                self.proxy.weather(Weather::Away);
                tokio::time::sleep(Duration::from_millis(self.random.u64(100..4000))).await;
                self.proxy.weather(Weather::Clear);
            }
            Fault::HalfOpen => {
                let names = ["claim", "settle", "watch", "schedule", "heartbeat", "listen"];
                self.proxy.freeze(&format!("longshore {}", names[self.random.usize(..names.len())]));
            }
            Fault::Slow => {
                self.proxy.weather(Weather::Slow(Duration::from_millis(self.random.u64(50..600))));
                tokio::time::sleep(Duration::from_millis(1500)).await;
                self.proxy.weather(Weather::Clear);
            }
        }
        tokio::time::sleep(Duration::from_millis(self.random.u64(100..900))).await;
    }

    /// How often this statement was cut, anywhere.
    fn struck(&self, statement: Statement) -> u64 {
        Cut::ALL.map(|cut| self.proxy.struck(statement, cut)).iter().sum()
    }

    /// Which worker is the active instance. One that has just been lost is not: it renews no more.
    async fn leader(&self) -> usize {
        const RENEWED: &str = "SELECT lease_expires_at::text FROM active_instance";
        let seen: String = self.rig.database.value(RENEWED).await;
        let renewed = format!("SELECT lease_expires_at > '{seen}' AND lease_expires_at > now() FROM active_instance");
        self.rig.database.until(&renewed).await;
        let name: String = self
            .rig
            .database
            .value("SELECT workers.name FROM active_instance JOIN workers ON worker_id = identity")
            .await;
        NAMES.iter().position(|known| name == *known).expect("a worker of this run")
    }

    /// No more faults; a worker that has given up would not come back by itself.
    async fn calm(&mut self) {
        self.proxy.clear();
        // each tick until here counts, and none comes after all has ended
        self.rig.database.run("UPDATE schedules SET paused = true").await;
        for (worker, name) in self.workers.iter_mut().zip(NAMES) {
            assert!(worker.is_running(), "worker {name} ended by itself");
        }
        // twice as long as one wait: half-open links and thousands of tasks are to be got over
        let since = Instant::now();
        let open = "SELECT count(*) FROM tasks WHERE status NOT IN ('complete', 'terminated')";
        while self.rig.database.value::<i64>(open).await > 0 && since.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        println!("chaos: all had ended {:.1} s after the last fault", since.elapsed().as_secs_f64());
    }

    /// No process, no claim, no worker's row.
    async fn nothing_is_left(&mut self) {
        for worker in &mut self.workers {
            worker.signal(Signal::TERM);
            assert_eq!(worker.ended().await.code(), Some(0));
        }
        eventually("no process is left", || self.rig.processes().is_empty()).await;
        // a row of a killed worker goes with the next rescue, which needs a worker
        let held: bool = self.rig.database.value("SELECT EXISTS (SELECT FROM claims)").await;
        assert!(!held);
    }

    /// Shows that the faults have really happened.
    async fn report(&self, acknowledged: usize) {
        let count = |sql: &'static str| self.rig.database.value::<i64>(sql);
        let rescues = count("SELECT count(*) FROM history WHERE rescued").await;
        let retries = count("SELECT count(*) FROM history WHERE before = 'running' AND after = 'queued'").await;
        let terminated = count("SELECT count(*) FROM tasks WHERE status = 'terminated'").await;
        let (lost, begun) = (self.rig.tallied("stop:Lost").len(), self.rig.tallied("begin").len());
        let cuts = Statement::ALL.map(|statement| (statement, self.struck(statement)));
        let suspensions = count("SELECT count(*) FROM history WHERE before = 'running' AND after = 'requested'").await;
        let failed = count("SELECT count(*) FROM tasks WHERE result_reason = 'predecessor_failed'").await;
        let bubbled = count(
            "SELECT count(*) FROM tasks WHERE status = 'complete' AND has_subtasks AND result_status <> 'success'",
        )
        .await;
        let ended_trees = count("SELECT count(*) FROM tasks WHERE status = 'terminated' AND has_subtasks").await;
        let fired = count("SELECT count(*) FROM schedule_ticks WHERE outcome = 'fired'").await;
        let skipped = count("SELECT count(*) FROM schedule_ticks WHERE outcome = 'skipped'").await;
        let replaced = count("SELECT count(*) FROM tasks WHERE terminated_by = 'schedule replace'").await;
        let epochs = count("SELECT epoch FROM active_instance").await;
        println!(
            "chaos: {suspensions} times a task waited for its subtasks, {failed} ended for a predecessor, {bubbled} \
             parents took failures, {ended_trees} parents terminated; {fired} ticks fired, {skipped} skipped, \
             {replaced} tasks replaced, {epochs} terms of leaders"
        );
        println!(
            "chaos: {acknowledged} tasks, {begun} executions, {retries} times back to the queue, {rescues} of \
             them by rescue, {lost} executors told \
             that they lost, {terminated} terminated; cuts {cuts:?}; faults {:?}",
            self.done
        );
        for fault in Fault::ALL {
            assert!(self.done.get(&fault).is_some_and(|times| *times > 0), "{fault:?} never came");
        }
        assert!(acknowledged > 100 && begun > 100 && retries > 0);
        assert!(cuts.iter().all(|(_, cuts)| *cuts > 0), "a statement was never cut");
        assert!(rescues > 0, "no task was rescued: the faults did not bite");
        assert!(suspensions > 0 && failed > 0 && bubbled > 0 && ended_trees > 0, "trees met nothing");
        assert!(fired > 20 && skipped > 0 && replaced > 0, "schedules met nothing");
        assert!(epochs >= 3, "the leader never changed");
    }
}
