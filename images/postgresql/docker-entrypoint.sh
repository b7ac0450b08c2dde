#!/bin/bash
# Starts the server, and before its first start makes the database, the user, and runs what lies in /docker-entrypoint-initdb.d.
# A first start that was cut short begins again: everything happens in a folder of its own and moves into PGDATA at the end.
set -euo pipefail

fail() {
    printf 'postgres: %s\n' "$1" >&2
    exit 1
}

# The value of variable $1, or of the file that $1_FILE names, or $2.
setting() {
    local file="$1_FILE"
    if [[ -n "${!1:-}" && -n "${!file:-}" ]]; then
        fail "set $1 or $file, not both"
    elif [[ -n "${!file:-}" ]]; then
        cat "${!file}" || fail "cannot read the file that $file names: ${!file}"
    else
        printf '%s' "${!1:-$2}"
    fi
}

run_script() {
    printf 'postgres: %s\n' "$1"
    case "$1" in
        *.sh) if [[ -x "$1" ]]; then "$1"; else bash "$1"; fi ;;
        *.sql) psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --file "$1" ;;
        *) printf 'postgres: ignored, because it is neither .sh nor .sql: %s\n' "$1" ;;
    esac
}

first_start() {
    local unfinished="$PGDATA/first-start-unfinished" target="$PGDATA" password script
    if [[ ! -e "$unfinished" ]] && [[ -n "$(find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name lost+found)" ]]; then
        fail "$PGDATA holds something that is not a database: empty it, or name another folder with PGDATA"
    fi
    POSTGRES_USER="$(setting POSTGRES_USER postgres)"
    POSTGRES_DB="$(setting POSTGRES_DB "$POSTGRES_USER")"
    password="$(setting POSTGRES_PASSWORD '')"
    [[ -n "$password" ]] || fail 'set POSTGRES_PASSWORD_FILE or POSTGRES_PASSWORD'

    touch "$unfinished"
    find "$target" -mindepth 1 -maxdepth 1 ! -name lost+found ! -path "$unfinished" -exec rm -rf {} +
    (
        trap '[[ $? == 0 ]] || fail "the first start failed, see above; the next one begins again"' EXIT
        export PGDATA="$target/new" POSTGRES_USER POSTGRES_DB POSTGRES_PASSWORD="$password"
        unset POSTGRES_USER_FILE POSTGRES_DB_FILE POSTGRES_PASSWORD_FILE
        initdb --username "$POSTGRES_USER" --pwfile <(printf '%s\n' "$password") --auth-local trust --auth-host scram-sha-256
        printf 'host all all all scram-sha-256\n' >> "$PGDATA/pg_hba.conf"
        export PGHOST=/var/run/postgresql PGUSER="$POSTGRES_USER" PGDATABASE=postgres
        pg_ctl --wait --options "-c listen_addresses=''" start
        [[ "$POSTGRES_DB" == postgres ]] || createdb "$POSTGRES_DB"
        export PGDATABASE="$POSTGRES_DB"
        for script in /docker-entrypoint-initdb.d/*; do
            [[ ! -e "$script" ]] || run_script "$script"
        done
        pg_ctl --wait --mode fast stop
    )
    mv "$target/new"/* "$target"
    rmdir "$target/new"
    sync "$target"
    rm "$unfinished"
}

[[ "${1:-}" != -* ]] || set -- postgres "$@"
if [[ "${1:-}" == postgres ]]; then
    [[ "$(id -u)" != 0 ]] || fail 'will not run as root: run it as user 999'
    mkdir -p "$PGDATA" || fail "cannot make $PGDATA: user $(id -u) may not write there"
    chmod 0700 "$PGDATA" || fail "$PGDATA must belong to user $(id -u), or name a folder below the volume with PGDATA"
    if [[ ! -s "$PGDATA/PG_VERSION" || -e "$PGDATA/first-start-unfinished" ]]; then
        first_start
    fi
fi
unset POSTGRES_PASSWORD
exec "$@"
