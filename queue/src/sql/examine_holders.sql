-- What keeps vacuum from dead rows here: transactions, prepared ones, and standbys by their slots, with how long that
-- has been (NULL where it cannot be known or seen), how many transactions ago, and the statement that ends it.
-- Sessions of other roles show their age to members of pg_read_all_stats alone.
-- Index: none.
SELECT
    'session' AS kind,
    concat(
        'session ', pid, ' of ', usename, ' (' || nullif(application_name, '') || ')', ' from ' || host(client_addr),
        ', ' || state) AS holder,
    extract(epoch FROM now() - xact_start)::float8 AS seconds,
    age(coalesce(backend_xmin, backend_xid))::bigint AS xids,
    xact_start IS NULL AND datid IS NOT NULL AS hidden,
    format('SELECT pg_terminate_backend(%s)', pid) AS remedy
FROM pg_stat_activity
WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
  AND pid <> pg_backend_pid()
  AND usesysid IS NOT NULL
  AND (datid IS NULL OR datname = current_database())
UNION ALL
SELECT
    'prepared',
    concat('transaction ', gid, ' of ', owner),
    extract(epoch FROM now() - prepared)::float8,
    age(transaction)::bigint,
    false,
    format('ROLLBACK PREPARED %L', gid)
FROM pg_prepared_xacts
WHERE database = current_database()
UNION ALL
SELECT
    'session',
    concat('replication slot ', slot_name),
    NULL,
    age(xmin)::bigint,
    false,
    format('SELECT pg_drop_replication_slot(%L)', slot_name)
FROM pg_replication_slots
WHERE xmin IS NOT NULL
ORDER BY xids DESC
