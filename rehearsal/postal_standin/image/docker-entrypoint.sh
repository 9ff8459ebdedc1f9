#!/bin/sh
# Wait for every "host:port" in WAIT_FOR_TARGETS (at most WAIT_FOR_TIMEOUT seconds each, default 30), then become the
# program that was asked for. Only TCP targets: the real image has no wget, so its http targets cannot work there.
set -u

wait_for() {
    host=${1%%:*}
    port=${1##*:}
    if [ -z "$host" ] || [ -z "$port" ] || [ "$host" = "$1" ]; then
        echo "TCP target $1 is not in \"<host>:<port>\" format" >&2
        exit 2
    fi
    waited=0
    until nc -z -w1 "$host" "$port" >/dev/null 2>&1; do
        if [ "$waited" -ge "${WAIT_FOR_TIMEOUT:-30}" ]; then
            echo "ERROR: unable to connect to: $1" >&2
            exit 1
        fi
        waited=$((waited + 1))
        sleep 1
    done
}

for target in ${WAIT_FOR_TARGETS:-}; do
    wait_for "$target"
done

exec "$@"
