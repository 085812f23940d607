#!/usr/bin/env bash
# Installs what the tests need and is missing: PostgreSQL's server programs, Chromium, and the
# programs that check the deployment files (HAProxy, Prometheus' promtool, systemd-analyze).
# As root where apt-get is, it installs them; elsewhere it says what to install and fails.
# Nothing of it is started as a service.
set -euo pipefail

if [[ ${1-} == --help || ${1-} == -h ]]; then
	sed -n '2,5s/^# //p' "$0"
	exit 0
fi

has() {
	local name
	for name in "$@"; do command -v "$name" >/dev/null && return; done
	return 1
}
has_postgres() { has initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }

missing=()
has_postgres || missing+=(postgresql)
has chromium chromium-browser google-chrome-stable google-chrome || missing+=(chromium)
has promtool || missing+=(prometheus)
has openssl || missing+=(openssl)
if [[ $(uname) == Linux ]]; then
	has haproxy /usr/sbin/haproxy || missing+=(haproxy)
	has systemd-analyze || missing+=(systemd)
fi
if ((${#missing[@]} == 0)); then
	echo "setup: everything that the tests need is here"
	exit 0
fi

if ((EUID == 0)) && command -v apt-get >/dev/null; then
	echo "setup: installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	# Packages of servers start them on a machine with systemd; these are wanted for their programs.
	policy=/usr/sbin/policy-rc.d
	if [[ ! -e $policy ]]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
		trap 'rm -f "$policy"' EXIT
	fi
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
	exit 0
fi

cat >&2 <<TEXT
setup: missing: ${missing[*]}
  Debian, Ubuntu:  sudo apt-get install -y ${missing[*]}
  Fedora:          sudo dnf install -y ${missing[*]/#postgresql/postgresql-server}
  macOS:           brew install postgresql@17 prometheus && brew install --cask chromium
The servers need not run: the tests start their own.
TEXT
exit 1
