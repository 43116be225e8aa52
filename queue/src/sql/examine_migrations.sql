-- Which migrations were applied, in order.
-- Index: none; a row for each.
SELECT version, success, checksum
FROM longshore_migrations
ORDER BY version
