-- Replication slots with the log that they keep, and whether there is a bound to it.
-- Index: none.
SELECT
    slot_name::text AS name,
    active,
    coalesce(wal_status, 'lost') AS wal_status,
    coalesce(pg_wal_lsn_diff(
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END,
        restart_lsn), 0)::bigint AS kept_bytes,
    current_setting('max_slot_wal_keep_size') <> '-1' AS bounded,
    format('SELECT pg_drop_replication_slot(%L)', slot_name) AS remedy
FROM pg_replication_slots
ORDER BY slot_name
