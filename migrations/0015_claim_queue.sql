-- Claims say which queue they are of.
--
-- Why: whatever settles, gives back or rescues tasks names one queue by equality, so that a database distributed by queue
-- does it on one node (deploy/CITUS.md). To name it, whoever finds a claim must learn its queue without its tasks.
-- Locks: ACCESS EXCLUSIVE on claims, which has a row for each batch under way: claims wait for the moment that it takes to
-- look up one task of each.
-- Undo: drop the function claims_queue with its trigger, then the column claims.queue. Workers of the previous version run
-- beside it: the trigger says the queue for them.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', false);

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
