//! Producers, workers and faults at random, for a bounded time, and the judge afterwards.
//!
//! `LONGSHORE_CHAOS_SEED` repeats the choices of a run (its timing is the machine's), `LONGSHORE_CHAOS_SECONDS` makes it
//! longer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use longshore_postgres::{Server, Signal};
use longshore_queue::{NewTask, insert_many};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::outage::restarted;
use crate::proxy::{Cut, Proxy, Statement, Weather};
use crate::rig::{Process, Rig, Setup, eventually, own_server};
use crate::support::{Database, PATIENCE};

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
    Postmaster,
    Cut,
    Away,
    HalfOpen,
    Slow,
}

impl Fault {
    const ALL: [Self; 8] =
        [Self::Kill, Self::Stop, Self::Terminate, Self::Postmaster, Self::Cut, Self::Away, Self::HalfOpen, Self::Slow];
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
    let stop = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(produce(chaos.rig.database.clone(), chaos.random.fork(), Arc::clone(&stop))))
        .collect();

    let began = Instant::now();
    // each once, in some order; then whatever comes
    let mut first = Fault::ALL;
    chaos.random.shuffle(&mut first);
    let mut next = first.into_iter();
    while began.elapsed() < duration() {
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
    chaos.nothing_is_left().await;
    chaos.report(acknowledged.len()).await;
}

/// Inserts tasks of many kinds, and now and then ends one.
async fn produce(database: Database, mut random: Rng, stop: Arc<AtomicBool>) -> Vec<Uuid> {
    let mut acknowledged: Vec<Uuid> = Vec::new();
    let mut session: Option<PgConnection> = None;
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(random.u64(20..120))).await;
        let Some(mut open) = (match session.take() {
            Some(open) => Some(open),
            None => PgConnection::connect(&database.url).await.ok(),
        }) else {
            continue;
        };
        let some: Vec<NewTask> = (0..random.usize(1..8)).map(|_| task(&mut random)).collect();
        // an error leaves it open whether the tasks are there: such ones are not acknowledged
        let Ok(ids) = insert_many(&mut open, &some).await else { continue };
        acknowledged.extend(ids);
        if random.u8(..10) == 0 {
            let victim = acknowledged[random.usize(..acknowledged.len())];
            if longshore_queue::terminate(&mut open, victim, None).await.is_err() {
                continue;
            }
        }
        session = Some(open);
    }
    acknowledged
}

fn task(random: &mut Rng) -> NewTask {
    let action = ["noop", "work", "work", "work", "shell"][random.usize(..5)];
    // mostly short, some long enough to outlive their worker; some fail first, some are slow to stop
    let ms = if random.u8(..20) == 0 { random.u64(1000..6000) } else { random.u64(..150) };
    let payload = json!({
        "ms": ms,
        "say": random.u32(..4),
        "good_attempt": if random.u8(..5) == 0 { 2 } else { 1 },
        "deaf_ms": if random.u8(..10) == 0 { 1500 } else { 0 },
        "echo": random.bool(),
    });
    NewTask { priority: Some(random.i16(0..10)), max_attempts: Some(1000), ..NewTask::new(action).payload(payload) }
}

impl Chaos {
    fn worker(&self, name: &'static str) -> Process {
        let sections = "[actions.shell]\nexecutor = \"command\"\nargv = [\"sh\", \"-c\", \"echo begun; sleep 0.3; echo done\"]\n\
            retry = { base = \"0s\", factor = 1.0, max = \"1s\" }\n";
        self.rig.start(Setup {
            name,
            url: Some(self.proxy.url(&self.rig.database)),
            worker: format!("{LEASE}\nshutdown_deadline = \"2s\""),
            sections: sections.to_owned(),
            ..Setup::default()
        })
    }

    async fn throw(&mut self, fault: Fault) {
        *self.done.entry(fault).or_default() += 1;
        let one = self.random.usize(..self.workers.len());
        match fault {
            Fault::Kill => {
                self.workers[one].kill();
                self.workers[one] = self.worker(NAMES[one]);
            }
            Fault::Stop => {
                self.workers[one].signal(Signal::STOP);
                tokio::time::sleep(STOPPED).await;
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
                for statement in [Statement::Claim, Statement::Complete, Statement::Record, Statement::Requeue] {
                    let mut cuts = Cut::ALL;
                    self.random.shuffle(&mut cuts);
                    self.proxy.strike(statement, cuts);
                }
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

    /// No more faults; a worker that has given up would not come back by itself.
    async fn calm(&mut self) {
        self.proxy.clear();
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
        let struck: u64 = [Statement::Claim, Statement::Complete, Statement::Record, Statement::Requeue]
            .into_iter()
            .flat_map(|statement| Cut::ALL.map(|cut| self.proxy.struck(statement, cut)))
            .sum();
        println!(
            "chaos: {acknowledged} tasks, {begun} executions, {retries} times back to the queue, {rescues} of \
             them by rescue, {lost} executors told \
             that they lost, {terminated} terminated; {struck} cuts; faults {:?}",
            self.done
        );
        for fault in Fault::ALL {
            assert!(self.done.get(&fault).is_some_and(|times| *times > 0), "{fault:?} never came");
        }
        assert!(acknowledged > 100 && begun > 100 && retries > 0 && struck > 0);
        assert!(rescues > 0, "no task was rescued: the faults did not bite");
    }
}
