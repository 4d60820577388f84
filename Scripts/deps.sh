#!/bin/sh
# Installs what everyhop is built with and tested against (Debian 12). Runs as root; does nothing when all is there.
set -eu
packages="libssl-dev libnghttp2-dev libtomlplusplus-dev pkg-config make openssl curl nginx-light wrk"
missing=""
for package in $packages; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "install ok installed" || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
echo "installing:$missing"
apt-get update -q
# A package's service is not wanted: the tests start their own peers on ports of their own.
DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends $missing
