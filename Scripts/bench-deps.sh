#!/bin/sh
# Installs the proxies that the benchmarks run beside everyhop and that deps.sh does not install, a C compiler for their
# loads, and valgrind (Debian 12, as root).
set -eu
missing=""
for package in caddy gcc h2o nghttp2-proxy valgrind; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "install ok installed" || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
[ "$(id -u)" = 0 ] || { echo "missing:$missing" >&2; exit 1; }
# Their services are not wanted.
if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
apt-get update -q
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
