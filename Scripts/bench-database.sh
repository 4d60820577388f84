#!/bin/sh
# The database hop beside stunnel and HAProxy (TCP mode), in one run: pgbench speaks plain to each proxy, each proxy TLS
# to the server and verifies it. Proxy on processor 0; pgbench, the TLS server and PostgreSQL on processor 1. CPU per
# transaction is read from /proc over each proxy's processes. Prints medians of interleaved rounds, and ratios to the
# better of the two. DIRECT=1 lets everyhop and stunnel speak to PostgreSQL's own TLS, and HAProxy to another HAProxy.
set -eu
rounds=${ROUNDS:-3}
seconds=${SECONDS_EACH:-5}
clients=${CLIENTS:-8}
everyhop=$(pwd)/.build/release/everyhop
postgres=/usr/lib/postgresql/15/bin
if [ -n "${DIRECT:-}" ]; then server=25432; haproxy_server=25436; else server=25437; haproxy_server=25438; fi
folder=$(mktemp -d)
pids=""
postgres_pid=""
# SIGINT ends PostgreSQL at once, clients or not; the others were started with it ignored, and end by SIGTERM.
cleanup() {
    kill -INT "$postgres_pid" 2>/dev/null || true
    for pid in $pids; do kill -TERM "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap cleanup EXIT INT TERM
cd "$folder"
chmod 755 "$folder"
run_as() { if [ "$(id -u)" = 0 ]; then setpriv --reuid postgres --regid postgres --clear-groups "$@"; else "$@"; fi; }
"$everyhop" cert self-signed app.internal --out app > /dev/null
pin=$("$everyhop" cert show app.pem | awk '/^pin/ { print $2 }')
cp app.key server.key
if [ "$(id -u)" = 0 ]; then chown postgres "$folder" server.key; fi
run_as "$postgres/initdb" -D "$folder/data" -U bench -A trust --no-sync > /dev/null
echo "hostssl all all 127.0.0.1/32 trust" > data/pg_hba.conf
echo "local all all trust" >> data/pg_hba.conf
become=""
if [ "$(id -u)" = 0 ]; then become="setpriv --reuid postgres --regid postgres --clear-groups"; fi
# shellcheck disable=SC2086
$become taskset -c 1 "$postgres/postgres" -D "$folder/data" -p 25432 -k "$folder" -c fsync=off -c ssl=on \
    -c ssl_cert_file="$folder/app.pem" -c ssl_key_file="$folder/server.key" > postgres.log 2>&1 & postgres_pid=$!; pids="$pids $!"
cat > everyhop.toml << END
[server]
workers = 1
[log]
access = "off"
level = "warning"
[[database]]
name = "bench"
protocol = "postgres"
server = "127.0.0.1:$server"
server_name = "app.internal"
trust = { ca = "app.pem", pins = ["$pin"] }
[[database.binding]]
port = 25433
END
cat > stunnel.conf << END
foreground = yes
pid = $folder/stunnel.pid
debug = err
sessionResume = no
[postgres]
client = yes
accept = 127.0.0.1:25434
connect = 127.0.0.1:$server
protocol = pgsql
CAfile = $folder/app.pem
verifyChain = yes
checkHost = app.internal
END
# HAProxy begins TLS at once, which PostgreSQL 15 does not take. So that all three meet the same peer, their TLS ends in
# one stunnel with a thread per session, which takes HAProxy's TLS at once and that of the others after PostgreSQL's
# question. Like PostgreSQL, it takes P-256 and AES-256 only, and resumes no session.
cat app.pem app.key > both.pem
cat > server.conf << END
foreground = yes
pid = $folder/server.pid
debug = err
cert = $folder/both.pem
curves = prime256v1
ciphersuites = TLS_AES_256_GCM_SHA384
sessionResume = no
[question]
accept = 127.0.0.1:25437
connect = $folder/.s.PGSQL.25432
protocol = pgsql
[at-once]
accept = 127.0.0.1:25438
connect = $folder/.s.PGSQL.25432
END
cat > haproxy-server.conf << END
global
    maxconn 2000
defaults
    mode tcp
    timeout connect 5s
    timeout client 5m
    timeout server 5m
listen tls
    bind 127.0.0.1:25436 ssl crt $folder/both.pem curves P-256
    server postgres $folder/.s.PGSQL.25432
END
sed -e "s|bind .*|bind 127.0.0.1:25435|" \
    -e "s|server postgres .*|server postgres 127.0.0.1:$haproxy_server ssl no-ssl-reuse verify required ca-file $folder/app.pem verifyhost app.internal|" \
    -e "s|maxconn 2000|maxconn 2000\n    nbthread 1|" haproxy-server.conf > haproxy.conf
taskset -c 1 haproxy -f haproxy-server.conf -db > haproxy-server.log 2>&1 & pids="$pids $!"
taskset -c 1 stunnel server.conf > server.log 2>&1 & pids="$pids $!"
taskset -c 0 "$everyhop" run --config everyhop.toml > everyhop.log 2>&1 & everyhop_pid=$!; pids="$pids $everyhop_pid"
taskset -c 0 stunnel stunnel.conf > stunnel.log 2>&1 & stunnel_pid=$!; pids="$pids $stunnel_pid"
taskset -c 0 haproxy -f haproxy.conf -db > haproxy.log 2>&1 & haproxy_pid=$!; pids="$pids $haproxy_pid"
for _ in $(seq 100); do "$postgres/pg_isready" -q -h "$folder" -p 25432 && break; sleep 0.1; done
sleep 1
export PGHOST=127.0.0.1 PGUSER=bench PGSSLMODE=disable
psql -h "$folder" -p 25432 -d postgres -qc 'CREATE DATABASE bench' > /dev/null
pgbench -h "$folder" -p 25432 -i -q -s 2 bench > /dev/null 2>&1
# Microseconds of CPU of a process and its children, threads that have ended included.
cpu() {
    total=0
    for process in $1 $(pgrep -P "$1" || true); do
        ticks=$(awk '{ sub(/^.*\) /, ""); print $12 + $13 }' "/proc/$process/stat")
        total=$((total + ticks * 1000000 / $(getconf CLK_TCK)))
    done
    echo "$total"
}
# one NAME PORT PID ARGUMENTS: appends transactions per second, and CPU per transaction.
one() {
    before=$(cpu "$3")
    taskset -c 1 pgbench -n -p "$2" -c "$clients" -j 1 -T "$seconds" $4 bench > one.txt 2> one.err || { cat one.err >&2; exit 1; }
    used=$(($(cpu "$3") - before))
    done=$(awk '/number of transactions actually processed/ { split($NF, n, "/"); print n[1] }' one.txt)
    awk -v n="$done" -v used="$used" -v s="$seconds" 'BEGIN { printf "%.0f %.2f\n", n / s, used / n }' >> "$1.txt"
}
median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
printf "| workload | proxy | transactions/s | CPU µs/transaction | ratio to the better peer |\n|---|---|---|---|---|\n"
for workload in select update connect; do
    case $workload in
    select) arguments="-S -M prepared"; label="SELECT, prepared" ;;
    update) arguments="-N"; label="UPDATE and INSERT" ;;
    connect) arguments="-S -C"; label="new connection each" ;;
    esac
    rm -f haproxy-*.txt stunnel-*.txt everyhop-*.txt
    for _ in $(seq "$rounds"); do
        one "everyhop-$workload" 25433 "$everyhop_pid" "$arguments"
        one "stunnel-$workload" 25434 "$stunnel_pid" "$arguments"
        one "haproxy-$workload" 25435 "$haproxy_pid" "$arguments"
    done
    for name in everyhop stunnel haproxy; do
        awk '{ print $1 }' "$name-$workload.txt" > rate; awk '{ print $2 }' "$name-$workload.txt" > used
        echo "$name $(median rate) $(median used)"
    done > table
    awk -v label="$label" '{ name[NR] = $1; rate[NR] = $2; used[NR] = $3 }
        END { best = used[2] < used[3] ? used[2] : used[3]
            for (i = 1; i <= 3; i++) printf "| %s | %s | %d | %.1f | %s |\n", label, name[i], rate[i], used[i],
                i == 1 ? sprintf("%.2f", used[1] / best) : "" }' table
done
