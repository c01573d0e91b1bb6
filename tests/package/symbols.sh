#!/bin/sh
# The shared library's symbols: exactly the header's functions, and it meets nobody else's. Two programs have functions of
# all our names, public and internal, of their own: one in the program itself, one in a library that is searched before ours.
# And it asks nothing of the C library that it must not: no wall clock, no pages given away to a pipe, no end of the program.
# Environment: SOURCE, BUILD, CC, NM.
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
LC_ALL=C; export LC_ALL
here=$SOURCE/tests/package

fail() {
    echo "symbols.sh: $*" >&2
    exit 1
}

# same WHAT FILE: the file's lines are the header's functions.
same() {
    diff "$scratch/header" "$2" || fail "the header (<) and $1 (>) differ"
}

"$CC" -E -P "$SOURCE/include/procpool.h" | tr '\n' ' ' | sed 's/{[^{}]*}/;/g' | tr ';' '\n' | grep -v typedef |
    grep -oE '\bpool_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u > "$scratch/header"
[ "$(wc -l < "$scratch/header")" -gt 60 ] || fail "too few functions found in the header"

grep -oE '^ *pool_[a-z0-9_]+;' "$SOURCE/src/procpool.map" | tr -d ' ;' | sort > "$scratch/map"
same "src/procpool.map" "$scratch/map"

"$NM" -D --defined-only "$BUILD/libprocpool.so" | awk '$3 !~ /^PROCPOOL_1(@|$)/ { print $3 }' | sort > "$scratch/versioned"
sed 's/@.*//' "$scratch/versioned" > "$scratch/exported"
same "libprocpool.so" "$scratch/exported"
if grep -v '@@PROCPOOL_1$' "$scratch/versioned"; then
    fail "exported without the version PROCPOOL_1: the lines above"
fi

# A static library has no secrets, but keeps to its own names.
"$NM" -g --defined-only "$BUILD/libprocpool.a" | awk 'NF == 3 { print $3 }' | sort -u > "$scratch/static"
if grep -v -E '^pool_' "$scratch/static"; then
    fail "names in libprocpool.a that do not begin with pool_: the lines above"
fi

# clock_gettime() is asked for the monotonic clock only, and by one file.
"$NM" -u "$BUILD/libprocpool.a" | awk '$1 == "U" { print $2 }' | sed 's/@.*//' | sort -u > "$scratch/asked"
grep -q -x clock_gettime "$scratch/asked" || fail "clock_gettime is not asked for: has this list been read rightly?"
if grep -x -E 'time|times|clock|ftime|gettimeofday|localtime.*|gmtime.*|mktime|timespec_get|alarm|setitimer|sleep|usleep' \
    "$scratch/asked"; then
    fail "clocks other than the monotonic one, or sleeps: the lines above"
fi
if grep -x -E 'vmsplice|splice|tee|select|pselect|exit|abort|quick_exit|signal|system|popen|setenv|putenv|chdir|umask' \
    "$scratch/asked"; then
    fail "calls that this library does not make: the lines above"
fi
# pool__nap() is for loops whose poll() fails.
if grep -l -r 'nanosleep(' "$SOURCE/src" | grep -v '/src/base/clock\.c$'; then
    fail "sleeps: in the files above"
fi
if grep -l -r -E 'CLOCK_[A-Z_]+' "$SOURCE/src" | grep -v -E '/src/(base/clock\.[ch]|engine/role\.c)$'; then
    fail "clocks are named in the files above too"
fi
if grep -h -o -r -E 'CLOCK_[A-Z_]+' "$SOURCE/src" | grep -v -x -E 'CLOCK_MONOTONIC|CLOCK_H'; then
    fail "another clock than CLOCK_MONOTONIC"
fi

# Where it runs it needs the C library alone.
if command -v readelf > /dev/null && readelf -d "$BUILD/libprocpool.so" | grep NEEDED |
    grep -v -E '\[(lib(c|pthread)\.so.*|ld-.*|libc\.musl.*)\]'; then
    fail "the shared library needs other libraries than libc: the lines above"
fi

{
    echo '#include "namesakes.h"'
    sort -u "$scratch/header" "$scratch/static" | sed 's/.*/NAMESAKE(&)/'
    echo 'int namesake_call(void)'
    echo '{'
    echo '    return pool_create() + pool__fail();'
    echo '}'
} > "$scratch/namesakes.c"
grep -q 'NAMESAKE(pool__fail)' "$scratch/namesakes.c" || fail "pool__fail is not in libprocpool.a"

ours="-L$BUILD -Wl,-rpath,$BUILD -Wl,--no-as-needed -lprocpool"
"$CC" -I "$here" -fPIC -shared -o "$scratch/libnamesakes.so" "$scratch/namesakes.c"
"$CC" -I "$here" -I "$SOURCE/include" -rdynamic -o "$scratch/in_program" \
    "$here/namesakes.c" "$scratch/namesakes.c" $ours -ldl
"$CC" -I "$here" -I "$SOURCE/include" -rdynamic -o "$scratch/in_library" \
    "$here/namesakes.c" -L"$scratch" -Wl,-rpath,"$scratch" -lnamesakes $ours -ldl
"$scratch/in_program" || fail "a program's own functions and ours met"
"$scratch/in_library" || fail "another library's functions and ours met"
