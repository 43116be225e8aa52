-- The build data of all nodes, the newest arrival first; with $1 only those that no later one of the same node and
-- generator has replaced.
--   $1 latest boolean   $2 with elements boolean   $3 limit int
-- Index: the primary key, then build_data_node. No locks.
SELECT
    build_data.build_id,
    build_data.node_name,
    build_data.task_id,
    build_data.collected_date,
    build_data.generator,
    build_data.data_format,
    build_data.data_bytes,
    CASE WHEN $2 THEN build_data.data_element END AS data_element
FROM build_data
WHERE NOT (
      $1
      AND EXISTS (
          SELECT
          FROM build_data AS later
          WHERE later.node_name = build_data.node_name
            AND later.generator = build_data.generator
            AND (later.collected_date, later.build_id) > (build_data.collected_date, build_data.build_id)
      )
  )
ORDER BY build_data.build_id DESC
LIMIT $3
