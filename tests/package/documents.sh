#!/bin/sh
# The programs that README.md and procpool.h show are whole, clean, and print what is said of them.
# Environment: SOURCE, BUILD, CC.
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
    echo "documents.sh: $*" >&2
    exit 1
}

# block LANGUAGE N: README.md's Nth fenced block of that language.
block() {
    awk -v "open=\`\`\`$1" -v "wanted=$2" '
        inside && /^```/ { inside = 0; next }
        inside == wanted { print }
        !inside && /^```/ { inside = -1; if ($0 == open) inside = ++count }' "$SOURCE/README.md"
}

# check NAME: NAME.c compiles without a word and prints NAME.expected.
check() {
    "$CC" -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -I "$SOURCE/include" -o "$scratch/$1" \
        "$scratch/$1.c" -L"$BUILD" -Wl,-rpath,"$BUILD" -lprocpool || fail "$1 does not compile"
    "$scratch/$1" > "$scratch/$1.said" || fail "$1 failed"
    diff "$scratch/$1.expected" "$scratch/$1.said" || fail "$1 prints other lines (>) than it should (<)"
}

block c 1 > "$scratch/readme.c"
block "" 1 > "$scratch/readme.expected"
check readme

awk '/^ \*     #include <procpool.h>/ { on = 1 } on && !/^ \*     / && !/^ \*$/ { exit } on { print substr($0, 8) }' \
    "$SOURCE/include/procpool.h" > "$scratch/header.c"
printf '%s\n' 0 1 4 9 16 25 36 49 64 81 > "$scratch/header.expected"
check header
