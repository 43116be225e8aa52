-- Partitions ahead of time, and retention: what was finished long enough ago goes, and what stays takes little room.
--
-- Why: tasks arrive for years without anybody creating a partition, and a table that only grows ends badly.
-- Locks: SHARE ROW EXCLUSIVE on the two open partitions, for a moment. No row is read or written, however many.
-- Undo: drop what is created here, the triggers tasks_sealed, tasks_ahead and sealed_change of the partitions, and
-- tables called *_copy. The previous version of the workers runs beside it.
--
-- How a partition lives. Every arrow is one call of upkeep_step, and one transaction:
--
--   future -> bounded -> sealed -> counted -> copied -> compacted -> dropped
--
--   extend  cuts the range that comes next off the open partition
--   seal    a day after its end it takes no new tasks
--   count   what it holds: unfinished tasks, successes, other ends, and when the first and the last of them finished
--   copy    all have ended: what has not expired goes into a full table beside it (*_copy); most of the old one is air
--   swap    the copy takes its place once no open snapshot is older than the copy
--   thin    some have not ended, or few have expired: expired rows are deleted one by one
--   drop    all have ended and expired
--
-- Why nothing unfinished is ever lost. A sealed partition gets no new rows. `count` or `copy` has seen each of its tasks
-- ended, one by one, and an ended task never changes: where somebody changes or deletes one by hand, a trigger notes it,
-- and `drop` and `swap`, under a lock that keeps all others out, find the note and count again. `thin` deletes only rows
-- that it has locked and read as ended. (Tests: a_task_that_has_not_ended_is_never_deleted,
-- a_task_requeued_by_hand_after_the_count_is_kept,
-- a_task_changed_or_deleted_by_hand_during_the_copy_is_not_brought_back.)
--
-- Why no reader is harmed. To a snapshot older than the copy, the copy is empty; so the swap waits for such snapshots.
-- On a standby this holds with hot_standby_feedback; without it a standby's snapshot older than a swap may miss rows.
-- (Test: a_snapshot_older_than_the_copy_sees_every_row_at_every_step_and_delays_the_swap.)
--
-- Who waits, and how long. What needs ACCESS EXCLUSIVE gives up after 100 ms for each parent and 20 ms for each
-- partition, and is tried again in a later round: claims queue up behind it for 180 ms at most, and for the step's own
-- work, some 50 ms. (Test: a_lock_held_on_tasks_makes_upkeep_back_off_and_claims_go_on.)

-- The partitions of tasks, and of the two tables that go along: lower bound, and upper bound (excluded); NULL is open.
CREATE VIEW task_partition AS
SELECT
    substr(leaf.relname, length('tasks_') + 1) AS name,
    substring(bounds FROM 'FROM \(''([0-9a-f-]+)')::uuid AS lower_id,
    substring(bounds FROM 'TO \(''([0-9a-f-]+)')::uuid AS upper_id
FROM pg_inherits
JOIN pg_class AS leaf ON leaf.oid = inhrelid
CROSS JOIN pg_get_expr(leaf.relpartbound, leaf.oid) AS bounds
WHERE inhparent = 'tasks'::regclass;

-- What upkeep knows about a sealed partition.
CREATE TABLE sealed_partition (
    name              text         NOT NULL PRIMARY KEY,
    -- the walk under way (count, thin, copy; NULL: none), and the last task it has seen
    walk              text         DEFAULT 'count'
                                   CONSTRAINT walk_is_count_thin_or_copy CHECK (walk IN ('count', 'thin', 'copy')),
    walked_to         uuid         NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    -- when the last walk ended
    walked_at         timestamptz,
    -- the transaction that finished the copy that waits for its swap; NULL: none waits
    copied_by         xid8,
    compacted         boolean      NOT NULL DEFAULT false,
    -- what the walk has left there (in its copy, where it makes one)
    unfinished        bigint       NOT NULL DEFAULT 0,
    successes         bigint       NOT NULL DEFAULT 0,
    first_success_at  timestamptz,
    last_success_at   timestamptz,
    others            bigint       NOT NULL DEFAULT 0,
    first_other_at    timestamptz,
    last_other_at     timestamptz
) WITH (fillfactor = 50);

