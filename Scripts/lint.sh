#!/bin/sh
# What the formatter cannot know. Each ban says why. --self-test plants one violation of each kind and expects it found.
set -u
root=${1:-.}
if [ "$root" = "--self-test" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    mkdir -p "$folder/Sources/HTTP" "$folder/Sources/Proxy/Exchange"
    sample="$folder/Sources/HTTP/Bad.swift"
    good=0
    plant() {
        printf '%s\n' "$1" > "$sample"
        if "$0" "$folder" > /dev/null; then echo "not found: $1"; good=1; fi
    }
    plant 'import Foundation'; plant 'import FoundationEssentials'; plant 'import Dispatch'; plant 'Task { }'; plant 'func f() async {}'
    plant 'actor A {}'; plant 'let a = try! f()'; plant 'let a = b as! C'; plant 'fatalError("x")'
    plant 'let n = Int(String(x))'; plant 'let p = unsafe x'; plant 'import COpenSSL'; plant 'print("x")'; plant '// TODO later'
    printf 'func f() {\n%s}\n' "$(yes '    f()' | head -80)
" > "$sample"
    if "$0" "$folder" > /dev/null; then echo "not found: a long function"; good=1; fi
    yes '// x' | head -501 > "$sample"
    if "$0" "$folder" > /dev/null; then echo "not found: a long file"; good=1; fi
    echo 'let a = 1' > "$sample"
    if ! "$0" "$folder" > /dev/null; then echo "found something in a good file"; good=1; fi
    exit $good
fi

cd "$root" || exit 2
found=0
# ban REASON PATTERN PATHS...
ban() {
    reason=$1
    pattern=$2
    shift 2
    hits=$(grep -rnE --include='*.swift' "$pattern" "$@" 2>/dev/null | grep -vE '^[^:]+:[0-9]+: *///?' )
    if [ -n "$hits" ]; then
        echo "$reason:"
        echo "$hits"
        found=1
    fi
}
ban "no Foundation and no Dispatch in the program: memory and threads" '^ *(public |internal )?import (Foundation$|Dispatch)' Sources
hits=$(grep -rlE --include='*.swift' 'import FoundationEssentials' Sources 2>/dev/null | grep -vE '^Sources/(Evidence|ACME)/')
[ -n "$hits" ] && { echo "FoundationEssentials is for Evidence and ACME only (JSON, dates): $hits"; found=1; }
ban "one thread, no concurrency runtime" '(\bTask *\{|\basync\b|\bawait\b|^ *(public |final )*actor )' Sources
ban "bad input is data: nothing may trap on it" '(try!|as!|fatalError\()' Sources
ban "Int(String) takes signs and more; read digits strictly" 'Int\(String' Sources
ban "these targets need no unsafe code" '\bunsafe ' Sources/HTTP
hits=$(grep -rlE --include='*.swift' '\bunsafe ' Sources/Config 2>/dev/null | grep -v 'TOMLDocument+Parse.swift')
[ -n "$hits" ] && { echo "unsafe code in Config belongs to the border to C: $hits"; found=1; }
for pair in CLinux:Platform COpenSSL:TLS CTOML:Config; do
    hits=$(grep -rlE --include='*.swift' "import ${pair%%:*}\b" Sources 2>/dev/null | grep -v "^Sources/${pair##*:}/")
    [ -n "$hits" ] && { echo "${pair%%:*} is imported by ${pair##*:} only: $hits"; found=1; }
done
hits=$(grep -rnE --include='*.swift' '^ *(Swift\.)?print\(' Sources 2>/dev/null | grep -vE '^Sources/(Proxy/Commands|Fuzz|Instructions)/')
[ -n "$hits" ] && { echo "print belongs to commands; processes log:"; echo "$hits"; found=1; }
hits=$(grep -rnE --include='*.swift' 'TODO|FIXME' Sources Tests 2>/dev/null | grep -vE '(TODO|FIXME)\([^)]+\)')
[ -n "$hits" ] && { echo "a TODO names its issue: TODO(#12)"; echo "$hits"; found=1; }
long=$(find Sources -name '*.swift' -exec awk 'END { if (NR > 500) print FILENAME ": " NR " lines" }' {} \;)
[ -n "$long" ] && { echo "a file is one idea, at most 500 lines:"; echo "$long"; found=1; }
long=$(find Sources -name '*.swift' -exec awk '
    FNR == 1 { start = 0 }
    /^ *((public|private|fileprivate|internal|static|final|mutating|borrowing|consuming|package|override|convenience|@[A-Za-z_()]+) +)*(func|init|deinit)[ (?<{]/ {
        if (!start) { match($0, /^ */); indent = RLENGTH; start = FNR; name = $0 }
    }
    start && /^ *}/ { match($0, /^ */); if (RLENGTH == indent) { if (FNR - start > 70) print FILENAME ":" start ": " FNR - start " lines:" name; start = 0 } }
    start && FNR == start && /} *$/ { start = 0 }' {} \;)
[ -n "$long" ] && { echo "a function is at most 70 lines:"; echo "$long"; found=1; }
exit $found
