-- Build data: what executors found out about nodes, kept as a history beside the tasks.
--
-- Why: a node's history outlives the tasks that made it: it stays when they are pruned, and when the node is destroyed
-- and deployed again.
-- Locks: none that anybody waits for; everything here is new.
-- Undo: drop the table build_data and the function prune_build_data.

CREATE TABLE build_data (
    -- made by the database, or by who sends the row, so that the same row sent twice is one; a UUIDv7, so the order of
    -- arrival
    build_id        uuid         NOT NULL DEFAULT task_uuidv7() PRIMARY KEY
        CONSTRAINT build_id_is_a_uuidv7
        CHECK (get_byte(uuid_send(build_id), 6) >> 4 = 7 AND get_byte(uuid_send(build_id), 8) >> 6 = 2),
    node_name       text         NOT NULL
        CONSTRAINT node_name_is_1_to_253_characters CHECK (char_length(node_name) BETWEEN 1 AND 253),
    -- no foreign key: the task may be elsewhere, or gone
    task_id         uuid         NOT NULL,
    collected_date  timestamptz  NOT NULL DEFAULT now()
        CONSTRAINT collected_date_is_between_2000_and_2200
        CHECK (collected_date >= '2000-01-01 00:00:00+00' AND collected_date < '2200-01-01 00:00:00+00'),
    generator       text         NOT NULL
        CONSTRAINT generator_is_1_to_256_characters CHECK (char_length(generator) BETWEEN 1 AND 256),
    data_format     text         NOT NULL
        CONSTRAINT data_format_is_1_to_32_characters CHECK (char_length(data_format) BETWEEN 1 AND 32),
    recorded_at     timestamptz  NOT NULL DEFAULT now(),
    data_bytes      integer      GENERATED ALWAYS AS (octet_length(data_element)) STORED,
    data_element    text         NOT NULL
        CONSTRAINT data_element_is_1_byte_to_64_mib CHECK (octet_length(data_element) BETWEEN 1 AND 67108864)
);
-- Wide elements lie out of line, so a summary reads none. 10 MB of JSON took 0.15 s as they are (11.2 MB of WAL) and by
-- lz4 (6.7 MB), 0.4 s by pglz: lz4 where the server has it, else as they are.
DO $storage$
BEGIN
    ALTER TABLE build_data ALTER COLUMN data_element SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    ALTER TABLE build_data ALTER COLUMN data_element SET STORAGE EXTERNAL;
END
$storage$;
-- By node, and whether there is a later one of the same generator.
CREATE INDEX build_data_node ON build_data (node_name, generator, collected_date, build_id);
CREATE INDEX build_data_task ON build_data (task_id);

-- Deletes rows recorded longer than `retention` ago, except the latest of each node and generator; for the active
-- instance. Looks at the next rows after `walked_to`, `batch` or 100 MB of them, and says up to where, NULL at the end.
CREATE FUNCTION prune_build_data(
    identity uuid, epoch bigint, retention interval, walked_to uuid, batch integer, OUT deleted bigint, OUT next uuid
) LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $prune$
DECLARE
    looked_at uuid[];
BEGIN
    PERFORM assert_active(identity, epoch, true);
    SELECT array_agg(build_id ORDER BY build_id) INTO looked_at
    FROM (
        SELECT build_id, sum(data_bytes) OVER (ORDER BY build_id) - data_bytes AS bytes_before
        FROM (
            SELECT build_id, data_bytes FROM build_data
            -- an hour for clocks that differ; recorded_at decides
            WHERE build_id > walked_to AND build_id < task_id_floor(now() - retention + interval '1 hour')
            ORDER BY build_id
            LIMIT batch
        ) AS following
    ) AS counted
    WHERE bytes_before < 100000000;
    next := looked_at[cardinality(looked_at)];
    DELETE FROM build_data AS old
    USING unnest(looked_at) AS given (build_id)
    WHERE old.build_id = given.build_id
        AND old.recorded_at < now() - retention
        AND EXISTS (
            SELECT FROM build_data AS later
            WHERE later.node_name = old.node_name
                AND later.generator = old.generator
                AND (later.collected_date, later.build_id) > (old.collected_date, old.build_id)
        );
    GET DIAGNOSTICS deleted = ROW_COUNT;
END
$prune$;

REVOKE EXECUTE ON FUNCTION prune_build_data FROM PUBLIC;

-- What runs as the owner looks for temporary objects last.
DO $search$
BEGIN
    EXECUTE format('ALTER FUNCTION prune_build_data SET search_path = %I, pg_temp', current_schema());
END
$search$;
