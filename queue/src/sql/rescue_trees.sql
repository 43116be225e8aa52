-- Ends the tasks of trees that dead workers held and that have no attempt left, or are terminating; parameters and rules as
-- in rescue. One row a task.
--   $1 identity uuid   $2 epoch bigint: the leader's   $3 worker_id uuid: the witness   $4 limit of claims int
SELECT task_id, queue, status
FROM rescue_trees($1, $2, $3, $4)
