//! What only one worker of the fleet does: the active instance fires schedules, rescues, prunes and counts. Every write
//! proves the lead to the database, so a leader that was paused past its lease changes nothing when it wakes.

mod gauges;

use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_queue::{
    Leadership, Result, Retention, UpkeepAction, abdicate, analyze_tables, changes, depths, fleet as count_fleet, lead,
    oldest_snapshot, orphaned_queues, pauses, prune_build_data, rescue, rescue_trees, table_health, upkeep_step,
};
use metrics::{gauge, histogram};
use uuid::Uuid;

use crate::fleet::{Fleet, Phase};
use crate::link::{Link, step};
use crate::scheduler::gauges::Gauges;
use crate::ticker::Ticker;

/// How often dead workers are looked for: a killed worker's tasks run again within its lease plus this.
const RESCUE_INTERVAL: Duration = Duration::from_millis(3500);

/// How often the tasks of trees are looked for that dead workers held and that do not run again.
const RESCUE_TREES_INTERVAL: Duration = Duration::from_secs(60);

/// How often waiting tasks are counted, unless that is dear.
const COUNT_INTERVAL: Duration = Duration::from_secs(30);

/// Counting may use this part of a core.
const COUNT_PACE: u32 = 50;

/// How often the tables are weighed.
const WEIGH_INTERVAL: Duration = Duration::from_secs(60);

/// Rows counted a queue, priority and state at most.
const COUNT_MAX: i32 = 100_000;

/// How often upkeep of the partitions looks for something to do.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The pause between two steps of upkeep: it takes its time, claims come first.
const UPKEEP_STEP: Duration = Duration::from_millis(100);

/// The pause after a step that somebody's lock or snapshot held up.
const UPKEEP_HELD_UP: Duration = Duration::from_secs(10);

/// How often the partitioned tables are analyzed.
const ANALYZE_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// How often build data is looked through for what has expired.
const BUILD_DATA_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// The active instance, or a candidate for it.
pub(crate) struct Scheduler {
    fleet: Arc<Fleet>,
    link: Link,
    leads: Option<Leadership>,
    /// Until when others let the lead alone: a lease from when it was last asked for.
    leads_until: Instant,
    lead_due: Instant,
    rescue_due: Instant,
    rescue_trees_due: Instant,
    count_due: Instant,
    weigh_due: Instant,
    upkeep_due: Instant,
    analyze_due: Instant,
    retention: Retention,
    /// Ended tasks removed since that was last told.
    pruned: u64,
    ticker: Ticker,
    build_data_due: Instant,
    /// `None`: kept for ever.
    build_data_retention: Option<Duration>,
    gauges: Gauges,
}

impl Scheduler {
    pub(crate) fn new(fleet: &Arc<Fleet>, retention: Retention, build_data: Option<Duration>) -> Self {
        let now = Instant::now();
        Self {
            fleet: Arc::clone(fleet),
            link: fleet.link("schedule"),
            leads: None,
            leads_until: now,
            lead_due: now,
            rescue_due: now,
            rescue_trees_due: now,
            count_due: now,
            weigh_due: now,
            // a new leader, or a fleet that just starts, has more urgent things to do
            upkeep_due: now + UPKEEP_HELD_UP,
            analyze_due: now + UPKEEP_INTERVAL,
            retention,
            pruned: 0,
            // as long as the longest that a task is kept
            ticker: Ticker::new(fleet, retention.success.max(retention.other)),
            build_data_due: now + UPKEEP_INTERVAL,
            build_data_retention: build_data,
            gauges: Gauges::new(fleet),
        }
    }

