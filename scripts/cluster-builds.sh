#!/usr/bin/env bash
# Builds what tests on Kubernetes need (scripts/kubernetes.sh, scripts/pulumi-kubernetes.sh) beside other work. Both are
# niced; where each session has its share of the processors (autogroups, sched(7)), as a desktop's kernel does, they
# still have theirs. The tests that wait for them take as long as those they run beside.
#
# Usage: scripts/cluster-builds.sh start
#        scripts/cluster-builds.sh wait node SECONDS   until there is a node: most tests need no more
#        scripts/cluster-builds.sh wait all SECONDS    until the plugin is there, too
#        scripts/cluster-builds.sh stop                 ends what runs; the next start builds on
#
# Where: .tools/cluster-builds.log, and .tools/cluster-builds.pid of the builds that run.
# Exit:  start, stop: 0. wait: 0 when it is there, or cannot be had here, or is late: then the builds are ended. It says which.
#        1 when a build failed.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly LOG=.tools/cluster-builds.log PID=.tools/cluster-builds.pid

builds() { # the code is 3 where this machine cannot have them
  local code=0
  scripts/kubernetes.sh || code=$?
  echo "ended: node $code"
  [ "$code" -ne 0 ] || scripts/pulumi-kubernetes.sh || code=$?
  echo "ended: all $code"
}

running() { # what has its id by now may be somebody else's
  [ -f "$PID" ] && grep -q cluster-builds "/proc/$(cat "$PID")/cmdline" 2>/dev/null
}

start() {
  if running; then return; fi
  mkdir -p .tools
  # A session of its own: it can be ended with all that it started.
  setsid "$0" build >"$LOG" 2>&1 </dev/null &
  echo $! >"$PID"
}

stop() {
  if running; then kill -- "-$(cat "$PID")"; fi
}

wait_for() { # PART SECONDS
  local deadline=$((SECONDS + $2)) code
  while running && ! grep -q "^ended: $1 " "$LOG" && [ $SECONDS -lt $deadline ]; do sleep 1; done
  if running && ! grep -q "^ended: $1 " "$LOG"; then
    stop
    {
      echo "cluster-builds: not ready after $2 s more; what needs it is left out (\`make kubernetes kubernetes-plugin\` builds on)"
      printf 'ended: %s 3\n' "$1" all
    } >>"$LOG"
  fi
  code=$(sed -n "s/^ended: $1 //p" "$LOG" | head -n 1)
  case $code in
    0) echo "cluster-builds: $1 is there" ;;
    3) grep -v '^ended' "$LOG" | tail -n 1 ;;
    *)
      grep -v 'go: downloading' "$LOG" | tail -n 20 >&2
      return 1
      ;;
  esac
}

case ${1:-} in
  build) builds ;;
  start) start ;;
  stop) stop ;;
  wait) wait_for "${2:?node or all}" "${3:?seconds}" ;;
  *)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0" >&2
    exit 1
    ;;
esac
