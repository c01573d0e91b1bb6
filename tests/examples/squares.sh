#!/bin/sh
# squares: prints what its last comment says, leaves no process behind, and does not wait for its ten-second sleeper.
# Usage: squares.sh DIRECTORY-OF-THE-EXAMPLES
set -u
LC_ALL=C; export LC_ALL
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
out=$scratch/out

fail() {
    echo "squares.sh: $*" >&2
    sed 's/^/    /' "$out" >&2
    exit 1
}

expect_line() {
    grep -qx -- "$1" "$out" || fail "no line '$1'"
}

began=$(date +%s)
"$1/squares" > "$out" 2> "$scratch/err" || fail "exit status $?, $(cat "$scratch/err")"
ended=$(date +%s)
[ ! -s "$scratch/err" ] || fail "printed on standard error: $(cat "$scratch/err")"
[ $((ended - began)) -lt 7 ] || fail "took $((ended - began)) seconds"
[ "$(wc -l < "$out")" -eq 17 ] || fail "not 17 lines"

[ "$(head -n 1 "$out")" = "in order: 0 1 4 9 16 25 36 49 64 81" ] || fail "the map's line is wrong"
for i in 0 1 2 3 4 5 6 7 8 9; do
    expect_line "as they come: $i squared is $((i * i))"
done
expect_line "20 squared is 400"
expect_line "four tasks ran in processes [0-9]* [0-9]* [0-9]* [0-9]*; this one is [0-9]*"
expect_line "a task sleeps for 10 seconds; after one we lacked patience: timeout"
expect_line "meanwhile the pool remains usable: 7 squared is 49"
expect_line "the pool is closed; the sleeper's end: terminated"
expect_line "one more task: closed"

pids=$(sed -n 's/^four tasks ran in processes \(.*\); this one is .*/\1/p' "$out")
own=$(sed -n 's/^four tasks.*; this one is //p' "$out")
for pid in $pids; do
    [ "$pid" != "$own" ] || fail "a task ran in the program's own process"
    kill -0 "$pid" 2> "$scratch/kill" && fail "worker $pid is still there"
done
exit 0
