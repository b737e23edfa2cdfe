#!/usr/bin/env bash
# The processes of docker-compose.embedded.yml in one container: the database server on a Unix socket, the migrations, the
# worker, and the server, which is the command in the arguments. If one of them ends, the container ends.
set -euo pipefail
for folder in /usr/lib/postgresql/*/bin; do PATH=$folder:$PATH; done

volume=${EMBEDDED_DATA:-/data}
socket=${EMBEDDED_SOCKET:-/tmp}
version=$(postgres --version | sed 's/^[^0-9]*//; s/[^0-9].*//')
data=$volume/$version

if [ ! -d "$data" ]; then
    for other in "$volume"/[0-9]*/; do
        if [ -f "$other/PG_VERSION" ]; then
            echo "$volume has the data of PostgreSQL $(cat "$other/PG_VERSION"), and this image has PostgreSQL $version." \
                "Dump the data with the former image and restore them: docs/how-to/deploy.md." >&2
            exit 1
        fi
    done
    # Renamed when it is complete, so that an interrupted start begins again.
    rm -rf "$volume/new"
    initdb --pgdata="$volume/new" --username=fluxori --auth=trust --encoding=UTF8 --locale=C.UTF-8 --data-checksums >&2
    mv "$volume/new" "$data"
fi

server= worker=
postgres -D "$data" -c listen_addresses= -c unix_socket_directories="$socket" &
database=$!

# Ends the processes that use the database before the database itself.
stop() {
    trap '' TERM INT
    for process in $server $worker; do kill "$process" 2>/dev/null || true; done
    for process in $server $worker; do wait "$process" || true; done
    kill -INT "$database" 2>/dev/null || true
    wait "$database" || true
}
trap 'stop; exit 0' TERM INT
trap stop EXIT

until pg_isready --quiet --host="$socket" --username=fluxori --dbname=postgres; do
    kill -0 "$database"
    sleep 0.2
done
query() { psql --no-psqlrc --quiet --tuples-only --no-align --host="$socket" --username=fluxori --dbname=postgres --command="$1"; }
[ -n "$(query "SELECT 1 FROM pg_database WHERE datname = 'fluxori'")" ] || query "CREATE DATABASE fluxori"
[ -n "$(query "SELECT 1 FROM pg_roles WHERE rolname = 'fluxori_app'")" ] || query "CREATE ROLE fluxori_app LOGIN"

owner="postgresql://fluxori@/fluxori?host=$socket"
DATABASE_URL=$owner python manage.py migrate --noinput
DATABASE_URL=$owner python manage.py grant_privileges fluxori_app >/dev/null
# This role owns nothing: it cannot change history or tables.
export DATABASE_URL="postgresql://fluxori_app@/fluxori?host=$socket"
python manage.py check --deploy --database default --fail-level ERROR

python manage.py procrastinate worker &
worker=$!
"$@" &
server=$!
wait -n "$database" "$worker" "$server" || true
echo "A process of the container ended; the others are stopped." >&2
exit 1
