-- What the tests need besides the schema: a past, and tasks in it.

-- Makes the installation `weeks` weeks old, as if upkeep had last run in its first week: `past`, two weeks, `future`.
CREATE FUNCTION test_age(weeks integer) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT SET timezone = 'UTC' AS $age$
DECLARE
    week timestamptz := date_trunc('week', now()) - weeks * interval '7 days';
    old record;
BEGIN
    FOR old IN SELECT name FROM task_partition LOOP
        EXECUTE format('DROP TABLE %I, %I, %I', 'tasks_' || old.name, 'result_message_' || old.name, 'task_output_' || old.name);
    END LOOP;
    PERFORM add_partition('past', NULL, week);
    PERFORM add_partition('w' || to_char(week, 'YYYYMMDD'), week, week + interval '7 days');
    PERFORM add_partition('w' || to_char(week + interval '7 days', 'YYYYMMDD'), week + interval '7 days', week + interval '14 days');
    PERFORM add_partition('future', week + interval '14 days', NULL);
    PERFORM guard_partition('past'), guard_partition('future');
END
$age$;

-- The task id that the database would have made then.
CREATE FUNCTION test_id(instant timestamptz) RETURNS uuid LANGUAGE sql SET search_path FROM CURRENT AS $id$
    SELECT (left(task_id_floor(instant)::text, 14) || substr(task_uuidv7()::text, 15))::uuid
$id$;

-- Inserts `tasks` tasks, spread over an hour from `instant`, claims them and completes them an hour after, as a worker
-- would: three versions of each row. Each leaves a message, every tenth an output of its own.
CREATE FUNCTION test_finish(tasks integer, instant timestamptz, result task_result_status DEFAULT 'success', payload_bytes integer DEFAULT 100)
RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $finish$
DECLARE
    ids uuid[];
BEGIN
    WITH inserted AS (
        INSERT INTO tasks (task_id, action, created, payload)
        SELECT test_id(instant + n * interval '1 hour' / tasks), 'noop', instant,
            jsonb_build_object('n', n, 'text', repeat(md5(n::text), payload_bytes / 32))
        FROM generate_series(0, test_finish.tasks - 1) AS n
        RETURNING task_id
    )
    SELECT array_agg(task_id) INTO ids FROM inserted;
    UPDATE tasks SET status = 'running', attempt = 1, claim_token = gen_random_uuid(), started_at = instant
    WHERE task_id = ANY (ids);
    INSERT INTO result_message (task_id, sequence, error, message) SELECT unnest(ids), 1, false, 'done';
    INSERT INTO task_output (task_id, output) SELECT id, '{"rows": 1}' FROM unnest(ids) WITH ORDINALITY AS u (id, n) WHERE n % 10 = 0;
    UPDATE tasks SET status = 'complete', result_status = result, finished_at = instant + interval '1 hour', updated = instant + interval '1 hour'
    WHERE task_id = ANY (ids);
END
$finish$;

-- What a reader sees of everything: one number for each table.
CREATE VIEW test_content AS
SELECT
    (SELECT coalesce(sum(hashtextextended(t::text, 0)), 0) FROM tasks AS t) AS tasks,
    (SELECT coalesce(sum(hashtextextended(m::text, 0)), 0) FROM result_message AS m) AS messages,
    (SELECT coalesce(sum(hashtextextended(o::text, 0)), 0) FROM task_output AS o) AS outputs,
    (SELECT count(*) FROM tasks) AS count;
