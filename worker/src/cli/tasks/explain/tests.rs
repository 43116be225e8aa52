use longshore_queue::{Standing, WorkerLine, WorkerQueue};

use super::reasons::{Facts, reasons};

/// A due task that nothing holds up, at a worker with room.
fn facts() -> Facts {
    let served = WorkerQueue {
        queue: "mail".to_owned(),
        actions: vec!["send".to_owned()],
        slots: 4,
        running: 0,
        free_slots: 4,
        claimed_per_second: 0.0,
        finished_per_second: 0.0,
    };
    let worker = WorkerLine {
        worker_id: uuid::Uuid::nil(),
        name: "w".to_owned(),
        version: "1".to_owned(),
        state: "working".to_owned(),
        started_at: chrono::DateTime::UNIX_EPOCH,
        heartbeat_age_seconds: 1.0,
        lease_seconds: 15.0,
        draining_since: None,
        leads: true,
        queues: vec![served],
    };
    let task = Standing {
        queue: "mail".to_owned(),
        action: "send".to_owned(),
        status: "queued".to_owned(),
        result_status: "incomplete".to_owned(),
        result_reason: None,
        result_message: None,
        attempt: 0,
        max_attempts: 20,
        priority: 5,
        run_at: chrono::DateTime::UNIX_EPOCH,
        due_in_seconds: -1.0,
        started_at: None,
        finished_at: None,
        terminated_at: None,
        terminated_by: None,
        waits_for: None,
        predecessors: Vec::new(),
        holder_id: None,
        holder_name: None,
        holder_silent_seconds: None,
        holder_lease_seconds: None,
        is_held: false,
    };
    Facts { workers: vec![worker], ..Facts::of(task) }
}

/// What is said once these facts are changed so.
fn told(change: impl FnOnce(&mut Facts)) -> String {
    let mut facts = facts();
    change(&mut facts);
    reasons(&facts).into_iter().map(|reason| format!("{}: {}\n", reason.code, reason.message)).collect()
}

#[test]
fn each_reason_names_its_values_and_the_remedy() {
    assert_eq!(told(|_| ()), "due: nothing holds it up: it is claimed at the next look, within a second\n");
    assert_eq!(
        told(|facts| facts.workers.clear()),
        "no_worker: no worker runs: start one (longshore worker) that serves queue \"mail\"\n"
    );
    assert_eq!(
        told(|facts| facts.workers[0].state = "draining".to_owned()),
        "no_worker: the only worker drains: start one (longshore worker) that serves queue \"mail\"\n"
    );
    assert_eq!(
        told(|facts| facts.task.queue = "slow".to_owned()),
        "no_worker_of_queue: the only live worker does not serve queue \"slow\" (it serves mail): add a section \
         [queues.slow] to a worker's configuration\n"
    );
    assert_eq!(
        told(|facts| facts.task.action = "resize".to_owned()),
        "unknown_action: the only live worker of queue \"mail\" does not know action \"resize\" (it knows send): add \
         a section [actions.resize] to a worker's configuration\n"
    );
    assert_eq!(
        told(|facts| {
            facts.workers[0].queues[0].free_slots = 0;
            facts.ahead = 7;
        }),
        "slots_full: all 4 slots of the only live worker that knows action \"send\" in queue \"mail\" are busy: wait, \
         raise queues.mail.concurrency, or start more workers\n\
         behind_others: 7 due tasks are before it in queue \"mail\": a smaller priority than 5 goes first\n"
    );
    assert_eq!(
        told(|facts| {
            facts.task.due_in_seconds = 90.0;
            facts.task.attempt = 2;
            facts.task.result_reason = Some("exit".to_owned());
        }),
        "retry_due: after attempt 2 of 20 (exit) it is due again at 1970-01-01T00:00:00Z, in 1m 30s\n"
    );
}

#[test]
fn a_worker_of_an_earlier_version_is_not_said_to_serve_nothing() {
    assert_eq!(told(|facts| facts.workers[0].queues.clear()).split(':').next(), Some("due"));
}

#[test]
fn a_held_task_is_as_safe_as_its_holders_heartbeat() {
    let held = |silent: Option<f64>| {
        told(|facts| {
            facts.task.status = "running".to_owned();
            facts.task.attempt = 1;
            facts.task.holder_name = silent.map(|_| "w".to_owned());
            facts.task.holder_silent_seconds = silent;
            facts.task.holder_lease_seconds = silent.map(|_| 15.0);
        })
    };
    assert_eq!(held(Some(1.0)), "running: it runs: attempt 1 of 20, at worker w\n");
    assert_eq!(
        held(Some(9.0)),
        "held_by_silent_worker: attempt 1 of 20 is held by worker w, which has not reported for 9s: its lease runs \
         out in 6s, and then the task is given to another\n"
    );
    assert!(held(Some(20.0)).contains("its lease ran out 5s ago"));
    assert!(held(None).starts_with("held_by_lost_worker: "));
}

#[test]
fn several_workers_are_spoken_of_in_the_plural_and_one_slot_in_the_singular() {
    let two = |facts: &mut Facts| facts.workers.push(facts.workers[0].clone());
    let drain = told(|facts| {
        facts.workers[0].state = "draining".to_owned();
        two(facts);
    });
    assert!(drain.starts_with("no_worker: all 2 workers drain: "), "{drain}");
    let none = told(|facts| {
        facts.task.queue = "slow".to_owned();
        two(facts);
    });
    assert!(none.contains(": none of 2 live workers serves queue \"slow\" (they serve mail): "), "{none}");
    let full = told(|facts| {
        facts.workers[0].queues[0].free_slots = 0;
        facts.workers[0].queues[0].slots = 1;
        facts.ahead = 1;
    });
    assert!(full.contains(": the only slot of the only live worker that knows action \"send\""), "{full}");
    assert!(full.contains("in queue \"mail\" is busy: ") && full.contains(": 1 due task is before it"), "{full}");
}

#[test]
fn a_remedy_is_one_that_a_shell_and_a_configuration_take_whatever_the_queue_is_called() {
    let name = "a b'; rm -rf ~";
    let told = told(|facts| {
        facts.task.queue = name.to_owned();
        facts.pauses.push(longshore_queue::Pause {
            queue: Some(name.to_owned()),
            action: None,
            reason: None,
            paused_at: chrono::DateTime::UNIX_EPOCH,
            paused_by: "ann".to_owned(),
            until: None,
        });
    });
    assert!(told.contains(r"`longshore queues resume 'a b'\''; rm -rf ~'` ends that"), "{told}");
    assert!(told.contains("add a section [queues.\"a b'; rm -rf ~\"] to"), "{told}");
}
