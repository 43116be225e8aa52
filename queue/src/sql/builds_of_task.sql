-- The build data of a task, the newest first; with $2 only those that no later one of the same node and generator, of
-- whatever task, has replaced.
--   $1 task_id uuid   $2 latest boolean   $3 with elements boolean   $4 limit int
-- Index: build_data_task, then build_data_node. No locks.
SELECT
    build_data.build_id,
    build_data.node_name,
    build_data.task_id,
    build_data.collected_date,
    build_data.generator,
    build_data.data_format,
    build_data.data_bytes,
    CASE WHEN $3 THEN build_data.data_element END AS data_element
FROM build_data
WHERE build_data.task_id = $1
  AND NOT (
      $2
      AND EXISTS (
          SELECT
          FROM build_data AS later
          WHERE later.node_name = build_data.node_name
            AND later.generator = build_data.generator
            AND (later.collected_date, later.build_id) > (build_data.collected_date, build_data.build_id)
      )
  )
ORDER BY build_data.collected_date DESC, build_data.build_id DESC
LIMIT $4
