#!/bin/sh
# Runs the tests that are built, all or those that the arguments choose (--filter NAME), and says at the end, where one
# looks, what failed: among the lines of more than a thousand tests nobody finds it. A run that broke off names the tests
# that had not ended.
set -u
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{
    swift test --skip-build "$@" 2>&1
    echo $? > "$folder/status"
} | tee "$folder/log"
status=$(cat "$folder/status")
[ "$status" -eq 0 ] && exit 0
echo "--- what failed:"
awk '
    /^✘ Test .* recorded an issue/ { print substr($0, 1, 600); found = 1; more = 4; next }
    /^(◇|✔|✘|⚠) / { more = 0 }
    more > 0 { print substr($0, 1, 300); more -= 1 }
    /^◇ Test case / { next }
    /^◇ Test .* started\.$/ { name = $0; sub(/^◇ Test /, "", name); sub(/ started\.$/, "", name); open[name] += 1 }
    /^(✔|✘) Test .* (passed|failed) after / {
        name = $0; sub(/^(✔|✘) Test /, "", name); sub(/ (with [0-9]+ test cases? )?(passed|failed) after .*/, "", name)
        open[name] -= 1
    }
    END {
        if (!found) print "no test said why; those that had not ended:"
        if (!found) for (name in open) if (open[name] > 0) print "  " name
    }
' "$folder/log"
exit "$status"