-- Notes that ended tasks of a sealed partition were changed or deleted by hand since its walk began. Only inserted into,
-- so that nobody waits for anybody.
CREATE TABLE sealed_change (
    name        text  NOT NULL,
    changed_by  xid8  NOT NULL
);

-- What an INSERT meets -------------------------------------------------------------------------------------------------

-- Refuses a task for its id's time. The argument is the constraint's name.
CREATE FUNCTION refuse_task_id() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $refuse$
BEGIN
    RAISE EXCEPTION 'task_id % is of %, too far from now', NEW.task_id, task_id_instant(NEW.task_id)
        USING ERRCODE = 'check_violation', TABLE = 'tasks', CONSTRAINT = TG_ARGV[0],
              HINT = 'Leave task_id out, or insert it at most a day after, and an hour before, the time in it.';
END
$refuse$;

-- Notes, once a transaction, that it changed what a walk may have seen already. The argument is the partition.
CREATE FUNCTION note_sealed_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $note$
BEGIN
    INSERT INTO sealed_change (name, changed_by)
    SELECT TG_ARGV[0], pg_current_xact_id()
    WHERE NOT EXISTS (SELECT FROM sealed_change WHERE name = TG_ARGV[0] AND changed_by = pg_current_xact_id());
    RETURN NULL;
END
$note$;

-- The triggers of a partition that is not an ordinary one. Those sort behind tasks_admit, whose word on an id goes first.
-- `past` is kept, empty, so that an id older than every partition is refused with a name; one between two of them, where
-- a partition was dropped before an older one, meets Postgres's own "no partition of relation found", also 23514.
CREATE FUNCTION guard_partition(name text) RETURNS void LANGUAGE plpgsql AS $guard$
DECLARE
    parent text;
BEGIN
    IF name = 'future' THEN
        -- clock_timestamp(), as in task_uuidv7(): a long transaction's now() is older than the ids that it makes (test:
        -- an_insert_of_a_long_transaction_is_judged_by_the_clock)
        CREATE TRIGGER tasks_ahead BEFORE INSERT ON tasks_future FOR EACH ROW
            WHEN (NEW.task_id > task_id_floor(clock_timestamp() + interval '1 hour'))
            EXECUTE FUNCTION refuse_task_id('task_id_is_not_from_the_future');
        RETURN;
    END IF;
    EXECUTE format('CREATE TRIGGER tasks_sealed BEFORE INSERT ON %I FOR EACH ROW EXECUTE FUNCTION refuse_task_id(%L)',
        'tasks_' || name, 'task_id_is_recent');
    FOREACH parent IN ARRAY ARRAY['result_message', 'task_output', 'tasks'] LOOP
        EXECUTE format('CREATE TRIGGER sealed_change AFTER UPDATE OR DELETE ON %I FOR EACH ROW %s '
                'EXECUTE FUNCTION note_sealed_change(%L)',
            parent || '_' || name,
            CASE parent WHEN 'tasks' THEN 'WHEN (OLD.status IN (''complete'', ''terminated''))' END,
            name);
    END LOOP;
END
$guard$;

SELECT guard_partition('past'), guard_partition('future');

-- Steps ----------------------------------------------------------------------------------------------------------------
-- Parts of upkeep_step, which calls them under its own settings (search_path, timezone, lock_timeout, plans).

