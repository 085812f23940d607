#!/bin/sh
# Copies the database of all services, as of one instant, and the uploaded files into a new folder:
#
#   backup.sh /backup/2026-11-22 [/srv/basisdienste/files]
#
# Run it where psql and pg_dump are, as a superuser of PostgreSQL (row-level security hides rows
# from everybody else); PGHOST and the like say which server, DATABASE which database (basis), JOBS
# how many tables at a time (2). The services go on. One pg_dump is one snapshot of all schemas:
# what one service learned from another is in both.
#
# The folder appears when it is complete. It holds personal data and password hashes: it is readable
# by you alone; encrypt what leaves the machine. See docs/backup.md.
set -eu
umask 077
to=${1:?usage: backup.sh FOLDER [FOLDER-OF-UPLOADED-FILES]}
files=${2:-}
database=${DATABASE:-basis}
part=$to.partial
[ ! -e "$to" ] || { echo "$to is there already; it is not overwritten" >&2; exit 1; }
mkdir "$part" # another backup to the same folder fails here
trap 'rm -rf "$part"' EXIT
trap 'exit 1' INT TERM HUP

ask() { psql -XAtq -v ON_ERROR_STOP=1 -d "$database" "$@"; }

# Files before the database and again after it: one that is deleted meanwhile is still named by the
# database; one too many is swept away by the service.
copy_files() { [ -z "$files" ] || { mkdir -p "$part/files" && cp -a --no-clobber "$files/." "$part/files/"; }; }

copy_files
ask -c "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')" >"$part/at"
pg_dump --format=directory --jobs="${JOBS:-2}" --file="$part/database" "$database"
copy_files
# Roles with the hashes of their passwords, each made only where it is missing.
ask >"$part/roles.sql" <<'SQL'
SELECT format('SELECT %L WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = %L) \gexec',
	format('CREATE ROLE %I %s NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE%s', rolname, CASE WHEN rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END,
		CASE WHEN rolpassword IS NULL THEN '' ELSE format(' PASSWORD %L', rolpassword) END), rolname)
FROM pg_authid WHERE rolname LIKE 'basis\_%' ORDER BY rolname;
SQL
(cd "$part" && find . -type f ! -name SHA256SUMS -exec sha256sum {} + | sort -k 2 >SHA256SUMS)
sync "$part" 2>/dev/null || sync
mv "$part" "$to"
trap - EXIT
echo "$to: $(du -sh "$to" | cut -f 1), as of $(cat "$to/at")"
