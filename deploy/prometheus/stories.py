"""Failures, each caused for real on a fleet of its own, and which alerts are to fire when: each story says it.

A story is a database, its workers and what happens to them. `after` names exactly the alerts that fire at that moment.
Minutes pass as they pass: nothing is scaled.
"""

import asyncio
import signal
import time

from rig import Worker, until

CONFIG = """
[queues.default]
concurrency = {slots}
[actions.noop]
executor = "noop"
[actions.nap]
executor = "command"
argv = ["sleep", "2"]
[actions.hang]
executor = "command"
argv = ["sleep", "7200"]
timeout = "3h"
[actions.flaky]
executor = "command"
argv = ["false"]
retry = {{ base = "1s", factor = 1.0, max = "1s" }}
{more}
"""


class Story:
    """What a story does, and when what was expected: (time, alerts)."""

    def __init__(self, name, tell, postgres, fleet):
        self.name, self.tell, self.postgres, self.fleet = name, tell, postgres, fleet
        self.job = f"longshore-{name}"
        self.expected, self.sessions, self.began = [], [], None

    async def run(self):
        await self.postgres.installation(self.name)
        await self.tell(self)
        for session in self.sessions:
            session.kill()

    async def worker(self, name, slots=4, more="", database=None):
        worker = Worker(self.job, name, self.postgres, database or self.name, CONFIG.format(slots=slots, more=more))
        await self.fleet.start(worker)
        return worker

    async def two(self, **options):
        first = await self.worker("worker-1", **options)
        await asyncio.sleep(2)
        return first, await self.worker("worker-2", **options)

    async def sql(self, text):
        return await self.postgres.psql(self.name, text)

    def session(self, text):
        """SQL that goes on beside the story, until it ends or the session is killed."""
        script = self.postgres.rig.folder / f"{self.name}-{len(self.sessions)}.sql"
        script.write_text(text)
        session = self.postgres.rig.start(
            f"{self.name}-sql-{len(self.sessions)}",
            [f"{self.postgres.bin}/psql", "-Xq", "-h", str(self.postgres.folder), "-U", "owner", "-d", self.name, "-f", script])
        self.sessions.append(session)
        return session

    async def calm(self):
        """Puts a light load on, and returns it once three minutes have passed without an alert."""
        load = self.load()
        await self.after(3)
        return load

    def load(self, action="noop", count=2, seconds=1):
        """So many tasks every so many seconds."""
        return self.session(
            f"INSERT INTO tasks (action, max_attempts) SELECT '{action}', 2 FROM generate_series(1, {count}) \\watch {seconds}\n")

    async def holds_tasks(self, worker):
        async def holds():
            held = f"SELECT EXISTS (SELECT FROM claims JOIN workers USING (worker_id) WHERE name = '{worker.name}')"
            return await self.sql(held) == "t"

        await until(f"{worker.name} holds tasks", holds)

    async def gave_up(self):
        """Whether no task of the action poison is open."""
        return await self.sql("SELECT NOT EXISTS (SELECT FROM tasks WHERE action = 'poison' AND status <> 'complete')") == "t"

    async def minutes(self, minutes):
        await asyncio.sleep(minutes * 60)

    async def after(self, minutes, *alerts):
        """So many minutes later exactly these fire."""
        await self.minutes(minutes)
        self.expected.append((time.time(), {f"Longshore{alert}" for alert in alerts}))


async def healthy(story):
    """Nothing is wrong: a burst, a leader that is stopped for less than its lease, and a rolling restart."""
    first, second = await story.two()
    await story.sql("INSERT INTO schedules (name, every, action) VALUES ('often', '10 s', 'noop')")
    await story.calm()
    await story.sql("INSERT INTO tasks (action) SELECT 'noop' FROM generate_series(1, 2000)")
    await story.minutes(1)
    first.signal(signal.SIGSTOP)
    await asyncio.sleep(8)
    first.signal(signal.SIGCONT)
    await story.minutes(2)
    for worker in (first, second):
        await worker.end()
        await story.fleet.start(worker)
    await story.after(4)


