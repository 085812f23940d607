#!/bin/sh
# Makes a database from a folder that backup.sh made:
#
#   restore.sh /backup/2026-11-22 basis            a new database; it must not be there yet
#   restore.sh /backup/2026-11-22 basis payment    the schema of one service alone, in place of the present one
#   restore.sh --note basis                        after a recovery to a point in time: only leave the note
#
# Run it as backup.sh. Stop all services first (of one schema: that service), and start them again
# afterwards. Each finds the note that its tables were brought back, and acts on it once. Uploaded
# files are in the folder "files" of the backup: copy them to forms.files_dir. See docs/backup.md.
set -eu
from=${1:?usage: restore.sh FOLDER DATABASE [SCHEMA], or restore.sh --note DATABASE}
database=${2:?usage: restore.sh FOLDER DATABASE [SCHEMA]}
schema=${3:-}
ask() { psql -XAtq -v ON_ERROR_STOP=1 "$@"; }

# Each schema with a table "restored" gets a row in it.
note() {
	ask -d "$database" -v only="$schema" <<'SQL'
SELECT format('INSERT INTO %I.restored (at) VALUES ((extract(epoch FROM clock_timestamp()) * 1000000)::bigint)', schemaname)
FROM pg_tables WHERE tablename = 'restored' AND :'only' IN ('', schemaname) \gexec
SQL
}

if [ "$from" = --note ]; then
	note
	exit
fi
(cd "$from" && sha256sum --check --quiet --strict SHA256SUMS) || { echo "$from is damaged or not complete; nothing was done" >&2; exit 1; }
pg_restore --list "$from/database" >/dev/null

if [ -n "$schema" ]; then
	pg_restore --list "$from/database" | grep -q " SCHEMA - $schema " || { echo "$from has no schema $schema; nothing was done" >&2; exit 1; }
	# The present tables stay until the others are complete.
	ask -d "$database" -c "ALTER SCHEMA \"$schema\" RENAME TO \"${schema}_before_restore\""
	trap 'ask -d "$database" -c "DROP SCHEMA IF EXISTS \"$schema\" CASCADE" -c "ALTER SCHEMA \"${schema}_before_restore\" RENAME TO \"$schema\""
		echo "restoring failed; $schema is as it was" >&2' EXIT
	ask -d "$database" -v schema="$schema" <<'SQL'
CREATE SCHEMA :"schema" AUTHORIZATION basis_owner;
SELECT format('GRANT %s ON SCHEMA %I TO %I', a.privilege_type, :'schema', a.grantee::regrole::text)
FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = :'schema' || '_before_restore' AND a.grantee <> 0 \gexec
SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT %s ON %s TO %I', d.defaclrole::regrole::text, :'schema',
	a.privilege_type, CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' END, a.grantee::regrole::text)
FROM pg_default_acl d JOIN pg_namespace n ON n.oid = d.defaclnamespace, aclexplode(d.defaclacl) a
WHERE n.nspname = :'schema' || '_before_restore' AND d.defaclobjtype IN ('r', 'S') \gexec
SQL
	pg_restore --exit-on-error --schema="$schema" --jobs="${JOBS:-2}" --dbname="$database" "$from/database"
	note
	trap - EXIT
	ask -d "$database" -c "DROP SCHEMA \"${schema}_before_restore\" CASCADE"
	echo "$schema is as of $(cat "$from/at")"
	exit
fi

[ -z "$(ask -d postgres -v name="$database" <<'SQL'
SELECT 1 FROM pg_database WHERE datname = :'name';
SQL
)" ] || { echo "the database $database is there; rename it (ALTER DATABASE … RENAME TO …), or give another name" >&2; exit 1; }
ask -d postgres -f "$from/roles.sql"
createdb --template=template0 --encoding=UTF8 "$database"
trap 'dropdb --if-exists "$database"; echo "restoring failed; $database was removed" >&2' EXIT
pg_restore --exit-on-error --jobs="${JOBS:-2}" --dbname="$database" "$from/database"
ask -d "$database" -v name="$database" <<'SQL'
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SELECT format('GRANT CONNECT ON DATABASE %I TO %I', :'name', rolname) FROM pg_roles WHERE rolname LIKE 'basis\_%' \gexec
ANALYZE;
SQL
note
trap - EXIT
echo "$database is as of $(cat "$from/at")"
