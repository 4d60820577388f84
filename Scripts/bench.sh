#!/bin/sh
# everyhop beside nginx, in one run: one worker each on processor 0; load and the TLS server on processor 1. Client TLS
# and verified server TLS on both. CPU per operation is read from /proc. Prints medians of interleaved rounds, and ratios.
set -eu
rounds=${ROUNDS:-3}
seconds=${SECONDS_EACH:-5}
everyhop=$(pwd)/.build/release/everyhop
folder=$(mktemp -d)
pids=""
cleanup() { for pid in $pids; do kill "$pid" 2>/dev/null || true; done; rm -rf "$folder"; }
trap cleanup EXIT INT TERM
cd "$folder"
chmod 755 "$folder"
"$everyhop" cert self-signed localhost --out portal > /dev/null
"$everyhop" cert self-signed app.internal --out app > /dev/null
pin=$("$everyhop" cert show app.pem | awk '/^pin/ { print $2 }')
mkdir www && chmod 755 www
head -c 1024 /dev/zero > www/1k
head -c 65536 /dev/zero > www/64k
nginx_common() {
    echo "daemon off; worker_processes 1; pid $1.pid; error_log $folder/$1.log; user root; events { worker_connections 8192; }"
    echo "http { access_log off; keepalive_requests 100000000; client_body_temp_path $folder/b; proxy_temp_path $folder/p;"
    echo "fastcgi_temp_path $folder/f; uwsgi_temp_path $folder/u; scgi_temp_path $folder/s; ssl_session_cache none; ssl_protocols TLSv1.2 TLSv1.3;"
}
{ nginx_common up; cat << EOF
server { listen 127.0.0.1:19443 ssl; ssl_certificate $folder/app.pem; ssl_certificate_key $folder/app.key; root $folder/www; } }
EOF
} > up.conf
{ nginx_common proxy; cat << EOF
upstream app { server 127.0.0.1:19443; keepalive 64; }
server { listen 127.0.0.1:19444 ssl; ssl_certificate $folder/portal.pem; ssl_certificate_key $folder/portal.key;
location / { proxy_pass https://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host \$host;
proxy_set_header X-Forwarded-For \$remote_addr; proxy_ssl_verify on; proxy_ssl_name app.internal; proxy_ssl_server_name on;
proxy_ssl_trusted_certificate $folder/app.pem; proxy_ssl_protocols TLSv1.3; } } }
EOF
} > proxy.conf
cat > everyhop.toml << EOF
[server]
workers = 1
[log]
access = "off"
level = "warning"
[certificate.portal]
chain = "portal.pem"
key = "portal.key"
[[site]]
name = "portal"
upstream = "app"
[[site.binding]]
ip = "127.0.0.1"
port = 19445
certificate = "portal"
[[upstream]]
name = "app"
servers = ["127.0.0.1:19443"]
server_name = "app.internal"
trust = { ca = "app.pem", pins = ["$pin"] }
EOF
taskset -c 1 nginx -p "$folder" -c "$folder/up.conf" -e "$folder/up.log" & pids="$pids $!"
taskset -c 0 nginx -p "$folder" -c "$folder/proxy.conf" -e "$folder/proxy.log" & nginx=$!; pids="$pids $nginx"
taskset -c 0 "$everyhop" run --config everyhop.toml & master=$!; pids="$pids $master"
for port in 19443 19444 19445; do

    curl -skf --retry 20 --retry-delay 1 --retry-connrefused -o /dev/null "https://localhost:$port/1k"
done
# CPU of a process' children, in clock ticks.
ticks() {
    total=0
    for pid in $(ps -o pid= --ppid "$1"); do
        set -- "$1" $(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null || echo 0)
        total=$((total + ${13:-0} + ${14:-0}))
    done
    echo $total
}
hertz=$(getconf CLK_TCK)
# measure NAME PARENT PORT PATH [HEADER]: operations per second, microseconds of CPU per operation.
measure() {
    before=$(ticks "$2")
    result=$(taskset -c 1 wrk -t1 -c64 -d"$seconds" ${5:+-H "$5"} "https://localhost:$3/$4")
    after=$(ticks "$2")
    echo "$result" | awk -v name="$1" -v ticks=$((after - before)) -v hertz="$hertz" '
        /requests in/ { count = $1 } /Requests\/sec/ { rate = $2 } /Non-2xx|Socket errors/ { bad = $0 }
        END { printf "%s %d %.1f %s\n", name, rate, ticks / hertz * 1000000 / count, bad }'
}
round=0
while [ $round -lt "$rounds" ]; do
    round=$((round + 1))
    for proxy in "nginx $nginx 19444" "everyhop $master 19445"; do
        set -- $proxy
        measure "keep-alive-1k $1" "$2" "$3" 1k >> results
        measure "keep-alive-64k $1" "$2" "$3" 64k >> results
        measure "handshake-1k $1" "$2" "$3" 1k "Connection: close" >> results
    done
done
awk '
    { key = $1 " " $2; n[key]++; rate[key, n[key]] = $3; cpu[key, n[key]] = $4; load[$1] = 1; if (NF > 4) print "errors: " $0 }
    function median(values, key, count,  i, j, t, list) {
        for (i = 1; i <= count; i++) list[i] = values[key, i] + 0
        for (i = 1; i <= count; i++) for (j = i + 1; j <= count; j++) if (list[j] < list[i]) { t = list[i]; list[i] = list[j]; list[j] = t }
        return list[int((count + 1) / 2)]
    }
    END {
        printf "%-16s %12s %12s %12s %12s %8s\n", "workload", "nginx op/s", "everyhop", "nginx us", "everyhop us", "ratio"
        for (name in load) {
            a = name " nginx"; b = name " everyhop"
            x = median(cpu, a, n[a]); y = median(cpu, b, n[b])
            printf "%-16s %12d %12d %12.1f %12.1f %8.2f\n", name, median(rate, a, n[a]), median(rate, b, n[b]), x, y, y / x
        }
    }' results
