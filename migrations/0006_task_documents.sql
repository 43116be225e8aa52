-- Task documents: a task with its result and its log as one JSON document, alone or with the tasks below it.
--
-- Why: programs that know the documents of the task model read them as they are, from SQL as well.
-- Locks: none; functions only.
-- Undo: drop the functions and the domains below.
--
-- Who may read the tables may call them. The library makes the same documents (test:
-- the_library_and_sql_make_the_same_document_of_any_task).

CREATE DOMAIN document_layers AS integer
    CONSTRAINT layers_is_minus_1_or_at_least_1 CHECK (VALUE = -1 OR VALUE >= 1);
CREATE DOMAIN document_messages AS integer
    CONSTRAINT messages_is_0_to_10000 CHECK (VALUE BETWEEN 0 AND 10000);

-- An instant as documents write it: RFC 3339, UTC, microseconds.
CREATE FUNCTION document_instant(instant timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $instant$
    SELECT to_char(instant AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$instant$;

-- Links as documents write them: flat, by relation, the URIs of a relation in their order.
CREATE FUNCTION document_links(links jsonb) RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE AS $links$
    SELECT coalesce(
        jsonb_agg(jsonb_build_object('rel', relation, 'href', uri) ORDER BY relation COLLATE "C", number), '[]')
    FROM jsonb_each(CASE jsonb_typeof(links) WHEN 'object' THEN links ELSE '{}' END) AS related (relation, uris)
    CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(uris) WHEN 'array' THEN uris ELSE '[]' END)
        WITH ORDINALITY AS listed (uri, number)
    WHERE jsonb_typeof(uri) = 'string'
$links$;

-- The documents of a task and of those below it, by their ids, and which is the first: the task itself is layer 1, -1
-- are all layers. Each has the last `messages` entries of its log, in their order; the error count is that of the whole
-- log. NULL: there is no such task.
CREATE FUNCTION task_tree_document(
    task_id uuid, layers document_layers DEFAULT -1, messages document_messages DEFAULT 1000
) RETURNS jsonb LANGUAGE sql STABLE SET search_path FROM CURRENT SET enable_sort = on
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $tree$
    WITH RECURSIVE tree AS (
        SELECT t.task_id, 1 AS layer
        FROM tasks AS t
        WHERE t.task_id = task_tree_document.task_id
        UNION ALL
        SELECT child.task_id, tree.layer + 1
        FROM tree
        JOIN tasks AS child ON child.parent_task_id = tree.task_id
        -- no tree is deeper
        WHERE tree.layer < CASE layers WHEN -1 THEN 64 ELSE layers END
    )
    SELECT jsonb_build_object('init_task_id', task_tree_document.task_id) || jsonb_object_agg(tree.task_id::text, one.document)
    FROM tree
    CROSS JOIN LATERAL (
        -- OFFSET 0 keeps the planner from beginning with all tasks and looking for those of the tree
        SELECT jsonb_build_object(
            'kind', 'Task',
            'apiVersion', 'v1',
            'task_id', t.task_id,
            'action', t.action,
            'parent_task_id', t.parent_task_id,
            'design_ref', t.design_ref,
            'status', t.status,
            'node_filter', t.node_filter,
            'subtask_id_list', (
                SELECT coalesce(jsonb_agg(child.task_id ORDER BY child.task_id), '[]')
                FROM tasks AS child
                WHERE child.parent_task_id = t.task_id
            ),
            'created', document_instant(t.created),
            'created_by', t.created_by,
            'updated', document_instant(t.updated),
            'terminated', document_instant(t."terminated"),
            'terminated_by', t.terminated_by,
            'terminate', t."terminate",
            'retry', t.retry,
            'result', jsonb_build_object(
                'kind', 'Status',
                'apiVersion', 'v1.0',
                'metadata', jsonb_build_object(),
                'message', t.result_message,
                'reason', t.result_reason,
                'status', t.result_status,
                'successes', to_jsonb(coalesce(t.result_successes, '{}')),
                'failures', to_jsonb(coalesce(t.result_failures, '{}')),
                'links', document_links(t.result_links),
                'details', jsonb_build_object(
                    'errorCount', (
                        SELECT count(*) FROM result_message AS m WHERE m.task_id = t.task_id AND m.error
                    ),
                    'messageList', (
                        SELECT coalesce(
                            jsonb_agg(
                                jsonb_build_object(
                                    'message', last.message,
                                    'error', last.error,
                                    'context_type', last.context_type,
                                    'context', last.context,
                                    'ts', document_instant(last.ts),
                                    'extra', CASE coalesce(jsonb_typeof(last.extra), 'null')
                                        WHEN 'object' THEN last.extra
                                        WHEN 'null' THEN '{}'
                                        ELSE jsonb_build_object('value', last.extra)
                                    END
                                )
                                ORDER BY last.sequence
                            ),
                            '[]'
                        )
                        FROM (
                            SELECT m.sequence, m.message, m.error, m.context_type, m.context, m.ts, m.extra
                            FROM result_message AS m
                            WHERE m.task_id = t.task_id
                            ORDER BY m.sequence DESC
                            LIMIT messages
                        ) AS last
                    )
                )
            )
        ) AS document
        FROM tasks AS t
        WHERE t.task_id = tree.task_id
        OFFSET 0
    ) AS one
$tree$;

-- The document of a task alone. NULL: there is no such task.
CREATE FUNCTION task_document(task_id uuid, messages document_messages DEFAULT 1000) RETURNS jsonb
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $document$
    SELECT task_tree_document(task_id, 1, messages) -> task_id::text
$document$;
