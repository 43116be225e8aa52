-- Who has which of these rights: the roles named, as far as they exist, and the session's own user, who is judged as
-- the role $6 unless it owns the tables or is a member of any of them. A right upon something that is not there is left
-- out.
--   $1 roles text[]   $2 privileges text[]   $3 kinds text[]: schema, table, column, sequence or function
--   $4 objects text[]   $5 columns text[], NULL but for a column: one right a place
--   $6 role text: that of a worker
-- Index: none; the catalog alone.
WITH needed AS MATERIALIZED (
    SELECT role, privilege, kind, object, field
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
        AS given (role, privilege, kind, object, field)
),
grantee AS MATERIALIZED (
    SELECT
        rolname::text AS name,
        rolname::text AS role,
        pg_has_role(current_user, oid, 'MEMBER') AND NOT current_setting('is_superuser')::boolean AS is_own
    FROM pg_roles
    WHERE rolname IN (SELECT role FROM needed)
),
subject AS MATERIALIZED (
    SELECT name, role, is_own
    FROM grantee
    UNION ALL
    SELECT current_user::text, $6, true
    WHERE NOT current_setting('is_superuser')::boolean
      AND NOT EXISTS (SELECT FROM grantee WHERE is_own)
      AND NOT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('tasks') AND pg_has_role(current_user, relowner, 'MEMBER'))
)
SELECT
    subject.name AS subject,
    subject.role,
    subject.is_own,
    needed.privilege,
    concat_ws('.', needed.object, needed.field) AS object,
    looked.granted
FROM subject
JOIN needed ON needed.role = subject.role
CROSS JOIN LATERAL (
    SELECT CASE needed.kind
        WHEN 'schema' THEN has_schema_privilege(subject.name, quote_ident(current_schema())::regnamespace, needed.privilege)
        WHEN 'table' THEN has_table_privilege(subject.name, to_regclass(quote_ident(needed.object)), needed.privilege)
        WHEN 'sequence' THEN has_sequence_privilege(subject.name, to_regclass(quote_ident(needed.object)), needed.privilege)
        WHEN 'function' THEN (
            SELECT has_function_privilege(subject.name, oid, needed.privilege)
            FROM pg_proc
            WHERE pronamespace = quote_ident(current_schema())::regnamespace
              AND format('%s(%s)', proname, pg_get_function_identity_arguments(oid)) = needed.object
        )
        WHEN 'column' THEN (
            SELECT has_column_privilege(subject.name, attrelid, attnum, needed.privilege)
            FROM pg_attribute
            WHERE attrelid = to_regclass(quote_ident(needed.object))
              AND attname = needed.field
              AND NOT attisdropped
        )
    END AS granted
) AS looked
WHERE looked.granted IS NOT NULL
ORDER BY subject.name, needed.privilege, object
