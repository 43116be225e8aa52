-- Which version of its design a task works with.
--
-- Why: a reference stays the same while the documents behind it change; the hash tells later which they were.
-- Locks: ACCESS EXCLUSIVE on tasks, for as long as it takes to change the catalogue: no row is read or written, however
-- many there are.
-- Undo: ALTER TABLE tasks DROP COLUMN design_hash.

ALTER TABLE tasks
    -- by the holder, before its executor starts: SHA-256 of the bytes; NULL: its action wants no design, or none came yet
    ADD COLUMN design_hash bytea;
