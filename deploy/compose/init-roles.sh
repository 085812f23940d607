#!/usr/bin/env bash
# Runs deploy/postgres/roles.sql with the passwords that stand in the secrets: when PostgreSQL
# starts for the first time, and by hand after a password was changed.
set -euo pipefail

secrets=${SECRETS:-/run/secrets}
args=()
for name in owner tenants auth payment forms notify booking console edge; do
	file=$secrets/${name}_database_url
	[[ $name == owner ]] && file=$secrets/owner_url
	login=$(sed 's,^postgres://,,; s,@.*,,' "$file") # user:password
	args+=(-v "${name}_password=${login#*:}")
done
psql -q -U postgres -d postgres "${args[@]}" -f "${ROLES:-/etc/postgresql/roles.sql}" >/dev/null
