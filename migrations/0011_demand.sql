-- How many workers a queue asks for, as two numbers for an autoscaler.
--
-- Why: gauges come from workers, so where none runs nobody tells that work waits; and whoever scales needs no right to
-- read tasks.
-- Locks: none; functions only.
-- Undo: drop the functions queue_demand, queue_wait_seconds, oldest_claimable and claimable_actions.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', false);

-- Those of these actions that a worker of this queue would claim: all but the paused. The body is read when it is
-- called, which is after 0012, whose table it reads.
CREATE FUNCTION claimable_actions(queue text, actions text[]) RETURNS text[] LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT AS $claimable$
BEGIN
    RETURN ARRAY(
        SELECT known.action
        FROM unnest(claimable_actions.actions) AS known (action)
        WHERE NOT EXISTS (
            SELECT
            FROM pauses
            WHERE coalesce(pauses.queue = claimable_actions.queue, true)
              AND coalesce(pauses.action = known.action, true)
              AND coalesce(pauses."until" > now(), true)
        )
    );
END
$claimable$;

-- Since when the oldest of those tasks has been due; NULL when none is.
-- Index: tasks_ready, the first of each priority.
CREATE FUNCTION oldest_claimable(queue text, actions text[]) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off AS $oldest$
    SELECT min(oldest.run_at)
    FROM generate_series(0, 9) AS level (priority)
    CROSS JOIN LATERAL (
        SELECT tasks.run_at
        FROM tasks
        WHERE tasks.queue = oldest_claimable.queue
          AND tasks.priority = level.priority
          AND tasks.ready
          AND tasks.run_at <= now()
          AND tasks.action = ANY (oldest_claimable.actions)
        ORDER BY tasks.run_at
        LIMIT 1
    ) AS oldest
$oldest$;

-- How many tasks of a queue ask for a worker: those that run, and those that have been due for longer than `patience`,
-- since what is claimed sooner needs no further worker; counted up to `bound` each. At least 1 while anything is due at
-- all, or a schedule of the queue is to be looked at within 30 s, which is a leader's work. Of the given actions alone,
-- unless they are paused: no worker would take the others.
-- Index: tasks_ready, from the start of each priority; what runs by its claims and the primary key.
CREATE FUNCTION queue_demand(
    queue text, actions text[], patience interval DEFAULT '5 s', bound integer DEFAULT 2000
) RETURNS bigint LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_sort = off SET enable_material = off SET plan_cache_mode = force_generic_plan SET jit = off AS $demand$
DECLARE
    wanted text[] := claimable_actions(queue_demand.queue, queue_demand.actions);
    counted bigint;
BEGIN
    SELECT
        (
            SELECT count(*)
            FROM (
                SELECT
                FROM claims
                CROSS JOIN LATERAL unnest(claims.task_ids) AS held (task_id)
                JOIN tasks ON tasks.task_id = held.task_id
                WHERE tasks.queue = queue_demand.queue
                  AND tasks.status IN ('running', 'terminating')
                  -- what runs goes on while its action is paused
                  AND tasks.action = ANY (queue_demand.actions)
                LIMIT bound
            ) AS running
        ) + (
            SELECT count(*)
            FROM (
                SELECT
                FROM generate_series(0, 9) AS level (priority)
                CROSS JOIN LATERAL (
                    SELECT
                    FROM tasks
                    WHERE tasks.queue = queue_demand.queue
                      AND tasks.priority = level.priority
                      AND tasks.ready
                      AND tasks.run_at <= now() - patience
                      AND tasks.action = ANY (wanted)
                    LIMIT bound
                ) AS due
                LIMIT bound
            ) AS waiting
        )
    INTO counted;
    IF counted > 0 THEN
        RETURN counted;
    END IF;
    RETURN (oldest_claimable(queue_demand.queue, wanted) IS NOT NULL
        OR EXISTS (
            SELECT
            FROM schedules
            WHERE schedules.queue = queue_demand.queue
              AND NOT schedules.paused
              AND (schedules.next_at IS NULL OR schedules.next_at < now() + interval '30 s')
        ))::int;
END
$demand$;

-- For how many seconds the oldest task that a worker of this queue would claim has been due; 0 when none is.
CREATE FUNCTION queue_wait_seconds(queue text, actions text[]) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $wait$
    SELECT coalesce(floor(extract(epoch FROM now() - oldest_claimable(
        queue_wait_seconds.queue, claimable_actions(queue_wait_seconds.queue, queue_wait_seconds.actions)))), 0)::bigint
$wait$;

REVOKE EXECUTE ON FUNCTION claimable_actions, oldest_claimable, queue_demand, queue_wait_seconds FROM PUBLIC;
