#!/usr/bin/env bash
# Builds a third-party program of tools/programs from source, once, and prints its path.
#   tools/build.sh NAME
# Programs stand in the user's cache (TOOLS_CACHE, else $XDG_CACHE_HOME/basisdienste/bin), so that
# every checkout shares them; another version in go.mod is another file.
set -euo pipefail

root=$(cd "$(dirname "$0")" && pwd)/programs
if [[ ${1-} == --help || ${1-} == -h || $# != 1 ]]; then
	sed -n '2,5s/^# //p' "$0"
	echo "NAME is one of: $(cd "$root" && echo */ | tr -d /)"
	exit $(($# != 1))
fi
name=$1
module=$root/$name
[[ -f $module/go.mod ]] || { echo "build.sh: no program $name; see build.sh --help" >&2; exit 2; }
package=$(awk '$1 == "tool" {print $2}' "$module/go.mod")
bin=${TOOLS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/basisdienste/bin}
program=$bin/$name-$(cat "$module/go.mod" "$module/go.sum" | sha256sum | cut -c1-12)
if [[ ! -x $program ]]; then
	mkdir -p "$bin"
	exec 9>"$program.lock"
	flock 9
	if [[ ! -x $program ]]; then
		echo "building $package (once)" >&2
		(cd "$module" && GOWORK=off ${GO:-go} build -trimpath -ldflags '-s -w' -o "$program.new" "$package") >&2
		mv "$program.new" "$program"
	fi
fi
echo "$program"
