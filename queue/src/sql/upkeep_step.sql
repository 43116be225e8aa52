-- Takes the next step of upkeep, at most one, and says which; the steps are told in migrations/0002_retention.sql.
--
-- $1 uuid, $2 bigint: the active instance's identity and epoch; SQLSTATE LS001 if it is not active
-- $3 interval: how long a success is kept after its end
-- $4 interval: how long any other ended task is kept
--
-- Index: the partition's primary key; a batch is 10,000 tasks.
-- Locks: drop, swap and extend take ACCESS EXCLUSIVE on the three tables for some ms and give up after 100 ms.
SELECT
    partition,
    action,
    tasks
FROM upkeep_step($1, $2, $3, $4)