async def overloaded(story):
    """Twice as much comes as two slots of two seconds each can do."""
    await story.two(slots=1)
    light = await story.calm()
    light.kill()
    heavy = story.load("nap")
    await story.after(5, "StartsLateFast", "StartsLateSlowly")
    heavy.kill()
    await story.sql("UPDATE tasks SET terminate = true WHERE status = 'queued'")
    story.load()
    await story.after(7, "StartsLateSlowly")


async def slow_producer(story):
    """One task of eight becomes visible 45 s after it is due: its producer's transaction stays open."""
    await story.two()
    await story.calm()
    story.session("INSERT INTO tasks (action) SELECT 'noop' FROM generate_series(1, 13), pg_sleep(45) \\watch 0.1\n")
    await story.after(9, "StartsLateSlowly")


async def unknown_action(story):
    """Tasks wait whose action no worker knows any more, and nothing else is to be done."""
    await story.two()
    load = await story.calm()
    load.kill()
    await story.sql("INSERT INTO tasks (action) SELECT 'resize' FROM generate_series(1, 5)")
    await story.after(14, "QueueStuck", "OldTask")
    await story.worker("worker-3", more='[actions.resize]\nexecutor = "noop"')
    await story.after(3)


async def paused(story):
    """Somebody has paused the queue, and its tasks wait for minutes."""
    await story.two()
    load = await story.calm()
    load.kill()
    await story.sql("INSERT INTO pauses (queue, reason) VALUES ('default', 'a release')")
    await story.sql("INSERT INTO tasks (action) SELECT 'noop' FROM generate_series(1, 5)")
    await story.after(13)
    await story.sql("DELETE FROM pauses")
    await story.after(2)


async def hung(story):
    """What all slots run does not end."""
    await story.two()
    load = await story.calm()
    load.kill()
    await story.sql("INSERT INTO tasks (action) SELECT 'hang' FROM generate_series(1, 10)")
    await story.after(14, "QueueSaturated", "OldTask")
    await story.after(9.5, "QueueSaturated", "OldTask", "NothingEnds")
    await story.sql("UPDATE tasks SET terminate = true WHERE action = 'hang'")
    await story.calm()


async def failing(story):
    """The program of one action exits 1; its tasks have two attempts."""
    await story.two()
    await story.calm()
    flaky = story.load("flaky", count=1)
    await story.after(8, "TasksFail", "TasksRetry")
    flaky.kill()
    await story.after(17)


async def no_leader(story):
    """The workers' role has lost the right to take the lead."""
    await story.two()
    await story.calm()
    columns = "UPDATE (identity, epoch, lease_expires_at) ON active_instance"
    await story.sql(f"REVOKE {columns} FROM longshore_worker")
    await story.after(7, "NoLeader", "DatabaseErrors")
    await story.sql(f"GRANT {columns} TO longshore_worker")
    await story.after(7)


async def stuck_leader(story):
    """The leader leads, and may not bury the dead nor rescue what they held."""
    await story.two()
    await story.calm()
    await story.sql("REVOKE DELETE ON workers FROM longshore_worker")
    await story.after(8, "LeaderStuck", "DatabaseErrors")
    await story.sql("GRANT DELETE ON workers TO longshore_worker")
    await story.after(7)


async def no_upkeep(story):
    """The leader may not keep up the partitions."""
    await story.two()
    await story.calm()
    functions = await story.sql("SELECT string_agg(oid::regprocedure::text, ', ') FROM pg_proc WHERE proname = 'upkeep_step'")
    await story.sql(f"REVOKE EXECUTE ON FUNCTION {functions} FROM longshore_worker, PUBLIC")
    await story.after(18, "MaintenanceStale")
    await story.sql(f"GRANT EXECUTE ON FUNCTION {functions} TO longshore_worker")
    await story.after(3)


