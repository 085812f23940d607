#!/usr/bin/env bash
# Runs a load scenario and writes a page of results.
#   loadtest/run.sh SCENARIO      (make loadtest SCENARIO=journey RATE=20 DURATION=2m)
#   loadtest/run.sh all           every scenario but soak, about a quarter of an hour, then docs/capacity.md
# Scenarios are the scripts in loadtest/k6. Settings come from the environment:
#   URL, DATA        a running installation and the folder of its demo.json; without them bin/basis is
#                    built, started on a fresh folder and a free port, and ended afterwards
#   METRICS          where its processes tell their metrics, with commas (default: URL/metrics)
#   RATE, DURATION   and what else the script names in its first lines
#   MUNICIPALITIES   CSV that the fresh installation imports first; AREA draws from it
#   RESULTS          folder for the results (default: loadtest/results)
#   ALLOW_REMOTE=1   the target is another machine, and it is yours to load
#   BASIS, BASISCTL  programs to start instead of building them
#   WARM, IDLE       how long the server is warmed up and watched at rest before (5s each)
# Ends with 0 if all thresholds were kept, 99 if not, and another number if it could not run.
set -euo pipefail

cd "$(dirname "$0")/.."
if [[ ${1-} == --help || ${1-} == -h || $# != 1 ]]; then
	sed -n '2,16s/^# \{0,1\}//p' loadtest/run.sh
	exit $(($# != 1))
fi
k6=$(tools/build.sh k6)
${GO:-go} build -o bin/ ./loadtest/measure
if [[ -z ${URL-} && -z ${BASIS-} ]]; then
	${GO:-go} build -o bin/ ./services/basis/... ./tools/basisctl/...
fi
args=(--k6 "$k6")
for name in URL DATA METRICS MUNICIPALITIES RESULTS BASIS BASISCTL WARM IDLE; do
	value=${!name-}
	[[ -z $value ]] || args+=("--${name,,}=$value")
done
[[ ${ALLOW_REMOTE-} != 1 ]] || args+=(--allow-remote)
if [[ $1 != all ]]; then
	exec bin/measure "${args[@]}" "$1"
fi
worst=0
for scenario in tokens introspection payments forms citizens notify booking journey monday-morning deadline-day; do
	echo "==> $scenario"
	status=0
	bin/measure "${args[@]}" "$scenario" || status=$?
	((status == 0 || status == 99)) || exit "$status"
	((status == 0)) || worst=$status
done
if [[ -z ${RESULTS-} && -z ${URL-} ]]; then
	${GO:-go} run ./loadtest/capacity --write docs/capacity.md
fi
exit "$worst"
