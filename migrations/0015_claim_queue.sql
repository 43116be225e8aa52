-- Claims say which queue they are of.
--
-- Why: whatever settles, gives back or rescues tasks names one queue by equality, so that a database distributed by
-- queue does it on one node (deploy/CITUS.md). To name it, whoever finds a claim must learn its queue without its
-- tasks.
-- Locks: ACCESS EXCLUSIVE on claims, which has a row for each batch under way: claims wait for the moment that it takes
-- to look up one task of each. SHARE ROW EXCLUSIVE on tasks, for a trigger: it waits for writers under way, and new
-- ones wait for it. No row of tasks is read besides.
-- Undo: drop the functions claims_queue and tasks_queue with their triggers, then the column claims.queue. Workers of
-- the previous version run beside it: the trigger says the queue for them.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', false);

-- A held task stays in its queue: whoever settles or rescues it names that of its claim, and would never find it again.
-- One trigger a statement, on this column alone, so that claims and completions pay nothing for it.
-- Before claims are altered: statements lock tasks first, and then claims.
CREATE FUNCTION tasks_queue() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $queue$
DECLARE
    held uuid;
BEGIN
    SELECT tasks.task_id INTO held
    FROM claims
    CROSS JOIN unnest(claims.task_ids) AS of_claim (task_id)
    JOIN tasks ON tasks.task_id = of_claim.task_id
    WHERE tasks.claim_token = claims.claim_token
      AND tasks.queue <> claims.queue
      AND tasks.status IN ('running', 'terminating')
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'task % is held by a worker: its queue stays as it is', held
            USING ERRCODE = 'check_violation', TABLE = 'tasks', CONSTRAINT = 'held_task_stays_in_its_queue',
                HINT = 'Change the queue of tasks that wait: WHERE status IN (''requested'', ''queued'').';
    END IF;
    RETURN NULL;
END
$queue$;
CREATE TRIGGER tasks_queue AFTER UPDATE OF queue ON tasks FOR EACH STATEMENT EXECUTE FUNCTION tasks_queue();

ALTER TABLE claims ADD COLUMN queue task_queue;

UPDATE claims
SET queue = (SELECT tasks.queue FROM unnest(claims.task_ids) AS held (task_id) JOIN tasks USING (task_id) LIMIT 1);
-- those whose tasks are all gone lead nowhere
DELETE FROM claims WHERE queue IS NULL;
ALTER TABLE claims ALTER COLUMN queue SET NOT NULL;

-- Says the queue where the worker does not.
CREATE FUNCTION claims_queue() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $queue$
BEGIN
    NEW.queue := (SELECT tasks.queue FROM tasks WHERE tasks.task_id = NEW.task_ids[1]);
    RETURN NEW;
END
$queue$;
CREATE TRIGGER claims_queue BEFORE INSERT ON claims
FOR EACH ROW WHEN (NEW.queue IS NULL) EXECUTE FUNCTION claims_queue();
