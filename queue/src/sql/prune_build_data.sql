-- Looks at the next $5 entries of build data and deletes those recorded longer than $3 ago, but never the latest of a
-- node and generator. Says how many, and up to where it has looked; NULL at the end.
--   $1 identity uuid   $2 epoch bigint: the leader's; SQLSTATE LS001 if it is not active
--   $3 retention interval   $4 build_id uuid, exclusive   $5 limit int
-- Index: the primary key, then build_data_node.
SELECT
    deleted,
    next
FROM prune_build_data($1, $2, $3, $4, $5)
