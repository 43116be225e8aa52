-- How many transaction ids, and multixacts, back the oldest row of each database may be, and from where on autovacuum
-- is forced to look; the oldest first.
-- Index: none.
SELECT
    datname::text AS database,
    age(datfrozenxid)::bigint AS xids,
    current_setting('autovacuum_freeze_max_age')::bigint AS xids_due,
    mxid_age(datminmxid)::bigint AS multixacts,
    current_setting('autovacuum_multixact_freeze_max_age')::bigint AS multixacts_due
FROM pg_database
ORDER BY age(datfrozenxid) DESC, datname
