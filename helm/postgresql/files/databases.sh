# Makes databases and their users, and sets the users' passwords: databases.sh NAME...; may run any number of times.
set -euo pipefail

for attempt in $(seq 60); do
    pg_isready --quiet && break
    if ((attempt == 60)); then
        echo "PostgreSQL at $PGHOST takes no connections: look at its pod's log" >&2
        exit 1
    fi
    sleep 2
done

for name in "$@"; do
    # The password goes in by standard input: neither the list of processes nor the server's log shows it.
    psql --quiet --set ON_ERROR_STOP=1 --set name="$name" --dbname postgres <<SQL
\set password \`cat /run/secrets/$name/password\`
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SELECT format('CREATE ROLE %I LOGIN', :'name') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') \gexec
SELECT format('ALTER ROLE %I PASSWORD %L', :'name', :'password') \gexec
SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'name') WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
SQL
    echo "database $name is there"
done
