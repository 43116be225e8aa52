-- Reads the bytes on disk of every partition, oldest first, and how many tasks it held at its last ANALYZE or VACUUM.
--
-- Index: none; file sizes and the catalog alone.
SELECT
    partition,
    tasks,
    tasks_bytes,
    result_message_bytes,
    task_output_bytes
FROM table_bytes()
