-- Gathers the statistics of the partitioned tables as a whole, which autovacuum never does.
--
-- $1 uuid, $2 bigint: the active instance's identity and epoch; SQLSTATE LS001 if it is not active
--
-- Locks: SHARE UPDATE EXCLUSIVE, which no reader or writer waits for.
SELECT FROM analyze_tables($1, $2)
