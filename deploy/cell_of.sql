-- Which cell a key belongs to, for producers that write SQL: the name of which the SHA-256 of name/key, in UTF-8, is the
-- highest. The same as longshore_queue::cell_of, and as this line of Python:
--     max(cells, key=lambda cell: hashlib.sha256(f"{cell}/{key}".encode()).digest())
-- Needs nothing of Longshore, and may be put into any database of a producer's. Without a function it is the expression
-- below. NULL where there are no cells.
CREATE OR REPLACE FUNCTION cell_of(key text, cells text[]) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $cell$
    SELECT cell
    FROM unnest(cells) AS cell
    ORDER BY sha256(convert_to(cell || '/' || key, 'UTF8')) DESC
    LIMIT 1
$cell$;
