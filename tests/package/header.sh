#!/bin/sh
# procpool.h, alone and in use: clean in each standard of C and C++, with each compiler that is here, and POOL_ARRAY takes
# no pointer. The functions it declares are all marked for export.
# Environment: SOURCE, CC, CXX (may be empty).
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
here=$SOURCE/tests/package
checks=0

fail() {
    echo "header.sh: $*" >&2
    exit 1
}

# compile COMPILER LANGUAGE STANDARD [FLAG...]: is header_use.c accepted, without a word?
compile() {
    compiler=$1 language=$2 standard=$3
    shift 3
    "$compiler" -x "$language" "-std=$standard" -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror "$@" \
        -I "$SOURCE/include" -fsyntax-only "$here/header_use.c" > "$scratch/said" 2>&1
}

# accepts COMPILER LANGUAGE STANDARD: the header is clean there, and refuses what it should.
accepts() {
    echo "$1 -std=$3"
    compile "$@" || { cat "$scratch/said"; fail "$1 -std=$3 does not take the header"; }
    for refused in ARRAY_OF_A_POINTER ARRAY_OF_A_CONST_POINTER; do
        if compile "$@" -w "-D$refused"; then
            fail "$1 -std=$3 took $refused"
        fi
    done
    checks=$((checks + 1))
}

for compiler in $(printf '%s\n' "$CC" gcc clang musl-gcc | sort -u); do
    command -v "$compiler" > "$scratch/where" || continue
    for standard in c99 c11 c17 gnu11; do
        accepts "$compiler" c "$standard"
    done
done
for compiler in $(printf '%s\n' "$CXX" g++ clang++ | sort -u); do
    command -v "$compiler" > "$scratch/where" || continue
    for standard in c++11 c++14 c++17 c++20; do
        accepts "$compiler" c++ "$standard"
    done
done
[ "$checks" -gt 0 ] || fail "no compiler"

# A function without POOL_API would be hidden in a library built with the header's own settings.
"$CC" -E -P "$SOURCE/include/procpool.h" | tr '\n' ' ' | sed 's/{[^{}]*}/;/g' | tr ';' '\n' > "$scratch/statements"
if grep -v typedef "$scratch/statements" | grep -E 'pool_[a-z0-9_]+ *\(' | grep -v 'visibility("default")'; then
    fail "declared without POOL_API: the lines above"
fi