-- Keeps everybody out of the three tables and one of their partitions. The tables that claims do not touch come first,
-- and once claims have to wait, nothing is waited for longer than 20 ms.
CREATE FUNCTION lock_partition(name text) RETURNS void LANGUAGE plpgsql AS $lock$
BEGIN
    LOCK TABLE ONLY result_message, ONLY task_output, ONLY tasks IN ACCESS EXCLUSIVE MODE;
    PERFORM set_config('lock_timeout', '20ms', true);
    EXECUTE format('LOCK TABLE %I, %I, %I IN ACCESS EXCLUSIVE MODE',
        'result_message_' || name, 'task_output_' || name, 'tasks_' || name);
END
$lock$;

-- Renames a table, and its indexes with it.
CREATE FUNCTION rename_table(old_name text, new_name text) RETURNS void LANGUAGE plpgsql AS $rename$
DECLARE
    index_name text;
BEGIN
    EXECUTE format('ALTER TABLE %I RENAME TO %I', old_name, new_name);
    FOR index_name IN
        SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE indrelid = to_regclass(quote_ident(new_name)) AND starts_with(relname, old_name)
    LOOP
        EXECUTE format('ALTER INDEX %I RENAME TO %I', index_name, new_name || substr(index_name, length(old_name) + 1));
    END LOOP;
END
$rename$;

-- Cuts [its lower bound, three weeks from this one's start) off the open partition, in three calls: a constraint that
-- says so, its proof, and the cut. With rows in it (no worker has run for weeks) nothing is moved, and with the proof
-- nothing is read under the lock (test: the_cut_reads_no_row_under_its_lock). Between the first and the third call
-- `future` takes ids of the next two weeks only: inserts would fail if all workers stopped just there, for that long.
CREATE FUNCTION extend_partitions() RETURNS void LANGUAGE plpgsql AS $extend$
DECLARE
    parent text;
    leaf text;
    name text;
    since uuid := (SELECT lower_id FROM task_partition WHERE task_partition.name = 'future');
    until uuid;
    is_proven boolean;
BEGIN
    SELECT convalidated, substring(pg_get_constraintdef(oid) FROM '< ''([0-9a-f-]+)')
    INTO is_proven, until
    FROM pg_constraint
    WHERE conrelid = to_regclass('tasks_future') AND conname = 'future_ends';
    until := coalesce(until, task_id_floor(date_trunc('week', now()) + interval '21 days'));

    IF is_proven THEN
        name := 'w' || to_char(task_id_instant(since), 'YYYYMMDD');
        PERFORM lock_partition('future');
        DROP TRIGGER tasks_ahead ON tasks_future;
    END IF;
    FOREACH parent IN ARRAY ARRAY['result_message', 'task_output', 'tasks'] LOOP
        leaf := parent || '_future';
        IF is_proven IS NULL THEN
            EXECUTE format('ALTER TABLE %I ADD CONSTRAINT future_ends CHECK (task_id >= %L AND task_id < %L) NOT VALID',
                leaf, since, until);
        ELSIF NOT is_proven THEN
            EXECUTE format('ALTER TABLE %I VALIDATE CONSTRAINT future_ends', leaf);
        ELSE
            EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, leaf);
            PERFORM rename_table(leaf, parent || '_' || name);
            leaf := parent || '_' || name;
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, leaf, since, until);
            EXECUTE format('ALTER TABLE %I DROP CONSTRAINT future_ends', leaf);
        END IF;
    END LOOP;
    IF is_proven THEN
        PERFORM add_partition('future', task_id_instant(until), NULL);
        PERFORM guard_partition('future');
    END IF;
END
$extend$;

-- Takes the partition out of what can be inserted into. The lock of CREATE TRIGGER (SHARE ROW EXCLUSIVE) is granted when
-- no transaction that has inserted into it is open: what it holds then is all that it will ever hold.
CREATE FUNCTION seal_partition(name text) RETURNS void LANGUAGE plpgsql AS $seal$
BEGIN
    PERFORM guard_partition(name);
    INSERT INTO sealed_partition (name) VALUES (seal_partition.name);
END
$seal$;

