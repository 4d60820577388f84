#!/bin/sh
# Installs what everyhop is built with and tested against (Debian 12). Does nothing, quickly, when all of it is there.
set -eu
packages="libssl-dev libnghttp2-dev libtomlplusplus-dev pkg-config make git procps openssl curl nginx-light wrk chromium"
# Databases and their clients: what the database hop is tested against, and beside.
packages="$packages postgresql-15 mariadb-server mariadb-client freetds-bin haproxy stunnel4 python3 python3-psycopg"
packages="$packages python3-asyncpg python3-pymysql python3-mysqldb python3-pymssql python3-tds python3-openssl"
# Encryption at rest.
packages="$packages gocryptfs fuse3 e2fsprogs mount"
# Clients and servers of HTTP/2, gRPC and WebSocket.
packages="$packages nghttp2-client iproute2 python3-grpcio python3-h2 python3-websockets"
# Faults: networks that lose packets, and a clock that is moved (it is built).
packages="$packages nftables gcc libc6-dev"
# The JSON Schema of audit reports.
packages="$packages python3-jsonschema"
# An authority that issues certificates (RFC 8555).
packages="$packages pebble"
# What packaging is checked with.
packages="$packages systemd keepalived python3-yaml"
missing=""
for package in $packages; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "install ok installed" || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ]; then
    echo "missing:$missing" >&2
    echo "run as root once:  apt-get update && apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
echo "installing:$missing"
# A package's service is not wanted: whatever needs a server starts its own, on a port of its own.
if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
apt-get update -q
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
