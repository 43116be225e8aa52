-- Some work each second, as the role of a producer: more mail and less by the minute, small things by the hundred, and
-- twice a minute a report that waits for its pages.
SET client_min_messages = warning;
DO $load$
DECLARE
    report uuid := task_uuidv7();
BEGIN
    INSERT INTO tasks (action, queue, payload)
    SELECT 'mail', 'mail', jsonb_build_object('to', format('user%s@example.com', n))
    FROM generate_series(1, (20 + 18 * sin(extract(epoch FROM now()) / 60))::int) AS n;

    INSERT INTO tasks (action, priority, run_at)
    SELECT 'noop', (random() * 9)::int, now() + random() * interval '5 s'
    FROM generate_series(1, (random() * 200)::int);

    IF extract(second FROM now())::int % 30 = 0 THEN
        INSERT INTO tasks (task_id, parent_task_id, action)
        SELECT report, NULL, 'noop'
        UNION ALL
        SELECT task_uuidv7(), report, 'page' FROM generate_series(1, 8);
    END IF;
END
$load$
\watch interval=1