-- Begins a walk over a sealed partition, from its first task; an earlier copy is dropped. Notes of changes go first: what
-- they tell of was committed, so this walk sees it.
CREATE FUNCTION begin_walk(name text, walk text) RETURNS void LANGUAGE plpgsql AS $begin$
DECLARE
    parent text;
    copy text;
BEGIN
    DELETE FROM sealed_change WHERE sealed_change.name = begin_walk.name;
    UPDATE sealed_partition AS s
    SET walk = begin_walk.walk,
        walked_to = DEFAULT,
        copied_by = NULL,
        unfinished = 0,
        successes = 0,
        first_success_at = NULL,
        last_success_at = NULL,
        others = 0,
        first_other_at = NULL,
        last_other_at = NULL
    WHERE s.name = begin_walk.name;
    FOREACH parent IN ARRAY ARRAY['result_message', 'task_output', 'tasks'] LOOP
        copy := parent || '_' || name || '_copy';
        EXECUTE format('DROP TABLE IF EXISTS %I', copy);
        IF walk = 'copy' THEN
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) WITH (fillfactor = 100)', copy, parent);
            -- proof for ATTACH, which then reads no row
            EXECUTE (
                SELECT format('ALTER TABLE %I ADD CONSTRAINT copy_is_in_range CHECK (task_id >= %L AND task_id < %L)',
                    copy, lower_id, upper_id)
                FROM task_partition
                WHERE task_partition.name = begin_walk.name
            );
        END IF;
    END LOOP;
END
$begin$;

-- True for a task that has ended and whose time is over. Inlined.
CREATE FUNCTION has_expired(
    status task_status, result_status task_result_status, finished_at timestamptz,
    success_retention interval, other_retention interval
) RETURNS boolean LANGUAGE sql STABLE AS $expired$
    SELECT status IN ('complete', 'terminated') AND coalesce(
        finished_at + CASE result_status WHEN 'success' THEN success_retention ELSE other_retention END <= now(), false)
$expired$;

-- Walks on: looks at the next `batch` tasks of a sealed partition (count), deletes those that have expired (thin), or
-- copies those that have not (copy), with their messages and outputs. Returns how many. A copy that meets an unfinished
-- task ends as a count.
CREATE FUNCTION walk_partition(
    name text, walk text, success_retention interval, other_retention interval, batch integer
) RETURNS bigint LANGUAGE plpgsql AS $walk$
DECLARE
    parent text;
    parents text[] := CASE walk WHEN 'copy' THEN ARRAY['tasks', 'result_message', 'task_output'] ELSE '{}' END;
    since uuid;
    seen record;
    columns text;
    done bigint;
