#!/bin/sh
# Installs, upgrades, removes and purges the Debian package in a Debian of its own, without systemd as its first process:
# Scripts/test-deb.sh [PACKAGE]. Needs root, mmdebstrap and lintian.
set -eu
cd "$(dirname "$0")/.."
package=${1:-$(ls -t .build/everyhop_*.deb | head -1)}
work=$(mktemp -d)
program=""
trap 'if [ -n "$program" ]; then kill -9 "$program" 2> /dev/null || true; fi; rm -rf --one-file-system "$work"' EXIT
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
# A network of its own: the ports of the configuration may be in use here.
cat > "$root/serve" <<'END'
everyhop run --config /etc/everyhop/everyhop.toml > /run/out 2>&1 &
tries=0
until curl -sk https://127.0.0.1:8443/ > /run/page; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || break
    sleep 0.1
done
curl -s http://127.0.0.1:9180/healthz > /run/health
kill %1
wait
END
unshare --net --mount sh -ec 'ip link set lo up; mount -t proc proc "$0/proc"; exec chroot "$0" bash /serve' "$root"
grep -q "everyhop is installed" "$root/run/page" || fail "no page: $(cat "$root/run/out")"
[ -s "$root/run/health" ] || fail "no health"
[ -s "$root/var/log/everyhop/access.jsonl" ] || fail "no access log"

echo "upgrading"
# In the place of systemd: a main process that hands over to another one when it is told to.
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
sh -c "trap 'echo 4242 > $root/run/main; exit 0' USR2; while :; do sleep 0.1; done" &
program=$!
echo "$program" > "$root/run/main"
echo "# mine" >> "$root/etc/everyhop/everyhop.toml"
inside apt-get install -y -q /next.deb > "$work/upgrade" 2>&1 || fail "upgrading: $(cat "$work/upgrade")"
wait "$program" || fail "the running program was not told"
program=""
grep -q "daemon-reload" "$root/run/calls" || fail "systemd was not told of the unit"
grep -qE "^(--.* )?(stop|restart) everyhop" "$root/run/calls" && fail "an upgrade stops nothing"
grep -q "# mine" "$root/etc/everyhop/everyhop.toml" || fail "the configuration was overwritten"
inside dpkg-query -W -f '${Version}' everyhop | grep -q '^99' || fail "not upgraded"
# A program that does not hand over: the upgrade says so and succeeds.
sh -c 'trap "" USR2; while :; do sleep 1; done' &
program=$!
echo "$program" > "$root/run/main"
sed -i 's/-lt 60/-lt 2/' "$root/var/lib/dpkg/info/everyhop.postinst"
inside dpkg-reconfigure everyhop > /dev/null 2>&1 || inside /var/lib/dpkg/info/everyhop.postinst configure 99.0-1 \
    > "$work/again" 2>&1 || fail "an upgrade that the program refuses is an error"
kill -9 "$program"
program=""

echo "removing"
inside apt-get remove -y -q everyhop > "$work/remove" 2>&1 || fail "removing: $(cat "$work/remove")"
gone /usr/bin/everyhop /lib/systemd/system/everyhop.service
there /etc/everyhop/everyhop.toml /var/log/everyhop/access.jsonl
inside apt-get purge -y -q everyhop > "$work/purge" 2>&1 || fail "purging: $(cat "$work/purge")"
gone /etc/everyhop /etc/logrotate.d/everyhop /var/log/everyhop /var/lib/everyhop
inside getent passwd everyhop > /dev/null && fail "the user is still there"
left=$(find "$root" -xdev -path "$root/proc" -prune -o -path "$root/var/lib/dpkg" -prune -o -path "$root/var/log/dpkg.log" \
    -prune -o -name '*everyhop*' -print)
[ -z "$left" ] || fail "left: $left"
echo "test-deb: installed, served, upgraded, removed and purged"
