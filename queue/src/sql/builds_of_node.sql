-- The build data of a node, the newest first; with $2 only those of one task, with $3 only those that no later one of
-- the same generator has replaced.
--   $1 node_name text   $2 task_id uuid or NULL   $3 latest boolean   $4 with elements boolean   $5 limit int
-- Index: build_data_node. No locks.
SELECT
    build_data.build_id,
    build_data.node_name,
    build_data.task_id,
    build_data.collected_date,
    build_data.generator,
    build_data.data_format,
    build_data.data_bytes,
    CASE WHEN $4 THEN build_data.data_element END AS data_element
FROM build_data
WHERE build_data.node_name = $1
  AND ($2::uuid IS NULL OR build_data.task_id = $2)
  AND NOT (
      $3
      AND EXISTS (
          SELECT
          FROM build_data AS later
          WHERE later.node_name = build_data.node_name
            AND later.generator = build_data.generator
            AND (later.collected_date, later.build_id) > (build_data.collected_date, build_data.build_id)
      )
  )
ORDER BY build_data.collected_date DESC, build_data.build_id DESC
LIMIT $5