BEGIN
    IF EXISTS (SELECT FROM sealed_partition AS s WHERE s.name = walk_partition.name AND s.walk IS NULL) THEN
        PERFORM begin_walk(name, walk);
    END IF;
    SELECT walked_to INTO STRICT since FROM sealed_partition AS s WHERE s.name = walk_partition.name;
    EXECUTE format($batch$
        SELECT
            count(*) AS tasks,
            coalesce((array_agg(task_id ORDER BY task_id DESC))[1], $1) AS last_id,
            array_agg(task_id) FILTER (WHERE expired) AS expired,
            count(*) FILTER (WHERE NOT ended) AS unfinished,
            count(*) FILTER (WHERE success) AS successes,
            min(finished_at) FILTER (WHERE success) AS first_success_at,
            max(finished_at) FILTER (WHERE success) AS last_success_at,
            count(*) FILTER (WHERE ended AND NOT expired AND NOT success) AS others,
            min(finished_at) FILTER (WHERE ended AND NOT expired AND NOT success) AS first_other_at,
            max(finished_at) FILTER (WHERE ended AND NOT expired AND NOT success) AS last_other_at
        FROM (
            SELECT task_id, ended, expired, finished_at, ended AND NOT expired AND result_status = 'success' AS success
            FROM (
                SELECT
                    task_id,
                    result_status,
                    status IN ('complete', 'terminated') AS ended,
                    $3 <> 'count' AND has_expired(status, result_status, finished_at, $4, $5) AS expired,
                    -- an end without a time never expires
                    coalesce(finished_at, 'infinity') AS finished_at
                FROM %I
                WHERE task_id > $1
                ORDER BY task_id
                LIMIT $2
            ) AS next
        ) AS judged
        $batch$, 'tasks_' || name)
    INTO seen
    USING since, batch, walk, success_retention, other_retention;

    IF walk = 'copy' AND seen.unfinished > 0 THEN
        PERFORM begin_walk(name, 'count');
        RETURN 0;
    END IF;
    done := seen.tasks;
    IF walk = 'thin' THEN
        EXECUTE format($thin$
            -- an expired task that somebody has locked stays for the next time
            WITH expired AS MATERIALIZED (
                SELECT task_id FROM %1$I
                WHERE task_id = ANY ($1) AND status IN ('complete', 'terminated')
                ORDER BY task_id
                FOR UPDATE SKIP LOCKED
            ), deleted AS (
                DELETE FROM %1$I AS t USING expired WHERE t.task_id = expired.task_id RETURNING t.task_id
            ), deleted_messages AS (
                DELETE FROM %2$I AS m USING deleted WHERE m.task_id = deleted.task_id
            ), deleted_outputs AS (
                DELETE FROM %3$I AS o USING deleted WHERE o.task_id = deleted.task_id
            )
            SELECT count(*) FROM deleted
            $thin$, 'tasks_' || name, 'result_message_' || name, 'task_output_' || name)
        INTO done
        USING seen.expired;
        DELETE FROM sealed_change AS c WHERE c.name = walk_partition.name AND c.changed_by = pg_current_xact_id();
    END IF;
    FOREACH parent IN ARRAY parents LOOP
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO STRICT columns
        FROM pg_attribute
        WHERE attrelid = to_regclass(parent) AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
        EXECUTE format('INSERT INTO %1$I (%2$s) SELECT %2$s FROM %3$I AS t '
                'WHERE task_id > $1 AND task_id <= $2 AND %4$s ORDER BY task_id',
            parent || '_' || name || '_copy', columns, parent || '_' || name,
            CASE parent WHEN 'tasks' THEN 'NOT has_expired(status, result_status, finished_at, $3, $4)'
                ELSE format('EXISTS (SELECT FROM %I AS kept WHERE kept.task_id = t.task_id)', 'tasks_' || name || '_copy')
            END)
        USING since, seen.last_id, success_retention, other_retention;
        IF parent = 'tasks' THEN
            GET DIAGNOSTICS done = ROW_COUNT;
        END IF;
        IF seen.tasks < batch THEN
            EXECUTE format('ANALYZE %I', parent || '_' || name || '_copy');
        END IF;
    END LOOP;

    UPDATE sealed_partition AS s
    SET walked_to = seen.last_id,
        unfinished = s.unfinished + seen.unfinished,
        successes = s.successes + seen.successes,
        first_success_at = least(s.first_success_at, seen.first_success_at),
        last_success_at = greatest(s.last_success_at, seen.last_success_at),
        others = s.others + seen.others,
        first_other_at = least(s.first_other_at, seen.first_other_at),
        last_other_at = greatest(s.last_other_at, seen.last_other_at),
        walk = CASE WHEN seen.tasks = batch THEN s.walk END,
        walked_at = CASE WHEN seen.tasks = batch THEN s.walked_at ELSE now() END,
        copied_by = CASE WHEN seen.tasks < batch AND s.walk = 'copy' THEN pg_current_xact_id() END
    WHERE s.name = walk_partition.name;
    RETURN done;
END
$walk$;

