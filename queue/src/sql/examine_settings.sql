-- What these settings are for this session.
--   $1 names text[]
-- Index: none.
SELECT name, setting
FROM pg_settings
WHERE name = ANY ($1::text[])
ORDER BY name
