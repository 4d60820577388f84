#!/bin/sh
# Makes the Debian package: Scripts/deb.sh [FOLDER]. EVERYHOP names the program; by default the release build's.
set -eu
cd "$(dirname "$0")/.."
target=${1:-.build}
program=${EVERYHOP:-.build/release/everyhop}
version=$(sed -n 's/.*static let text = "\(.*\)".*/\1/p' Sources/Proxy/Everyhop.swift)
[ -n "$version" ] && [ -x "$program" ] || { echo "no version, or no program: run make first" >&2; exit 1; }
maintainer="${DEBFULLNAME:-the everyhop authors} <${DEBEMAIL:-everyhop@localhost}>"
architecture=$(dpkg --print-architecture)
# The same sources make the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
documents=$root/usr/share/doc/everyhop

install -D -m 755 "$program" "$root/usr/bin/everyhop"
strip --remove-section=.comment --remove-section=.note "$root/usr/bin/everyhop"
install -D -m 644 packaging/everyhop.service "$root/lib/systemd/system/everyhop.service"
install -D -m 644 packaging/everyhop.sysusers "$root/usr/lib/sysusers.d/everyhop.conf"
install -D -m 644 packaging/everyhop.tmpfiles "$root/usr/lib/tmpfiles.d/everyhop.conf"
install -D -m 644 packaging/everyhop.logrotate "$root/etc/logrotate.d/everyhop"
install -d -m 755 "$root/etc/everyhop"
install -m 644 packaging/everyhop.toml "$root/etc/everyhop/everyhop.toml"
install -d "$root/usr/share/man/man8"
sed "s/VERSION/$version/" packaging/everyhop.8 | gzip -9n > "$root/usr/share/man/man8/everyhop.8.gz"
install -d "$root/usr/share/bash-completion/completions" "$root/usr/share/zsh/vendor-completions" \
    "$root/usr/share/fish/vendor_completions.d"
# It is sourced, not run.
"$program" --generate-completion-script bash | sed "1{/^#!/d}" > "$root/usr/share/bash-completion/completions/everyhop"
"$program" --generate-completion-script zsh > "$root/usr/share/zsh/vendor-completions/_everyhop"
"$program" --generate-completion-script fish > "$root/usr/share/fish/vendor_completions.d/everyhop.fish"

install -d "$documents/examples"
install -m 644 packaging/debian/copyright "$documents/copyright"
install -m 644 README.md config.example.toml "$documents"
cp -r docs "$documents/docs"
cp -r contrib packaging/everyhop.socket packaging/everyhop.docroot.conf packaging/kubernetes packaging/keepalived.conf \
    "$documents/examples"
gzip -9n < CHANGELOG.md > "$documents/changelog.gz"
{
    echo "everyhop ($version-1) bookworm; urgency=medium"
    echo
    echo "  * Changes are listed in changelog.gz."
    echo
    echo " -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n > "$documents/changelog.Debian.gz"

install -d "$root/DEBIAN" "$work/debian"
install -m 755 packaging/debian/postinst packaging/debian/prerm packaging/debian/postrm "$root/DEBIAN"
install -D -m 644 packaging/debian/lintian-overrides "$root/usr/share/lintian/overrides/everyhop"
printf '/etc/everyhop/everyhop.toml\n/etc/logrotate.d/everyhop\n' > "$root/DEBIAN/conffiles"
# What the program needs is asked of the program.
printf 'Source: everyhop\n\nPackage: everyhop\nArchitecture: any\n' > "$work/debian/control"
libraries=$(cd "$work" && dpkg-shlibdeps -O --ignore-missing-info "root/usr/bin/everyhop" | sed 's/^shlibs:Depends=//')
cat > "$root/DEBIAN/control" <<END
Package: everyhop
Version: $version-1
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: $libraries, init-system-helpers (>= 1.52), systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles
Recommends: ca-certificates, logrotate
Suggests: gocryptfs, keepalived
Section: net
Priority: optional
Description: reverse proxy that encrypts every hop
 Terminates TLS for web applications and databases that cannot speak it, or not
 well enough, and speaks verified TLS to every server: by authority and name, by
 key pin, or both. SQL Server, PostgreSQL, MySQL and MariaDB are encrypted
 without a change to their applications. Audits prove every hop.
END
find "$root" -type d -exec chmod 755 {} +
find "$documents" -type f -exec chmod 644 {} +
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | LC_ALL=C sort | xargs md5sum > DEBIAN/md5sums)
mkdir -p "$target"
package=$target/everyhop_$version-1_$architecture.deb
dpkg-deb --root-owner-group --build "$root" "$package" > /dev/null
echo "$package"