-- True while a snapshot is open here or on a standby that may not see what the transaction committed. pg_stat_activity
-- shows backend_xmin, unlike most of its columns, to every role. A prepared transaction has no snapshot. An idle writer
-- with an older xid holds back the xmin of all later snapshots: the swap waits for it too, without need.
CREATE FUNCTION older_snapshot_is_open(writer xid8) RETURNS boolean LANGUAGE sql STABLE AS $older$
    SELECT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE age(backend_xmin) >= age(writer::xid)
            AND (datid IS NULL OR datid = (SELECT oid FROM pg_database WHERE datname = current_database()))
    ) OR EXISTS (SELECT FROM pg_replication_slots WHERE age(xmin) >= age(writer::xid))
$older$;

-- Puts the copy in the partition's place. False: an ended task was changed since, so it is counted again instead.
CREATE FUNCTION swap_partition(name text) RETURNS boolean LANGUAGE plpgsql AS $swap$
DECLARE
    parent text;
    leaf text;
    bounds text;
BEGIN
    SELECT format('FROM (%L) TO (%L)', lower_id, upper_id) INTO STRICT bounds
    FROM task_partition
    WHERE task_partition.name = swap_partition.name;
    PERFORM lock_partition(name);
    IF EXISTS (SELECT FROM sealed_change WHERE sealed_change.name = swap_partition.name) THEN
        PERFORM begin_walk(name, 'count');
        RETURN false;
    END IF;
    FOREACH parent IN ARRAY ARRAY['result_message', 'task_output', 'tasks'] LOOP
        leaf := parent || '_' || name;
        EXECUTE format('DROP TABLE %I', leaf);
        PERFORM rename_table(leaf || '_copy', leaf);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES %s', parent, leaf, bounds);
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT copy_is_in_range', leaf);
    END LOOP;
    PERFORM guard_partition(name);
    UPDATE sealed_partition AS s SET copied_by = NULL, compacted = true WHERE s.name = swap_partition.name;
    RETURN true;
END
$swap$;

-- Drops a partition of which everything has ended and expired, and lets `past` reach up to the oldest that is left.
-- False: an ended task was changed since the count, so it is counted again instead.
CREATE FUNCTION drop_partition(name text) RETURNS boolean LANGUAGE plpgsql AS $drop$
DECLARE
    oldest uuid;
BEGIN
    PERFORM lock_partition(name);
    IF EXISTS (SELECT FROM sealed_change WHERE sealed_change.name = drop_partition.name) THEN
        PERFORM begin_walk(name, 'count');
        RETURN false;
    END IF;
    EXECUTE format('DROP TABLE %I, %I, %I', 'result_message_' || name, 'task_output_' || name, 'tasks_' || name);
    EXECUTE format('DROP TABLE IF EXISTS %I, %I, %I',
        'result_message_' || name || '_copy', 'task_output_' || name || '_copy', 'tasks_' || name || '_copy');
    DELETE FROM sealed_partition AS s WHERE s.name = drop_partition.name;

    SELECT lower_id INTO STRICT oldest FROM task_partition WHERE lower_id IS NOT NULL ORDER BY lower_id LIMIT 1;
    IF NOT EXISTS (SELECT FROM task_partition AS p WHERE p.name = 'past' AND p.upper_id = oldest)
        AND NOT EXISTS (SELECT FROM tasks_past) THEN
        DROP TABLE result_message_past, task_output_past, tasks_past;
        PERFORM add_partition('past', NULL, task_id_instant(oldest));
        PERFORM guard_partition('past');
    END IF;
    RETURN true;
END
$drop$;

