#!/bin/sh
# Becomes mariadbd as user mysql; before that, where no data is yet, sets up what the variables ask for.
set -eu
data=/var/lib/mysql
init_socket=/run/mysqld/init.sock

say() {
    printf '%s [Note] [Entrypoint]: %s\n' "$(date --rfc-3339=seconds)" "$*"
}

fail() {
    printf '%s [ERROR] [Entrypoint]: %s\n' "$(date --rfc-3339=seconds)" "$*" >&2
    exit 1
}

# value NAME: prints $NAME, or the contents of the file $NAME_FILE names.
value() {
    eval "direct=\${$1:-} file=\${$1_FILE:-}"
    # shellcheck disable=SC2154 # both set above
    if [ -n "$direct" ] && [ -n "$file" ]; then
        fail "Both $1 and $1_FILE are set (but are exclusive)"
    elif [ -n "$file" ]; then
        cat "$file" || fail "$1_FILE cannot be read: $file"
    else
        printf '%s' "$direct"
    fi
}

# Text between single quotes in SQL.
quoted() {
    printf '%s' "$1" | sed -e 's/\\/\\\\/g' -e "s/'/\\\\'/g"
}

# In a grant the underscore of a database name is a wildcard unless escaped.
grantable() {
    printf '%s' "$1" | sed -e 's/_/\\_/g'
}

client() {
    mariadb --no-defaults --protocol=socket --socket="$init_socket" --user=root --database="${1:-mysql}"
}

sql() {
    printf '%s\n' "$*" # not echo, which takes backslashes for its own
}

accounts() {
    # mariadb-install-db adds root under the name of this container.
    sql "DELETE FROM mysql.global_priv WHERE User = 'root' AND Host <> 'localhost';"
    sql "DELETE FROM mysql.proxies_priv WHERE Host <> 'localhost'; FLUSH PRIVILEGES;"
    if [ "$root_host" != localhost ]; then
        host=$(quoted "$root_host")
        sql "CREATE USER root@'$host' IDENTIFIED BY '$(quoted "$root_password")';"
        sql "GRANT ALL ON *.* TO root@'$host' WITH GRANT OPTION;"
    fi
    for host in localhost 127.0.0.1 ::1; do
        sql "CREATE USER healthcheck@'$host' IDENTIFIED BY '$health_password';"
    done
    if [ -n "$database" ]; then
        sql "CREATE DATABASE IF NOT EXISTS \`$database\`;"
    fi
    if [ -n "$user" ] && [ -n "$password" ]; then
        sql "CREATE USER '$(quoted "$user")'@'%' IDENTIFIED BY '$(quoted "$password")';"
        if [ -n "$database" ]; then
            sql "GRANT ALL ON \`$(grantable "$database")\`.* TO '$(quoted "$user")'@'%';"
        fi
    fi
}

write_health_login() {
    (
        umask 077
        printf '[mariadb-client]\nuser=healthcheck\npassword=%s\nprotocol=tcp\nport=3306\n' "$health_password" \
            > "$data/.my-healthcheck.cnf"
    )
}

run_init_files() {
    for file in /docker-entrypoint-initdb.d/*; do
        case "$file" in
            *.sh)
                say "running $file"
                if [ -x "$file" ]; then "$file"; else sh "$file"; fi
                ;;
            *.sql)
                say "running $file"
                client "$database" < "$file"
                ;;
            *.sql.gz)
                say "running $file"
                gunzip -c "$file" | client "$database"
                ;;
        esac
    done
}

wait_for_temporary_server() {
    tries=300
    until mariadb-admin --no-defaults --socket="$init_socket" --user=root ping > /dev/null 2>&1; do
        tries=$((tries - 1))
        if [ "$tries" = 0 ] || ! kill -0 "$server" 2>/dev/null; then
            fail "Unable to start server."
        fi
        sleep 0.1
    done
}

initialize() {
    root_password=$(value MARIADB_ROOT_PASSWORD)
    root_host=${MARIADB_ROOT_HOST:-%}
    database=$(value MARIADB_DATABASE)
    user=$(value MARIADB_USER)
    password=$(value MARIADB_PASSWORD)
    if [ -z "$root_password" ] && [ -z "${MARIADB_ALLOW_EMPTY_ROOT_PASSWORD:-}" ]; then
        fail "Database is uninitialized and password option is not specified." \
            "You need to specify MARIADB_ROOT_PASSWORD or MARIADB_ALLOW_EMPTY_ROOT_PASSWORD"
    fi
    health_password=$(tr -dc 'A-Za-z0-9' < /dev/urandom | head -c 32)

    say "Initializing database files"
    mariadb-install-db --datadir="$data" --auth-root-authentication-method=normal --skip-test-db --skip-log-bin > /dev/null
    say "Starting temporary server"
    mariadbd --datadir="$data" --skip-networking --skip-log-bin --socket="$init_socket" &
    server=$!
    wait_for_temporary_server
    # The client repeats a statement that fails on its output: no password may get into the log.
    accounts | client > /dev/null
    run_init_files
    # Last, because client() has no password.
    sql "ALTER USER root@localhost IDENTIFIED BY '$(quoted "$root_password")';" | client > /dev/null
    write_health_login
    say "Stopping temporary server"
    kill "$server"
    wait "$server"
    say "MariaDB init process done. Ready for start up."
}

case "${1:-mariadbd}" in
    -*) set -- mariadbd "$@" ;;
esac
case "$1" in
    mariadbd | mysqld) ;;
    *) exec "$@" ;;
esac
if [ "$(id -u)" = 0 ]; then
    find "$data" ! -user mysql -exec chown mysql: '{}' +
    find /run/mysqld -maxdepth 0 ! -user mysql -exec chown mysql: '{}' +
    exec setpriv --reuid=mysql --regid=mysql --init-groups --inh-caps=-all "$0" "$@"
fi
if [ ! -d "$data/mysql" ]; then
    initialize
fi
exec "$@"