    /// Schedules until the worker drains, then gives the lead up. An error has been logged and waited for by the link.
    pub(crate) async fn run(mut self) {
        while self.fleet.phase() < Phase::Draining {
            if self.turn().await.is_err() {
                // who cannot reach the database does not know whether it leads, and past its lease does not say so
                self.lead_due = Instant::now();
                if self.leads.is_some() && self.lead_due >= self.leads_until {
                    tracing::warn!("the lead could not be renewed within its lease");
                    self.lost();
                }
            }
            let due = match self.leads {
                Some(_) => {
                    let singletons = [
                        self.rescue_due,
                        self.count_due,
                        self.weigh_due,
                        self.upkeep_due,
                        self.analyze_due,
                        self.ticker.due(),
                    ];
                    let build_data = self.build_data_retention.map(|_| self.build_data_due);
                    singletons.into_iter().chain(build_data).fold(self.lead_due, Instant::min)
                }
                None => self.lead_due,
            };
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                () = self.fleet.edited.notified() => self.ticker.look_soon(),
                () = self.fleet.reached(Phase::Draining) => {}
            }
        }
        if let Some(leadership) = self.leads {
            step!(self.link, db => abdicate(db, leadership)).ok();
            self.lost();
        }
        self.link.close().await;
    }

    async fn turn(&mut self) -> Result<()> {
        if Instant::now() >= self.lead_due {
            self.lead().await?;
        }
        let Some(leadership) = self.leads else { return Ok(()) };
        self.ticker.turn(&mut self.link, leadership).await?;
        if Instant::now() >= self.rescue_due {
            self.rescue_due = Instant::now() + RESCUE_INTERVAL;
            self.rescue(leadership).await?;
        }
        if Instant::now() >= self.count_due {
            let began = Instant::now();
            let counted = self.count().await;
            // one that fails is as dear, and must not keep the rest of the turn away for ever
            self.count_due = Instant::now() + (began.elapsed() * COUNT_PACE).max(COUNT_INTERVAL);
            counted?;
        }
        if Instant::now() >= self.weigh_due {
            self.weigh_due = Instant::now() + WEIGH_INTERVAL;
            self.weigh().await?;
        }
        if Instant::now() >= self.upkeep_due {
            self.upkeep_due = Instant::now() + UPKEEP_HELD_UP;
            self.upkeep_due = Instant::now() + self.upkeep(leadership).await?;
        }
        if let Some(retention) = self.build_data_retention
            && Instant::now() >= self.build_data_due
        {
            self.build_data_due = Instant::now() + BUILD_DATA_INTERVAL;
            self.prune_build_data(leadership, retention).await?;
        }
        if Instant::now() >= self.analyze_due {
            self.analyze_due = Instant::now() + ANALYZE_INTERVAL;
            let began = Instant::now();
            if step!(self.link, db => analyze_tables(db, leadership))? {
                self.maintained("analyze", began);
            }
        }
        Ok(())
    }

    /// Deletes build data that has expired; each call looks at a bounded part.
    async fn prune_build_data(&mut self, leadership: Leadership, retention: Duration) -> Result<()> {
        let (began, mut walked_to, mut deleted) = (Instant::now(), Some(Uuid::nil()), 0);
        while let Some(from) = walked_to {
            let pruned = step!(self.link, db => prune_build_data(db, leadership, retention, from))?;
            deleted += pruned.deleted;
            walked_to = pruned.next;
            if Instant::now() >= self.lead_due {
                // the lead comes first; the rest goes the next time
                break;
            }
        }
        self.gauges.build_data_pruned.increment(u64::try_from(deleted).unwrap_or(0));
        self.maintained("prune_build_data", began);
        Ok(())
    }

    /// Renews the lead, or takes it when it is free; a candidate comes back when the lease it saw has run out.
    async fn lead(&mut self) -> Result<()> {
        let (identity, lease) = (self.fleet.worker_id, self.fleet.lease);
        let asked = Instant::now();
        let seen = step!(self.link, db => lead(db, identity, lease))?;
        if seen.leads {
            self.leads_until = asked + lease;
            self.lead_due = Instant::now() + lease / 3;
            if self.leads.is_none() {
                tracing::info!(epoch = seen.epoch, "this worker is the active instance");
                self.gauges.leader.set(1.0);
                self.gauges.changes.increment(1);
            }
            self.leads = Some(Leadership { identity, epoch: seen.epoch });
        } else {
            let remaining = Duration::try_from_secs_f64(seen.remaining).unwrap_or_default();
            self.lead_due = Instant::now() + remaining.min(lease) + Duration::from_millis(100 + fastrand::u64(..400));
            if self.leads.is_some() {
                tracing::warn!(epoch = seen.epoch, "another worker is the active instance");
                self.lost();
            }
            self.gauges.leader.set(0.0);
        }
        Ok(())
    }

    /// No longer the active instance: its gauges say nothing any more.
    fn lost(&mut self) {
        self.leads = None;
        self.gauges.leader.set(0.0);
        self.gauges.changes.increment(1);
        self.gauges.say_nothing();
    }

    async fn rescue(&mut self, leadership: Leadership) -> Result<()> {
        let began = Instant::now();
        loop {
            let mut rescued = Vec::new();
            for queue in step!(self.link, db => orphaned_queues(db, leadership, self.fleet.worker_id))? {
                rescued.extend(step!(self.link, db => rescue(db, leadership, self.fleet.worker_id, &queue))?);
            }
            if !rescued.is_empty() || began >= self.rescue_trees_due {
                rescued.extend(step!(self.link, db => rescue_trees(db, leadership, self.fleet.worker_id))?);
            }
            if rescued.is_empty() {
                break;
            }
            tracing::warn!(tasks = rescued.len(), "tasks of dead workers are given back");
            let ended = rescued.iter().filter(|task| task.status != "queued").map(|task| task.task_id);
            let ended: Vec<Uuid> = ended.filter(|_| self.fleet.journal.asks()).collect();
            if !ended.is_empty() {
                for change in step!(self.link, db => changes(db, &ended))? {
                    self.fleet.journal.changed(&change);
                }
            }
            for task in rescued {
                self.fleet.journal.rescued(&task);
                self.gauges.rescued(&task.queue, task.status == "queued");
            }
            for lane in &self.fleet.lanes {
                lane.rescued.notify_one();
            }
        }
        if began >= self.rescue_trees_due {
            self.rescue_trees_due = began + RESCUE_TREES_INTERVAL;
        }
        self.maintained("rescue", began);
        Ok(())
    }

    /// Takes one step of upkeep of the partitions; the pause until the next.
    async fn upkeep(&mut self, leadership: Leadership) -> Result<Duration> {
        let began = Instant::now();
        let step = step!(self.link, db => upkeep_step(db, leadership, self.retention))?;
        self.maintained("prune", began);
        if step.action.goes_on() {
            tracing::debug!(partition = step.partition, action = ?step.action, tasks = step.tasks, "upkeep");
        }
        match step.action {
            UpkeepAction::Thin | UpkeepAction::Drop => {
                let pruned = u64::try_from(step.tasks).unwrap_or(0);
                self.gauges.pruned.increment(pruned);
                self.pruned += pruned;
            }
            UpkeepAction::NotActive => self.lead_due = Instant::now(),
            _ => {}
        }
        if !step.action.goes_on() && self.pruned > 0 {
            tracing::info!(tasks = std::mem::take(&mut self.pruned), "ended tasks were pruned");
        }
        Ok(match step.action {
            UpkeepAction::Nothing | UpkeepAction::NotActive => UPKEEP_INTERVAL,
            action if action.goes_on() => UPKEEP_STEP,
            _ => UPKEEP_HELD_UP,
        })
    }

    async fn count(&mut self) -> Result<()> {
        let queues: Vec<String> = self.fleet.lanes.iter().map(|lane| lane.queue.clone()).collect();
        let alive = step!(self.link, db => count_fleet(db))?.alive;
        self.gauges.alive.set(alive as f64);
        for depth in step!(self.link, db => depths(db, &queues, COUNT_MAX))? {
            self.gauges.depth(&depth);
        }
        self.gauges.paused(&step!(self.link, db => pauses(db))?);
        Ok(())
    }

    /// Weighs the tables, and looks for what keeps vacuum from them: what slows a queue on Postgres down in the end.
    async fn weigh(&mut self) -> Result<()> {
        self.gauges.oldest_xmin_age.set(step!(self.link, db => oldest_snapshot(db))?);
        for table in step!(self.link, db => table_health(db))? {
            let rows = (table.live_rows + table.dead_rows).max(1);
            let [bytes, dead] = self.gauges.of_table(&table.table_name);
            bytes.set(table.bytes as f64);
            dead.set(table.dead_rows as f64 / rows as f64);
        }
        Ok(())
    }

    /// Takes note of upkeep that went well.
    fn maintained(&self, task: &'static str, began: Instant) {
        let cell = &self.fleet.cell;
        histogram!("longshore_maintenance_seconds", "cell" => cell.clone(), "task" => task)
            .record(began.elapsed().as_secs_f64());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        gauge!("longshore_maintenance_last_success_timestamp_seconds", "cell" => cell.clone(), "task" => task)
            .set(now.as_secs_f64());
    }
}
