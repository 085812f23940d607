#!/bin/sh
# Recovery of the server to any point in time, with PostgreSQL's own programs: a base backup each
# night, and its write-ahead log, kept all the time, from then on.
#
#   pitr.sh archive /archive %p %f      as archive_command: keeps a finished segment of the log
#   pitr.sh base /backup/2026-11-22     copies the server's data into a new folder; the services go on
#   pitr.sh recover /backup/2026-11-22 /archive DATA '2026-11-22 14:05:00+01'
#                                       makes the data folder DATA as of that time, or as of the log's end: latest
#
# Run it on the server as its user (postgres), who is a superuser of the database and may log in
# without a password, with the server's programs in the PATH (Debian: /usr/lib/postgresql/17/bin).
#
# Before recover: stop the services and the server and move its folder away, DATA must not be there.
# It starts a server that nobody else reaches, lets it read the log up to the time, leaves the note
# that each service acts on at its next start (restore.sh --note), and stops it. Only then DATA
# appears. Start the server and the services as always, and make a new base backup. DATABASE is the
# services' database (basis); CONFIG is postgresql.conf where it does not stand in the data folder
# (Debian: /etc/postgresql/17/main/postgresql.conf); TIMELINE is for going forward again, after a
# recovery that went back too far (1: as if there had been none). See docs/backup.md.
set -eu
umask 077
die() { echo "$*" >&2; exit 1; }

# A segment that is there already, complete and the same, was archived right before a crash.
archive() {
	to=$1/$3
	[ ! -e "$to" ] || { cmp -s "$2" "$to" && return 0 || die "$to is there already and is not the same; is the archive another server's?"; }
	cp "$2" "$1/.$3.partial"
	sync "$1/.$3.partial"
	mv "$1/.$3.partial" "$to"
	sync "$1"
}

base() {
	part=$1.partial
	[ ! -e "$1" ] || die "$1 is there already; it is not overwritten"
	mkdir "$part" # another backup to the same folder fails here
	trap 'rm -rf "$part"' EXIT
	trap 'exit 1' INT TERM HUP
	pg_basebackup --pgdata="$part" --wal-method=stream --checkpoint=fast --manifest-checksums=SHA256
	pg_verifybackup --quiet "$part"
	mv "$part" "$1"
	sync "$(dirname "$1")"
	trap - EXIT
	echo "$1: $(du -sh "$1" | cut -f 1)"
}

recover() {
	base=$1 archive=$2 data=$3 time=$4 part=$3.partial
	[ ! -e "$data" ] || die "$data is there; stop the server and move it away"
	case $archive in /*) ;; *) die "$archive: give the archive's whole path" ;; esac
	case $archive$time${TIMELINE:-} in *[!A-Za-z0-9./_:+\ -]*) die "$archive, $time ${TIMELINE:-}: only letters, digits, spaces and . / _ : + - are understood" ;; esac
	[ -d "$archive" ] || die "$archive is no folder"
	[ -n "${CONFIG:-}" ] || [ -e "$base/postgresql.conf" ] || die "$base has no postgresql.conf: say where it is by CONFIG"
	pg_verifybackup --quiet "$base" || die "$base is damaged or not complete; nothing was done"

	mkdir "$part"
	socket=$(mktemp -d)
	trap 'pg_ctl --silent --pgdata="$part" --mode=immediate stop 2>/dev/null || true
		tail -n 20 "$socket/log" >&2 || true
		rm -rf "$part" "$socket"; echo "recovering failed; there is no $data" >&2' EXIT
	trap 'exit 1' INT TERM HUP
	cp -a "$base/." "$part/"
	cp "$part/postgresql.auto.conf" "$socket/auto.conf"
	touch "$part/recovery.signal"
	{
		echo "restore_command = 'cp \"$archive/%f\" \"%p\"'"
		echo "recovery_target_action = promote"
		echo "recovery_target_timeline = '${TIMELINE:-latest}'"
		[ "$time" = latest ] || echo "recovery_target_time = '$time'"
	} >>"$part/postgresql.auto.conf"

	export PGHOST="$socket" PGPORT=5432
	pg_ctl --silent --pgdata="$part" --log="$socket/log" --timeout=3600 --options="-k '$socket' -p 5432 -c listen_addresses='' \
		-c hot_standby=off -c data_directory='$part' ${CONFIG:+-c config_file='$CONFIG'}" start
	# It answers when it has read all that it should; it ends by itself if the log does not reach so far.
	until last=$(psql -XAtq -d postgres -c 'SELECT pg_last_xact_replay_timestamp()' 2>/dev/null); do
		pg_ctl --silent --pgdata="$part" status >/dev/null || die "the server ended before it had recovered"
		sleep 1
	done
	"$(dirname "$0")/restore.sh" --note "${DATABASE:-basis}"
	pg_ctl --silent --pgdata="$part" --mode=fast stop
	# The server brought all else to the disk, what was copied at its start, the rest at its end.
	cp "$socket/auto.conf" "$part/postgresql.auto.conf"
	sync "$part/postgresql.auto.conf" "$part"
	mv "$part" "$data"
	sync "$(dirname "$data")"
	trap - EXIT
	rm -rf "$socket"
	echo "$data is as of $time; its last transaction was committed at ${last:-a time before the base backup}"
}

case ${1:-}/$# in
archive/4 | base/2 | recover/5) "$@" ;;
*) die "usage: pitr.sh archive FOLDER %p %f | pitr.sh base FOLDER | pitr.sh recover BASE ARCHIVE DATA TIME" ;;
esac
