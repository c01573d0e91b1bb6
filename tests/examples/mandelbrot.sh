#!/bin/sh
# mandelbrot: a well-formed picture, the same bytes for any number of workers and any chunk, one line about it.
# Usage: mandelbrot.sh DIRECTORY-OF-THE-EXAMPLES
set -u
LC_ALL=C; export LC_ALL
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT

fail() {
    echo "mandelbrot.sh: $*" >&2
    exit 1
}

draw() {
    "$1/mandelbrot" -w 211 -h 143 -n 400 -j "$2" -c "$3" "$scratch/$4" > "$scratch/line" ||
        fail "exit status $? with $2 workers and chunk $3"
    grep -Eqx ".*/$4: 211 x 143 pixels in [0-9.]+ s with $2 workers" "$scratch/line" ||
        fail "printed: $(cat "$scratch/line")"
    [ "$(wc -l < "$scratch/line")" -eq 1 ] || fail "printed more than a line"
}

draw "$1" 1 0 first.ppm
head -n 3 "$scratch/first.ppm" | tr '\n' ' ' | grep -aqx 'P6 211 143 255 ' || fail "not the header of a picture"
[ "$(wc -c < "$scratch/first.ppm")" -eq $((15 + 211 * 143 * 3)) ] || fail "not the size of a picture"
[ "$(tail -c +16 "$scratch/first.ppm" | tr -d '\000' | wc -c)" -gt 30000 ] || fail "the picture is dark"

for workers in 1 2 5; do
    for chunk in 0 1 7 1000; do
        draw "$1" "$workers" "$chunk" again.ppm
        cmp "$scratch/first.ppm" "$scratch/again.ppm" || fail "another picture with $workers workers and chunk $chunk"
    done
done

"$1/mandelbrot" "$scratch/nowhere/set.ppm" > "$scratch/line" 2> "$scratch/err" &&
    fail "wrote into a directory that is not there"
grep -q 'No such file or directory' "$scratch/err" || fail "did not say why: $(cat "$scratch/err")"
"$1/mandelbrot" -w 0 "$scratch/again.ppm" 2> "$scratch/err"
[ $? -eq 2 ] || fail "took a width of 0"
exit 0
