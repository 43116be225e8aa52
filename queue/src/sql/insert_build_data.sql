-- Adds an entry of build data; one that is there already stays as it is.
--   $1 build_id uuid   $2 node_name text   $3 task_id uuid   $4 collected_date timestamptz, NULL: now
--   $5 generator text  $6 data_format text $7 data_element text
INSERT INTO build_data (build_id, node_name, task_id, collected_date, generator, data_format, data_element)
VALUES ($1, $2, $3, coalesce($4, now()), $5, $6, $7)
ON CONFLICT (build_id) DO NOTHING
