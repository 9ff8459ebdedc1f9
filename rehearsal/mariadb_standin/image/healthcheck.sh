#!/bin/sh
# Answers 0 when every check asked for holds: --connect (TCP works) and --innodb_initialized, as in the official image.
set -eu
login=/var/lib/mysql/.my-healthcheck.cnf

query() {
    if [ -r "$login" ]; then
        mariadb --defaults-file="$login" --skip-column-names --batch --execute "$1" 2>&1
    else
        mariadb --no-defaults --protocol=tcp --host=127.0.0.1 --skip-column-names --batch --execute "$1" 2>&1
    fi
}

connect() {
    # A refused login is an answer by a server that listens.
    case "$(query 'SELECT 1' || true)" in
        1 | *'ERROR 1045'*) return 0 ;;
        *) return 1 ;;
    esac
}

innodb_initialized() {
    [ "$(query "SELECT 1 FROM information_schema.ENGINES WHERE engine = 'innodb' AND support IN ('YES', 'DEFAULT')")" = 1 ]
}

if [ $# = 0 ]; then
    echo "healthcheck: no check given" >&2
    exit 1
fi
for check in "$@"; do
    case "$check" in
        --connect) connect ;;
        --innodb_initialized) innodb_initialized ;;
        *)
            echo "healthcheck: the stand-in knows --connect and --innodb_initialized, not $check" >&2
            exit 1
            ;;
    esac || {
        echo "healthcheck ${check#--} failed" >&2
        exit 1
    }
done
