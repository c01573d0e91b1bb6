#!/usr/bin/env bash
# How much of src the tests hold in place: makes mutants of it, one changed line each, and sees whether a fast selection of
# the suite notices. By hand; needs cc, cmocka, util-linux, and root (each test runs in a namespace of its own, since a
# mutant may kill whom it likes).
#
#     tests/mutation/run.sh SEED COUNT [FILE...]     COUNT mutants of these files of src, or of all; the same SEED, the same ones
#     MUTANTS=LIST tests/mutation/run.sh             those of a list that was printed before
#
# MUTATION_WORK keeps builds and results, and a run that was interrupted goes on there. JOBS (2) mutants are tried at once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

SLOW=8000 # ms: tests that take longer are not in the selection
JOBS=${JOBS:-2}
CC=${CC:-cc}
FLAGS=(-std=c11 -D_POSIX_C_SOURCE=200809L -pthread -w -O1 -fPIC -Isrc -Iinclude)
if [[ -z ${MUTATION_WORK:-} ]]; then
    MUTATION_WORK=$(mktemp -d)
    trap 'rm -rf "$MUTATION_WORK"' EXIT
fi
work=$MUTATION_WORK
mkdir -p "$work"/{objects,library,programs,order,results}

# ---------------------------------------------------------------- building

object_of() { # src/base/clock.c: where its object is
    local name=${1#src/}
    echo "$work/objects/${name//\//_}.o"
}

build_library() {
    local source
    for source in src/*/*.c; do
        echo "$source" -o "$(object_of "$source")"
    done | xargs -P "$JOBS" -L 1 "$CC" "${FLAGS[@]}" -c
    link_library "$work/library" "$work"/objects/*.o
}

# link_library FOLDER OBJECT...: a shared one with every symbol in sight, so that a mutant needs no program linked again.
link_library() {
    "$CC" -shared -pthread -Wl,-Bsymbolic-functions -o "$1/libprocpool_mutant.so" "${@:2}"
}

# Programs that need more from the linker than this are left out.
build_programs() {
    local source name
    for source in tests/support/*.c; do
        "$CC" "${FLAGS[@]}" -Itests -Itests/support -c "$source" -o "$work/programs/support_$(basename "$source" .c).o"
    done
    for source in tests/{unit,process}/test_*.c; do
        name=$(basename "$(dirname "$source")")_$(basename "$source" .c)
        echo "$source" -o "$work/programs/${name/test_/}"
    done | xargs -P "$JOBS" -L 1 "$CC" "${FLAGS[@]}" -Itests -Itests/support \
        "$work"/programs/support_*.o -L "$work/library" -lcmocka -lprocpool_mutant 2> "$work/left_out" || true
}

# ---------------------------------------------------------------- running tests

# passes LIBRARY-FOLDER PROGRAM MS: within so much time, in a world of its own, of which nothing is left.
passes() {
    (
        ulimit -c 0 -v $((16 << 20)) -f $((1 << 20))
        LD_LIBRARY_PATH=$1 timeout --kill-after=1 "$(($3 / 1000 + 1))" unshare --pid --fork --kill-child --mount-proc \
            sh -c '"$0"; exit $?' "$work/programs/$2" > /dev/null 2>&1 < /dev/null
    )
}

# The selection: what passes unharmed and is not slow. "PROGRAM MS", the quickest first.
select_tests() {
    local program begin took
    for program in "$work"/programs/{unit,process}_*; do
        begin=$(date +%s%N)
        if passes "$work/library" "$(basename "$program")" 60000; then
            took=$((($(date +%s%N) - begin) / 1000000))
            ((took > SLOW)) || echo "$(basename "$program") $took"
        fi
    done | sort -n -k 2 > "$work/selection.new"
    mv "$work/selection.new" "$work/selection"
}

# The order for one file of src: the unit tests of its name, then those that noticed its mutants last, then the quick ones.
order_of() {
    local order=$work/order/${1//\//_}
    if [[ ! -s $order ]]; then
        local noun
        noun=$(basename "$1" .c)
        { grep "unit_$noun" "$work/selection" || true; grep -v "unit_$noun" "$work/selection"; } > "$order"
    fi
    echo "$order"
}

to_the_front() { # ORDER PROGRAM
    local new
    new=$(mktemp "$work/order/new.XXXXXX")
    { grep "^$2 " "$1"; grep -v "^$2 " "$1"; } > "$new"
    mv "$new" "$1"
}

# ---------------------------------------------------------------- one mutant

# say NUMBER OUTCOME BY: the outcome of a mutant.
say() {
    printf '%s\t%s\t%s\n' "$2" "$3" "$(sed -n "$1p" "$work/mutants")" > "$work/results/$1"
}

# noticed LIBRARY-FOLDER PROGRAM MS: the test fails with this library, and not by chance.
noticed() {
    ! passes "$1" "$2" "$3" && { ! passes "$1" "$2" "$3" || ! passes "$1" "$2" "$3"; }
}

try_mutant() {
    local number=$1 file line what text slot order program took object
    IFS=$'\t' read -r file line what text < <(sed -n "${number}p" "$work/mutants")
    slot=$(mktemp -d "$work/slot.XXXXXX")
    mkdir -p "$slot/source"
    LINE=$line TEXT=$text awk 'NR == ENVIRON["LINE"] { print ENVIRON["TEXT"]; next } { print }' "$file" > "$slot/source/$(basename "$file")"
    object=$(object_of "$file")
    if ! "$CC" "${FLAGS[@]}" -c "$slot/source/$(basename "$file")" -o "$slot/mutant.o" 2> /dev/null; then
        say "$number" invalid '-'
    elif cmp -s "$slot/mutant.o" "$object"; then
        say "$number" same '-'
    else
        link_library "$slot" "$slot/mutant.o" $(ls "$work"/objects/*.o | grep -v -x -F "$object")
        order=$(order_of "$file")
        say "$number" LIVES '-'
        while read -r program took; do
            if noticed "$slot" "$program" $((took * 4 + 4000)); then
                say "$number" noticed "$program"
                to_the_front "$order" "$program"
                break
            fi
        done < <(cat "$order")
    fi
    rm -rf "$slot"
}

# ---------------------------------------------------------------- all of them

if [[ ${1:-} == try ]]; then
    try_mutant "$2"
    exit
fi
if [[ ! -s $work/selection ]]; then
    build_library
    build_programs
    select_tests
fi
if [[ -n ${MUTANTS:-} ]]; then
    cp "$MUTANTS" "$work/mutants"
elif [[ ! -s $work/mutants ]]; then
    seed=$1 count=$2
    shift 2
    (($# > 0)) || set -- src/*/*.c
    awk -f tests/mutation/mutants.awk "$@" |
        awk -v seed="$seed" 'BEGIN { srand(seed) } { printf "%.9f\t%s\n", rand(), $0 }' |
        sort | cut -f 2- | awk -v count="$count" 'NR <= count' > "$work/mutants"
fi
export MUTATION_WORK CC
for number in $(seq "$(wc -l < "$work/mutants")"); do
    [[ -s $work/results/$number ]] || echo "$number"
done | xargs -r -P "$JOBS" -n 1 tests/mutation/run.sh try

cat "$work"/results/* | awk -F '\t' '
    { count[$1]++ }
    $1 == "LIVES" { printf "%s\t%s\t%s\t%s\n", $3, $4, $5, $6 }
    END {
        printf "%d noticed, %d live, %d compile to the same code, %d do not compile: %.1f %%\n", count["noticed"],
            count["LIVES"], count["same"], count["invalid"], 100 * count["noticed"] / (count["noticed"] + count["LIVES"])
    }'
