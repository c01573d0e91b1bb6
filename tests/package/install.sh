#!/bin/sh
# The library as others get it: installed, moved, found by find_package and by pkg-config, used from C and from C++, shared
# and static.
# Environment: SOURCE, BUILD, CMAKE, CC, CXX (may be empty).
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
consumer=$SOURCE/tests/package/consumer

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

# run PROGRAM: it says what it should.
run() {
    "$@" > "$scratch/said" || fail "$* failed"
    [ "$(cat "$scratch/said")" = "0 1 4 9 16" ] || fail "$* said: $(cat "$scratch/said")"
}

# Moved after the installation: nothing in it may name the place where it was first.
"$CMAKE" --install "$BUILD" --prefix "$scratch/first" > "$scratch/log" || fail "cannot install: $(cat "$scratch/log")"
mv "$scratch/first" "$scratch/prefix"

languages=C
[ -z "$CXX" ] || languages="C CXX"
"$CMAKE" -S "$consumer" -B "$scratch/consumer" "-DCMAKE_PREFIX_PATH=$scratch/prefix" "-DCMAKE_C_COMPILER=$CC" \
    ${CXX:+"-DCMAKE_CXX_COMPILER=$CXX"} "-DCONSUMER_LANGUAGES=$languages" > "$scratch/log" 2>&1 &&
    "$CMAKE" --build "$scratch/consumer" >> "$scratch/log" 2>&1 || { cat "$scratch/log"; fail "find_package"; }
for language in $languages; do
    run "$scratch/consumer/consumer_$language"
    run "$scratch/consumer/consumer_${language}_static"
done

command -v pkg-config > "$scratch/where" || { echo "install.sh: no pkg-config"; exit 0; }
PKG_CONFIG_PATH=$(dirname "$(find "$scratch/prefix" -name procpool.pc)"); export PKG_CONFIG_PATH
[ "$(pkg-config --modversion procpool)" = 1.0.0 ] || fail "pkg-config tells another version"
libdir=$(pkg-config --variable=libdir procpool)
"$CC" -o "$scratch/by_pkg_config" "$consumer/consumer.c" $(pkg-config --cflags --libs procpool) "-Wl,-rpath,$libdir"
run "$scratch/by_pkg_config"
"$CC" -o "$scratch/static" "$consumer/consumer.c" $(pkg-config --cflags procpool) "$libdir/libprocpool.a" -pthread
run "$scratch/static"
if [ -n "$CXX" ]; then
    "$CXX" -x c++ -o "$scratch/in_cxx" "$consumer/consumer.c" $(pkg-config --cflags --libs procpool) \
        "-Wl,-rpath,$libdir"
    run "$scratch/in_cxx"
fi