-- What there is to do, in the order in which it is done: first what nobody has to wait for.
--
-- A partition's expired rows go together, a week after the first has expired: so a partition is rewritten once for each
-- retention, and one that is gone within a week is not rewritten at all.
CREATE FUNCTION upkeep_due(success_retention interval, other_retention interval) RETURNS TABLE (name text, step text)
LANGUAGE sql STABLE AS $due$
    SELECT due.name, due.step
    FROM (
        SELECT
            s.name,
            CASE
                WHEN walk IS NOT NULL THEN walk
                -- without ended tasks there is no last expiry: an empty partition goes
                WHEN unfinished = 0 AND coalesce(last_expiry <= now(), true) THEN 'drop'
                WHEN copied_by IS NOT NULL THEN CASE WHEN older_snapshot_is_open(copied_by) THEN 'wait' ELSE 'swap' END
                WHEN unfinished > 0 AND walked_at <= now() - interval '1 day' THEN 'count'
                WHEN unfinished = 0 AND NOT compacted AND last_expiry > now() + interval '7 days' THEN 'copy'
                WHEN overdue > 0 AND unfinished = 0 AND overdue * 10 >= successes + others THEN 'copy'
                WHEN overdue > 0 THEN 'thin'
            END AS step
        FROM sealed_partition AS s
        CROSS JOIN LATERAL (
            SELECT
                greatest(last_success_at + success_retention, last_other_at + other_retention) AS last_expiry,
                CASE WHEN first_success_at + success_retention <= now() - interval '7 days' THEN successes ELSE 0 END
                    + CASE WHEN first_other_at + other_retention <= now() - interval '7 days' THEN others ELSE 0 END
                    AS overdue
        ) AS expiry
        UNION ALL
        SELECT p.name, 'seal' FROM task_partition AS p
        WHERE p.lower_id IS NOT NULL
            AND p.upper_id <= task_id_floor(now() - interval '1 day')
            AND NOT EXISTS (SELECT FROM sealed_partition AS s WHERE s.name = p.name)
        UNION ALL
        SELECT p.name, 'extend' FROM task_partition AS p
        WHERE p.upper_id IS NULL
            AND p.lower_id < task_id_floor(date_trunc('week', now()) + interval '21 days')
    ) AS due
    WHERE due.step IS NOT NULL
    ORDER BY array_position(ARRAY['count', 'thin', 'copy', 'seal', 'extend', 'drop', 'swap', 'wait'], due.step), due.name
$due$;

-- What workers call ----------------------------------------------------------------------------------------------------
-- As the owner of the tables, since a worker's role owns none. EXECUTE is for the worker's role alone.

-- Fails with LS001 unless this process is the active instance; `held`: and stays it until the transaction ends.
CREATE FUNCTION assert_active(identity uuid, epoch bigint, held boolean) RETURNS void LANGUAGE plpgsql AS $active$
BEGIN
    IF held THEN
        PERFORM FROM active_instance AS a FOR SHARE;
    END IF;
    IF NOT EXISTS (
        SELECT FROM active_instance AS a
        WHERE a.identity = assert_active.identity
            AND a.epoch = assert_active.epoch
            AND a.lease_expires_at > clock_timestamp()
    ) THEN
        RAISE EXCEPTION 'instance % with epoch % is not the active one', identity, epoch USING ERRCODE = 'LS001';
    END IF;
END
$active$;

