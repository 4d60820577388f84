#!/bin/sh
# Installs, upgrades, removes and purges the Debian package in a Debian of its own, without systemd as its first process:
# Scripts/test-deb.sh [PACKAGE]. Needs root, mmdebstrap and lintian.
set -eu
cd "$(dirname "$0")/.."
package=${1:-$(ls -t .build/everyhop_*.deb | head -1)}
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 1' INT TERM
root=$work/root

for tool in mmdebstrap lintian; do
    command -v "$tool" > /dev/null || { echo "test-deb: install $tool first" >&2; exit 1; }
done

fail() {
    echo "test-deb: $*" >&2
    exit 1
}
# With /proc, and without anything of this host's.
inside() {
    unshare --mount --pid --fork sh -ec 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"' "$root" \
        env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@"
}
# The same, with a network of its own, where the configuration's ports are free, and for so many seconds at most.
alone() {
    seconds=$1
    shift
    timeout --signal=KILL "$seconds" unshare --net --mount --pid --fork --kill-child sh -ec '
        ip link set lo up
        mount -t proc proc "$0/proc"
        exec chroot "$0" "$@"' "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@"
}
there() { for file in "$@"; do [ -e "$root$file" ] || fail "$file is not there"; done; }
gone() { for file in "$@"; do [ ! -e "$root$file" ] || fail "$file is still there"; done; }

lintian --tag-display-limit 0 --fail-on error,warning "$package" || fail "lintian is not content"

# This host's sources, so that its mirror is used.
sources=$(find /etc/apt -name '*.sources' -o -name '*.list' | head -1)
mmdebstrap --quiet --skip=cleanup/apt/lists --variant=minbase --include=curl,logrotate,ca-certificates bookworm "$root" - < "$sources" \
    2> "$work/bootstrap" || fail "no Debian to install it in: $(cat "$work/bootstrap")"
printf '#!/bin/sh\nexit 0\n' > "$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
cp "$package" "$root/first.deb"

# A higher version of the same.
mkdir "$work/next"
dpkg-deb --raw-extract "$package" "$work/next"
sed -i 's/^Version: .*/Version: 99.0-1/' "$work/next/DEBIAN/control"
dpkg-deb -Zgzip -z1 --root-owner-group --build "$work/next" "$root/next.deb" > /dev/null

echo "installing"
inside apt-get install -y -q /first.deb > "$work/install" 2>&1 || fail "installing: $(cat "$work/install")"
inside getent passwd everyhop | grep -q nologin || fail "no user"
there /usr/bin/everyhop /lib/systemd/system/everyhop.service /etc/everyhop/everyhop.toml /etc/logrotate.d/everyhop \
    /usr/share/doc/everyhop/config.example.toml /usr/share/bash-completion/completions/everyhop \
    /var/lib/everyhop /var/log/everyhop
[ "$(stat -c %a "$root/var/lib/everyhop")" = 700 ] || fail "others may read /var/lib/everyhop"
inside everyhop check --config /etc/everyhop/everyhop.toml > /dev/null || fail "the configuration is not good"
inside logrotate --debug /etc/logrotate.d/everyhop > /dev/null 2>&1 || fail "logrotate refuses its file"
inside bash -c '. /usr/share/bash-completion/completions/everyhop' || fail "bash refuses the completion"

echo "serving"
cat > "$root/serve" <<'END'
everyhop run --config /etc/everyhop/everyhop.toml > /run/out 2>&1 &
curl -sk --retry 300 --retry-delay 1 --retry-connrefused --retry-max-time 300 https://127.0.0.1:8443/ > /run/page
everyhop health 127.0.0.1:9180 > /run/health
kill %1
wait %1
echo "$?" > /run/status
END
alone 600 bash /serve || true
grep -q "everyhop is installed" "$root/run/page" || fail "no page: $(cat "$root/run/out")"
[ "$(cat "$root/run/health")" = ready ] || fail "not ready: $(cat "$root/run/out")"
[ "$(cat "$root/run/status")" = 0 ] || fail "it did not stop: $(cat "$root/run/out")"
[ -s "$root/var/log/everyhop/access.jsonl" ] || fail "no access log"

