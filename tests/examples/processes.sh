#!/bin/sh
# processes: four numbers in any order, each once though stdout is a file here and so buffered; then the counters.
# Usage: processes.sh DIRECTORY-OF-THE-EXAMPLES
set -u
LC_ALL=C; export LC_ALL
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT

"$1/processes" > "$scratch/out" || { echo "processes.sh: exit status $?" >&2; exit 1; }
{
    head -n 4 "$scratch/out" | sort
    tail -n +5 "$scratch/out"
} > "$scratch/seen"
cat > "$scratch/expected" << 'END'
process 1 of 4 is running
process 2 of 4 is running
process 3 of 4 is running
process 4 of 4 is running
all 4 have ended, exit codes 0 0 0 0
4 threads raised the counter: it is 4
4 processes raised the counter: here it is 0; each raised a copy of its own, to 1 1 1 1
END
diff "$scratch/expected" "$scratch/seen" >&2
