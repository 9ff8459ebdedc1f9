#!/usr/bin/env bash
# Builds what tests on Kubernetes need (scripts/kubernetes.sh, scripts/pulumi-kubernetes.sh) beside other work: with the
# processor time that nothing else wants.
#
# Usage: scripts/cluster-builds.sh start
#        scripts/cluster-builds.sh wait SECONDS   until both have ended, or that long: then they are ended
#
# Where: .tools/cluster-builds.log, and .tools/cluster-builds.pid of the builds that run.
# Exit:  start: 0. wait: 0 when all is there, or cannot be had here, or is late, and says which; 1 when a build failed.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly LOG=.tools/cluster-builds.log PID=.tools/cluster-builds.pid

builds() { # the exit code of the first that fails, 3 where this machine cannot have them
  scripts/kubernetes.sh && scripts/pulumi-kubernetes.sh
}

running() {
  [ -f "$PID" ] && kill -0 "$(cat "$PID")" 2>/dev/null
}

start() {
  if running; then return; fi
  mkdir -p .tools
  # A session of its own: it can be ended with all that it started. SCHED_IDLE (sched(7)) where that can be had.
  local idle=()
  if chrt --idle 0 true 2>/dev/null; then idle=(chrt --idle 0); fi
  setsid "${idle[@]}" "$0" build >"$LOG" 2>&1 </dev/null &
  echo $! >"$PID"
}

wait_for_them() {
  local deadline=$((SECONDS + $1))
  while running && [ $SECONDS -lt $deadline ]; do sleep 1; done
  if running; then
    kill -- "-$(cat "$PID")"
    echo "cluster-builds: not ready after $1 s more; the tests on Kubernetes are left out (\`make kubernetes kubernetes-plugin\` builds on)"
    return
  fi
  case $(tail -n 1 "$LOG" 2>/dev/null) in
    "ended: 0") echo "cluster-builds: all is there" ;;
    "ended: 3") grep -v '^ended' "$LOG" | tail -n 1 ;;
    *)
      grep -v 'go: downloading' "$LOG" | tail -n 20 >&2
      return 1
      ;;
  esac
}

case ${1:-} in
  build)
    code=0
    builds || code=$?
    echo "ended: $code"
    ;;
  start) start ;;
  wait) wait_for_them "${2:?seconds}" ;;
  *)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0" >&2
    exit 1
    ;;
esac
