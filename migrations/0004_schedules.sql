-- Schedules: rows that say when which task is inserted, edited by SQL while workers run, and the ticks that came of
-- them.
--
-- Why: a task that comes every night is inserted once a night, by whichever worker is the active instance.
-- Locks: none that anybody waits for; everything here is new.
-- Undo: drop the tables schedules and schedule_ticks, the types schedule_* and tick_outcome, and the functions below.
--
-- Who does what. The active instance reads a row, computes in Rust which instants of it have come (cron expressions and
-- time zones are not SQL's), and hands them to tick_schedule, which inserts ticks and tasks in one transaction.
--
-- Why no tick has two tasks, or none. A tick is a row with the primary key (schedule, fire_at), inserted together with
-- its task. ticked_to moves with it, under the row's lock: what it has passed is decided, and what it has not passed
-- will be, by whoever leads then. Leadership is checked as well, but nothing rests on it. (Tests:
-- two_leaders_that_plan_the_same_tick_insert_one_task, a_clock_set_back_repeats_no_tick_and_loses_none.)

CREATE TYPE schedule_overlap AS ENUM ('skip', 'queue', 'replace');
CREATE TYPE schedule_missed AS ENUM ('once', 'all', 'none');
CREATE TYPE tick_outcome AS ENUM ('fired', 'skipped', 'missed');

CREATE TABLE schedules (
    name             text                  NOT NULL PRIMARY KEY
        CONSTRAINT schedule_name_is_1_to_128_bytes CHECK (octet_length(name) BETWEEN 1 AND 128),
    -- when: a cron expression of 5 fields, or 6 with seconds first, in a time zone; or an interval from starts_at on
    cron             text
        CONSTRAINT cron_has_5_or_6_fields CHECK (cron ~ '^(@[A-Za-z]+|[^[:space:]]+([[:space:]]+[^[:space:]]+){4,5})$')
        CONSTRAINT cron_is_at_most_256_bytes CHECK (octet_length(cron) <= 256),
    time_zone        text                  NOT NULL DEFAULT 'UTC',
    every            interval
        CONSTRAINT every_is_1_second_to_366_days CHECK (every BETWEEN interval '1 second' AND interval '366 days')
        -- months differ in length; a day is 24 hours here
        CONSTRAINT every_counts_no_months CHECK (extract(year FROM every) = 0 AND extract(month FROM every) = 0),
    starts_at        timestamptz           NOT NULL DEFAULT now()
        CONSTRAINT starts_at_is_between_2000_and_2200
        CHECK (starts_at >= '2000-01-01 00:00:00+00' AND starts_at < '2200-01-01 00:00:00+00'),
    -- what: the columns of the task
    action           task_action           NOT NULL,
    queue            task_queue            NOT NULL DEFAULT 'default',
    priority         task_priority         NOT NULL DEFAULT 5,
    payload          task_payload          NOT NULL DEFAULT '{}',
    design_ref       task_design_ref,
    node_filter      task_node_filter,
    request_context  jsonb
        CONSTRAINT schedule_request_context_is_an_object CHECK (jsonb_typeof(request_context) = 'object')
        -- the task's own, of at most 16 KiB, gets the tick as well
        CONSTRAINT schedule_request_context_is_at_most_15_kib CHECK (octet_length(request_context::text) <= 15360),
    max_attempts     task_max_attempts     NOT NULL DEFAULT 20,
    "timeout"        task_timeout,
    -- what else: a task of it is open still (overlap); ticks came too late (missed: by more than missed_after)
    overlap          schedule_overlap      NOT NULL DEFAULT 'skip',
    missed           schedule_missed       NOT NULL DEFAULT 'once',
    missed_max       smallint              NOT NULL DEFAULT 100
        CONSTRAINT missed_max_is_1_to_1000 CHECK (missed_max BETWEEN 1 AND 1000),
    missed_after     interval              NOT NULL DEFAULT '1 minute'
        CONSTRAINT missed_after_is_1_second_to_10_minutes
        CHECK (missed_after BETWEEN interval '1 second' AND interval '10 minutes'),
    paused           boolean               NOT NULL DEFAULT false,
    created          timestamptz           NOT NULL DEFAULT now(),
    created_by       task_created_by       NOT NULL DEFAULT session_user,
    -- the active instance's: counts edits, so that what was planned before one is not done after it
    revision         bigint                NOT NULL DEFAULT 0,
    -- all ticks up to here, included, are decided
    ticked_to        timestamptz           NOT NULL DEFAULT now(),
    -- when it has to be looked at next: the next tick, or another try where there is an error; NULL: not yet looked at
    next_at          timestamptz,
    -- why it does not fire, and what to do about it
    error            text,
    CONSTRAINT schedule_has_either_cron_or_every CHECK (num_nonnulls(cron, every) = 1)
-- no index on what a tick changes: ticks are HOT, and a look at all rows costs less than dead entries would
) WITH (fillfactor = 50);

-- What was decided. Kept as long as ended tasks are.
CREATE TABLE schedule_ticks (
    schedule    text          NOT NULL,
    fire_at     timestamptz   NOT NULL,
    -- fired: task_id is its task; skipped: a task of the schedule was open; missed: this one and those between it and
    -- the tick before it came too late and were passed over, as the schedule's `missed` says
    outcome     tick_outcome  NOT NULL,
    task_id     uuid,
    decided_at  timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (schedule, fire_at)
);
CREATE INDEX schedule_ticks_fire_at ON schedule_ticks (fire_at);

-- An edit -------------------------------------------------------------------------------------------------------------

-- Judges the time zone as far as the server knows; the active instance judges it and the expression once more. A change
-- of when, or the end of a pause, counts from now on: what has passed until then is not made up.
CREATE FUNCTION schedules_edit() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $edit$
DECLARE
    is_new boolean := TG_OP = 'INSERT';
BEGIN
    IF is_new OR NEW.time_zone <> OLD.time_zone THEN
        BEGIN
            PERFORM now() AT TIME ZONE NEW.time_zone;
        EXCEPTION WHEN invalid_parameter_value THEN
            RAISE EXCEPTION 'time zone % is not known', quote_literal(NEW.time_zone)
                USING ERRCODE = 'check_violation', TABLE = 'schedules', CONSTRAINT = 'time_zone_is_known',
                      HINT = 'Write a name of the IANA database, such as Europe/Berlin.';
        END;
    END IF;
    -- the channel of INSERTs: the active instance looks at the schedules, too
    PERFORM pg_notify('longshore.' || TG_TABLE_SCHEMA, '');
    IF is_new THEN
        RETURN NEW;
    END IF;
    NEW.revision := OLD.revision + 1;
    NEW.next_at := NULL;
    NEW.error := NULL;
    IF (NEW.cron, NEW.time_zone, NEW.every, NEW.starts_at)
            IS DISTINCT FROM (OLD.cron, OLD.time_zone, OLD.every, OLD.starts_at)
        OR OLD.paused AND NOT NEW.paused THEN
        NEW.ticked_to := now();
    END IF;
    RETURN NEW;
END
$edit$;

CREATE TRIGGER schedules_edit BEFORE INSERT OR UPDATE OF name, cron, time_zone, every, starts_at, action, queue,
    priority, payload, design_ref, node_filter, request_context, max_attempts, "timeout", overlap, missed, missed_max,
    missed_after, paused
ON schedules FOR EACH ROW EXECUTE FUNCTION schedules_edit();

-- A tick --------------------------------------------------------------------------------------------------------------

-- Decides one tick of a schedule whose row the caller has locked. No outcome: it was decided before.
CREATE FUNCTION fire_tick(
    of_schedule schedules, at_instant timestamptz, by_hand boolean, OUT outcome tick_outcome, OUT task_id uuid
) LANGUAGE plpgsql SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $fire$
DECLARE
    open_tasks uuid[] := '{}';
BEGIN
    IF of_schedule.overlap <> 'queue' THEN
        -- looks a hundred ticks back: so many tasks of one schedule are open at once only after another policy
        SELECT coalesce(array_agg(tasks.task_id), '{}') INTO open_tasks
        FROM (
            SELECT ticks.task_id FROM schedule_ticks AS ticks
            WHERE ticks.schedule = of_schedule.name AND ticks.task_id IS NOT NULL
            ORDER BY ticks.schedule, ticks.fire_at DESC LIMIT 100
        ) AS newest
        JOIN tasks ON tasks.task_id = newest.task_id
        WHERE tasks.status NOT IN ('complete', 'terminated');
    END IF;
    IF of_schedule.overlap = 'skip' AND cardinality(open_tasks) > 0 THEN
        outcome := 'skipped';
    ELSE
        outcome := 'fired';
        task_id := task_uuidv7();
    END IF;
    INSERT INTO schedule_ticks (schedule, fire_at, outcome, task_id)
    VALUES (of_schedule.name, at_instant, fire_tick.outcome, fire_tick.task_id)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        outcome := NULL;
        task_id := NULL;
        RETURN;
    END IF;
    IF outcome = 'skipped' THEN
        RETURN;
    END IF;
    PERFORM terminate_task(open_task, 'schedule ' || of_schedule.name) FROM unnest(open_tasks) AS open_task;
    INSERT INTO tasks (
        task_id, action, queue, priority, payload, design_ref, node_filter, request_context, max_attempts, "timeout",
        created_by
    )
    VALUES (
        fire_tick.task_id, of_schedule.action, of_schedule.queue, of_schedule.priority, of_schedule.payload,
        of_schedule.design_ref, of_schedule.node_filter,
        coalesce(of_schedule.request_context, '{}') || jsonb_build_object('schedule', jsonb_build_object(
            'name', of_schedule.name,
            'fire_at', to_char(at_instant AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'by_hand', by_hand)),
        of_schedule.max_attempts, of_schedule."timeout", of_schedule.created_by
    );
END
$fire$;

-- Decides the ticks of a schedule that have come, and moves on; for the active instance, which has computed them from
-- the row as it was at `revision` and `ticked_to`. Does nothing when the row has changed since, is paused, or is locked by
-- somebody who edits it. `missed_at` is the last of those that are passed over.
CREATE FUNCTION tick_schedule(
    identity uuid, epoch bigint, name text, revision bigint, ticked_to timestamptz, fire_ats timestamptz[],
    missed_at timestamptz, new_ticked_to timestamptz, next_at timestamptz
) RETURNS TABLE (fire_at timestamptz, outcome tick_outcome, task_id uuid, lag_seconds float8)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $tick$
#variable_conflict use_column
DECLARE
    found_schedule schedules;
BEGIN
    PERFORM assert_active(identity, epoch, true);
    SELECT s.* INTO found_schedule
    FROM schedules AS s
    WHERE s.name = tick_schedule.name
        AND s.revision = tick_schedule.revision
        AND s.ticked_to = tick_schedule.ticked_to
        AND NOT s.paused
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF missed_at IS NOT NULL THEN
        INSERT INTO schedule_ticks (schedule, fire_at, outcome) VALUES (tick_schedule.name, missed_at, 'missed')
        ON CONFLICT DO NOTHING;
        RETURN QUERY SELECT missed_at, 'missed'::tick_outcome, NULL::uuid, NULL::float8;
    END IF;
    RETURN QUERY
    SELECT given.fire_at, fired.outcome, fired.task_id, extract(epoch FROM now() - given.fire_at)::float8
    FROM unnest(fire_ats) WITH ORDINALITY AS given (fire_at, number)
    CROSS JOIN LATERAL fire_tick(found_schedule, given.fire_at, false) AS fired
    WHERE fired.outcome IS NOT NULL
    ORDER BY given.number;
    UPDATE schedules AS s
    SET ticked_to = new_ticked_to, next_at = tick_schedule.next_at, error = NULL
    WHERE s.name = tick_schedule.name;
END
$tick$;

-- Says why a schedule does not fire, for the active instance, which tries again after `retry_after`.
CREATE FUNCTION refuse_schedule(
    identity uuid, epoch bigint, name text, revision bigint, error text, retry_after interval
) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $refuse$
BEGIN
    PERFORM assert_active(identity, epoch, true);
    UPDATE schedules AS s
    SET error = refuse_schedule.error, next_at = now() + retry_after
    WHERE s.name = (
        SELECT l.name FROM schedules AS l
        WHERE l.name = refuse_schedule.name AND l.revision = refuse_schedule.revision
        FOR UPDATE SKIP LOCKED
    );
    RETURN FOUND;
END
$refuse$;

-- Inserts the task of a schedule now, paused or not; the schedule's own ticks go on as they would have. No row: there
-- is no such schedule. `skipped`: a task of it is open, and its overlap policy is to skip.
CREATE FUNCTION run_schedule(name text) RETURNS TABLE (outcome tick_outcome, task_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $run$
#variable_conflict use_column
DECLARE
    found_schedule schedules;
BEGIN
    SELECT s.* INTO found_schedule FROM schedules AS s WHERE s.name = run_schedule.name FOR UPDATE;
    IF FOUND THEN
        RETURN QUERY
        SELECT fired.outcome, fired.task_id FROM fire_tick(found_schedule, clock_timestamp(), true) AS fired;
    END IF;
END
$run$;

-- Deletes ticks older than `retention` whose task has ended or is gone, at most `batch`; for the active instance.
CREATE FUNCTION prune_ticks(identity uuid, epoch bigint, retention interval, batch integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $prune$
DECLARE
    deleted bigint;
BEGIN
    PERFORM assert_active(identity, epoch, true);
    WITH expired AS MATERIALIZED (
        SELECT ticks.schedule, ticks.fire_at
        FROM schedule_ticks AS ticks
        LEFT JOIN tasks ON tasks.task_id = ticks.task_id
        WHERE ticks.fire_at < now() - retention
            AND (tasks.task_id IS NULL OR tasks.status IN ('complete', 'terminated'))
        ORDER BY ticks.fire_at
        LIMIT batch
        FOR UPDATE OF ticks SKIP LOCKED
    )
    DELETE FROM schedule_ticks AS ticks USING expired
    WHERE ticks.schedule = expired.schedule AND ticks.fire_at = expired.fire_at;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$prune$;

REVOKE EXECUTE ON FUNCTION schedules_edit, fire_tick, tick_schedule, refuse_schedule, run_schedule, prune_ticks
FROM PUBLIC;

-- What runs as the owner looks for temporary objects last.
DO $search$
DECLARE
    signature regprocedure;
BEGIN
    FOR signature IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = quote_ident(current_schema())::regnamespace
            AND proname IN ('schedules_edit', 'fire_tick', 'tick_schedule', 'refuse_schedule', 'run_schedule',
                'prune_ticks')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', signature, current_schema());
    END LOOP;
END
$search$;
