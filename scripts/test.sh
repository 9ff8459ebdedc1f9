#!/usr/bin/env bash
# Runs everything that can be tested on this machine, and says what it left out and why. Each part runs, also after one
# that failed: one run tells everything that is wrong. They take an hour, and the next look is as far away.
#
# Usage: scripts/test.sh, with PYTHON, TEST_PROCESSES, CLUSTER_PROCESSES and CLUSTER_SECONDS, as `make test` gives them
#
# Exit:  0 when every part passed, else 1.
set -euo pipefail
cd "$(dirname "$0")/.."

# They start a Docker daemon of their own, leave hosts to be cleaned up, and have their time limits: they run alone.
readonly ALONE=(tests/rehearsal/test_ground.py tests/rehearsal/test_ground_daemon.py)
# Of the tests of what `mailstack verify` finds, these need hosts; the others do not.
mapfile -t on_hosts < <(grep -l mark.hosts tests/verify/test_*.py)
readonly on_hosts
# A module keeps its hosts; what shares a stack, a cluster or an engine is kept in one process.
readonly BY_GROUP=(-rs --durations=25 --dist loadgroup --no-loadscope-reorder)

failed=()

part() { # NAME COMMAND...: goes on whatever comes of it
  local name=$1
  shift
  echo "test: $name"
  "$@" || failed+=("$name")
}

build() { # SCRIPT: without Go (3) there is neither engine nor promtool, and the tests that need them say so
  local code=0
  "$1" || code=$?
  [ "$code" -eq 0 ] || [ "$code" -eq 3 ]
}

tests() { "$PYTHON" -m pytest "$@"; }

told() { # PID FILE: waits for it, and prints what it wrote
  local code=0
  wait "$1" || code=$?
  cat "$2"
  return "$code"
}

# Most tests need a node alone; the plugin takes as long again to build. Without it they say so.
on_a_cluster() {
  local code=0
  scripts/cluster-builds.sh wait node "$CLUSTER_SECONDS" || code=$?
  on_a_node "cluster and not engine" || code=$?
  scripts/cluster-builds.sh wait all "$CLUSTER_SECONDS" || code=$?
  on_a_node "cluster and engine" || code=$?
  return "$code"
}

on_a_node() { # WHICH
  tests "${BY_GROUP[@]}" -n "$CLUSTER_PROCESSES" -m "$1" tests/behaviour tests/kubernetes
}

# Interrupted, pytest ends by itself; what would come after it, or is built beside it, is not wanted either.
cluster=
interrupted() {
  [ -z "$cluster" ] || kill -INT -- "-$cluster" 2>/dev/null || true
  scripts/cluster-builds.sh stop
  exit 130
}
trap interrupted INT TERM

part "build the engine" build scripts/engine.sh
part "build promtool" build scripts/promtool.sh
part "get a browser" build scripts/browser.sh
# A Kubernetes takes a quarter of an hour to build the first time, beside what follows.
scripts/cluster-builds.sh start
part "without hosts" tests -q -n 2 --dist worksteal tests/unit tests/graph tests/monitoring tests/browser \
  tests/consumers tests/verify "${on_hosts[@]/#/--ignore=}"
part "the ground of rehearsals" tests -q "${ALONE[@]}"
# They mostly wait, for pods to come and go: they run beside the hosts, from when their programs are built.
mkdir -p .tools
set -m # a group of its own, which can be interrupted: what is in the background without one ignores that
on_a_cluster </dev/null >.tools/cluster-tests.log 2>&1 &
cluster=$!
set +m
# In this order: whole stacks take longest, and what takes longest must not come last.
part "hosts and engine" tests "${BY_GROUP[@]}" -n "$TEST_PROCESSES" -m "not cluster" "${ALONE[@]/#/--ignore=}" \
  tests/rehearsal tests/engine tests/roles "${on_hosts[@]}" tests/images tests/behaviour
part "Kubernetes" told "$cluster" .tools/cluster-tests.log

if [ ${#failed[@]} -gt 0 ]; then
  printf 'test: failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
