-- What the server is and how much room it has left. Settings that this session may not see are NULL.
-- Index: none; settings and statistics alone.
SELECT
    current_setting('server_version_num')::int / 10000 AS major,
    split_part(current_setting('server_version'), ' ', 1) AS version,
    pg_is_in_recovery() AS in_recovery,
    current_setting('transaction_read_only')::boolean AS read_only,
    now() AS clock,
    pg_notification_queue_usage() AS notification_queue_usage,
    (
        SELECT count(*)
        FROM pg_stat_activity
        WHERE usesysid IS NOT NULL
          AND datid IS NOT NULL
    ) AS connections,
    current_setting('max_connections')::bigint
        - current_setting('superuser_reserved_connections')::bigint
        - coalesce(current_setting('reserved_connections', true), '0')::bigint AS connections_max,
    (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS data_directory,
    pg_database_size(current_database()) AS database_bytes,
    has_schema_privilege('public', to_regnamespace(quote_ident(current_schema())), 'CREATE') AS everybody_creates
