#!/usr/bin/env bash
# Installs what the tests need and is missing: PostgreSQL's server programs and Chromium.
# As root where apt-get is, it installs them; elsewhere it says what to install and fails.
set -euo pipefail

if [[ ${1-} == --help || ${1-} == -h ]]; then
	sed -n '2,3s/^# //p' "$0"
	exit 0
fi

has_postgres() {
	command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

has_browser() {
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null
}

missing=()
has_postgres || missing+=(postgresql)
has_browser || missing+=(chromium)
if ((${#missing[@]} == 0)); then
	echo "setup: PostgreSQL's server programs and Chromium are here"
	exit 0
fi

if ((EUID == 0)) && command -v apt-get >/dev/null; then
	echo "setup: installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
	exit 0
fi

cat >&2 <<TEXT
setup: missing: ${missing[*]}
  Debian, Ubuntu:  sudo apt-get install -y ${missing[*]}
  Fedora:          sudo dnf install -y ${missing[*]/#postgresql/postgresql-server}
  macOS:           brew install postgresql@17 && brew install --cask chromium
The servers of PostgreSQL need not run: the tests start one of their own.
TEXT
exit 1
