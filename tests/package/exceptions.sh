#!/bin/sh
# A C++ exception that a task lets out ends its worker, though the program's main, copied with it, would catch it.
# Environment: SOURCE, BUILD, CXX (may be empty).
set -eu
if [ -z "$CXX" ]; then
    echo "exceptions.sh: no C++ compiler"
    exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" # where cores go

"$CXX" -Wall -Wextra -I "$SOURCE/include" "$SOURCE/tests/package/exceptions.cc" -o exceptions "$BUILD/libprocpool.a" -pthread -ldl
ulimit -c 0
timeout 60 ./exceptions 2> said || { grep -v "^terminate called\|^  what()" said; exit 1; }
echo "exceptions are told"