async def two_leaders(story):
    """Two databases behind one name."""
    await story.two()
    await story.calm()
    await story.postgres.installation("two_leaders_other")
    other = await story.worker("worker-3", database="two_leaders_other")
    await story.after(4, "TwoLeaders")
    await other.end()
    story.fleet.remove(other)
    await story.after(2)


async def snapshot(story):
    """Somebody's transaction stays open while a hundred thousand tasks are worked off."""
    await story.two()
    await story.calm()
    report = story.session("BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT count(*) FROM workers;\nSELECT pg_sleep(7200);\n")
    bulk = story.load(count=3000, seconds=5)
    await story.minutes(3)
    bulk.kill()
    await story.after(11, "OldSnapshot", "DeadRows")
    report.kill()
    await story.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(7200)%' AND pid <> pg_backend_pid()")
    await story.sql("VACUUM tasks")
    await story.after(3)


async def postgres_away(story):
    """The server is killed, and comes back after minutes."""
    await story.two()
    await story.sql(
        "INSERT INTO schedules (name, every, action, missed) VALUES ('once', '10 s', 'noop', 'once'), ('all', '10 s', 'noop', 'all')")
    await story.calm()
    story.postgres.kill()
    await story.after(9, "DatabaseUnreachable", "HeartbeatStale", "NoLeader", "ListenerDown", "DatabaseErrors")
    await story.postgres.start()
    story.load()
    await story.after(7, "SchedulesLate")
    await story.after(11)


async def killed(story):
    """A worker is killed with tasks in its hands, comes back, and is killed for good."""
    _, second = await story.two()
    story.load("nap", count=3, seconds=2)
    await story.after(3)
    await story.holds_tasks(second)
    second.kill()
    await story.minutes(1)
    await story.fleet.start(second)
    await story.minutes(1)
    await story.holds_tasks(second)
    second.kill()
    await story.after(7, "WorkersDie", "TargetDown", "WorkersFew")
    await story.fleet.start(second)
    await story.after(3, "WorkersDie")
    await story.after(14)


async def poison(story):
    """Two tasks kill the worker that runs them, which is started again each time."""
    await story.worker("worker-1")
    await asyncio.sleep(2)
    # by its process id: what a task's program can do to its worker
    victim = await story.worker(
        "worker-2", more='[queues.risky]\n[actions.poison]\nexecutor = "command"\nargv = ["sh", "-c", "kill -9 $PPID"]\nqueues = ["risky"]')
    await story.calm()
    for _ in range(2):
        await story.sql("INSERT INTO tasks (action, queue, max_attempts) VALUES ('poison', 'risky', 2)")
        for _ in range(2):
            await until("the worker is killed", lambda: victim.child.poll() is not None, 120)
            await story.fleet.start(victim)
        await until("the task is given up", lambda: story.gave_up(), 120, 1)
    await story.after(2, "TaskKillsWorkers", "WorkersDie")


async def all_down(story):
    """All workers are killed, and started again."""
    workers = await story.two()
    load = await story.calm()
    load.kill()
    await asyncio.sleep(3)
    for worker in workers:
        worker.kill()
    await story.after(4, "Down")
    await story.after(3, "Down", "TargetDown")
    for worker in workers:
        await story.fleet.start(worker)
    await story.after(3)


async def no_listening(story):
    """Something ends the sessions that listen, again and again."""
    await story.two()
    await story.calm()
    ending = story.session(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'longshore listen' \\watch 0.5\n")
    await story.after(8, "ListenerDown")
    ending.kill()
    await story.after(7)


# Those on a server of their own last.
TOLD = [healthy, overloaded, slow_producer, unknown_action, paused, hung, failing, no_leader, stuck_leader, no_upkeep, two_leaders, snapshot,
        killed, poison, all_down, no_listening, postgres_away]
OWN_SERVER = {postgres_away}