-- Takes the next step of upkeep, at most one, and says which: the partition, the step, and how many tasks it looked at,
-- deleted, copied or dropped; 'blocked' where somebody held a lock for too long, 'wait' where only a swap is left and an
-- older snapshot is open, 'nothing' else. Call it, in a transaction of its own, until it says one of these three.
--
-- Leadership is read at first and held at the end, from the last check to the commit: nobody who was deposed commits,
-- and the leader's own renewal waits for no copy. A NULL for an argument: nothing is done.
CREATE FUNCTION upkeep_step(
    identity uuid, epoch bigint, success_retention interval, other_retention interval, batch integer DEFAULT 10000,
    OUT partition text, OUT action text, OUT tasks bigint
) LANGUAGE plpgsql STRICT SECURITY DEFINER
SET search_path FROM CURRENT
SET timezone = 'UTC'
SET client_min_messages = 'warning'
-- far below deadlock_timeout, so that it is never a claim that is chosen to fail
SET lock_timeout = '100ms'
-- a batch is found by its key, whatever the statistics say
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $step$
DECLARE
    done boolean := true;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'upkeep needs isolation level read committed, since it reads under its locks'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM assert_active(identity, epoch, false);
    BEGIN
        -- one step at a time, also while a deposed leader's last one is under way (test:
        -- two_steps_at_once_count_no_task_twice)
        LOCK TABLE sealed_partition IN SHARE ROW EXCLUSIVE MODE;
        SELECT due.name, due.step INTO partition, action
        FROM upkeep_due(success_retention, other_retention) AS due
        LIMIT 1;
        tasks := (SELECT s.successes + s.others FROM sealed_partition AS s WHERE s.name = partition);
        CASE
            WHEN action IN ('count', 'thin', 'copy') THEN
                tasks := walk_partition(partition, action, success_retention, other_retention, batch);
            WHEN action = 'seal' THEN PERFORM seal_partition(partition);
            WHEN action = 'extend' THEN PERFORM extend_partitions();
            WHEN action = 'swap' THEN done := swap_partition(partition);
            WHEN action = 'drop' THEN done := drop_partition(partition);
            WHEN action = 'wait' THEN NULL;
            ELSE action := 'nothing';
        END CASE;
        IF NOT done THEN
            action := 'count';
            tasks := 0;
        END IF;
        tasks := coalesce(tasks, 0);
        PERFORM assert_active(identity, epoch, true);
    EXCEPTION WHEN lock_not_available THEN
        action := 'blocked';
        tasks := 0;
    END;
END
$step$;

-- Gathers statistics of the whole tables, which autovacuum does for their partitions alone. SHARE UPDATE EXCLUSIVE, which
-- no reader or writer waits for; a partition that somebody else holds is skipped.
CREATE FUNCTION analyze_tables(identity uuid, epoch bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '5s' AS $analyze$
BEGIN
    PERFORM assert_active(identity, epoch, false);
    ANALYZE (SKIP_LOCKED) tasks, result_message, task_output;
END
$analyze$;

-- The bytes on disk of each partition, with its indexes and wide values, and its tasks by the last ANALYZE or VACUUM
-- (NULL before the first).
CREATE FUNCTION table_bytes()
RETURNS TABLE (partition text, tasks bigint, tasks_bytes bigint, result_message_bytes bigint, task_output_bytes bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $bytes$
    SELECT
        p.name,
        (SELECT nullif(reltuples, -1)::bigint FROM pg_class WHERE oid = to_regclass(quote_ident('tasks_' || p.name))),
        pg_total_relation_size(to_regclass(quote_ident('tasks_' || p.name))),
        pg_total_relation_size(to_regclass(quote_ident('result_message_' || p.name))),
        pg_total_relation_size(to_regclass(quote_ident('task_output_' || p.name)))
    FROM task_partition AS p
    ORDER BY p.lower_id NULLS FIRST
$bytes$;

REVOKE EXECUTE ON FUNCTION refuse_task_id, note_sealed_change, guard_partition, lock_partition, rename_table,
    extend_partitions, seal_partition, begin_walk, has_expired, walk_partition, older_snapshot_is_open, swap_partition,
    drop_partition, upkeep_due, assert_active, upkeep_step, analyze_tables, table_bytes
FROM PUBLIC;

-- What runs as the owner looks for temporary objects last: else a caller's own view, called like a table of ours, would
-- do with the owner's rights whatever the caller likes. (Test: a_worker_that_owns_nothing_keeps_up_and_others_may_not.)
DO $search$
DECLARE
    signature regprocedure;
BEGIN
    FOR signature IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = quote_ident(current_schema())::regnamespace
            AND proname IN ('tasks_admit', 'tasks_notify', 'tasks_terminate',
                'note_sealed_change', 'upkeep_step', 'analyze_tables', 'table_bytes')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', signature, current_schema());
    END LOOP;
END
$search$;