echo "upgrading"
# In the place of systemd: what says which process is the main one. All else is the real thing.
mkdir -p "$root/run/systemd/system"
mv "$root/bin/systemctl" "$root/bin/systemctl.kept" 2> /dev/null || true
cat > "$root/bin/systemctl" <<'END'
#!/bin/sh
echo "$*" >> /run/calls
case "$*" in
    *MainPID*) cat /run/main ;;
    *is-active*) exit 0 ;;
esac
END
chmod +x "$root/bin/systemctl"
echo "# mine" >> "$root/etc/everyhop/everyhop.toml"
# A client asks again and again, on a new connection each time, and is never refused.
cat > "$root/upgrade" <<'END'
everyhop run --config /etc/everyhop/everyhop.toml --pid-file /run/main > /run/out 2>&1 &
curl -sk --retry 300 --retry-delay 1 --retry-connrefused --retry-max-time 300 https://127.0.0.1:8443/ > /dev/null
while [ ! -e /run/enough ]; do
    if curl -sk -m 60 https://127.0.0.1:8443/ > /dev/null; then echo; else echo "curl ended with $?" >> /run/refused; fi >> /run/asked
    sleep 0.05
done &
client=$!
cat /run/main > /run/before
# Under load, a new program may take longer than a package waits.
apt-get install -y -q /next.deb > /run/apt 2>&1
echo "$?" > /run/status
tries=0
while [ "$(cat /run/main)" = "$(cat /run/before)" ] && [ "$tries" -lt 1200 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
cat /run/main > /run/after
touch /run/enough
wait "$client"
kill "$(cat /run/after)"
# A program that does not hand over: the package says so, and that is no error.
sh -c 'trap "" USR2; while :; do sleep 1; done' &
echo "$!" > /run/main
sed -i 's/-lt 60/-lt 2/' /var/lib/dpkg/info/everyhop.postinst
/var/lib/dpkg/info/everyhop.postinst configure 99.0-1 > /run/again 2>&1
echo "$?" >> /run/again
END
alone 900 bash /upgrade || true
[ "$(cat "$root/run/status")" = 0 ] || fail "upgrading: $(cat "$root/run/apt")"
[ "$(cat "$root/run/before")" != "$(cat "$root/run/after")" ] || fail "no new program: $(cat "$root/run/apt" "$root/run/out")"
[ ! -e "$root/run/refused" ] || fail "clients were refused: $(sort "$root/run/refused" | uniq -c) $(cat "$root/run/out")"
[ "$(wc -l < "$root/run/asked")" -gt 3 ] || fail "nobody asked"
grep -q "daemon-reload" "$root/run/calls" || fail "systemd was not told of the unit"
if grep -qE "^(--.* )?(stop|restart) everyhop" "$root/run/calls"; then fail "an upgrade stops nothing"; fi
grep -q "# mine" "$root/etc/everyhop/everyhop.toml" || fail "the configuration was overwritten"
inside dpkg-query -W -f '${Version}' everyhop | grep -q '^99' || fail "not upgraded"
[ "$(tail -1 "$root/run/again")" = 0 ] || fail "an upgrade that the program refuses is an error: $(cat "$root/run/again")"
grep -q "the running program goes on" "$root/run/again" || fail "nobody says that the old program goes on"

echo "removing"
inside apt-get remove -y -q everyhop > "$work/remove" 2>&1 || fail "removing: $(cat "$work/remove")"
gone /usr/bin/everyhop /lib/systemd/system/everyhop.service
there /etc/everyhop/everyhop.toml /var/log/everyhop/access.jsonl
inside apt-get purge -y -q everyhop > "$work/purge" 2>&1 || fail "purging: $(cat "$work/purge")"
gone /etc/everyhop /etc/logrotate.d/everyhop /var/log/everyhop /var/lib/everyhop
if inside getent passwd everyhop > /dev/null; then fail "the user is still there"; fi
left=$(find "$root" -xdev -path "$root/proc" -prune -o -path "$root/var/lib/dpkg" -prune -o -path "$root/var/log/dpkg.log" \
    -prune -o -name '*everyhop*' -print)
[ -z "$left" ] || fail "left: $left"
echo "test-deb: installed, served, upgraded, removed and purged"
