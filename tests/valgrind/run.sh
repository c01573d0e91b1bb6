#!/bin/sh
# Runs a test program under valgrind, and fails where any of its processes has an error, or where the program itself ends
# with memory lost, or with a descriptor open that it did not inherit:
#
#     tests/valgrind/run.sh PROGRAM [ARGUMENT...]
#
# As -DPROCPOOL_LAUNCHER it is put before every test program. Forked processes are followed; what is executed is not. Of
# workers and helper processes errors alone count: they leave by _exit() with their pipes open, and what other threads of
# the program held at the fork is lost to them.
set -u
here=$(cd "$(dirname "$0")" && pwd)
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

valgrind --tool=memcheck --leak-check=full --errors-for-leak-kinds=none --show-leak-kinds=definite --track-fds=yes \
    --num-callers=20 --suppressions="$here/valgrind.supp" --log-file="$logs/%p" "$@" &
program=$!
wait "$program"
status=$?

# A process that was killed has no summary, and what it had to say before stands in its log all the same.
for log in "$logs"/*; do
    if grep -q -E '(Invalid (read|write|free)|uninitialised|Mismatched free|overlap in|Jump to the invalid|points to un)' "$log"
    then
        cat "$log"
        status=1
    fi
done
if grep -q 'definitely lost: [1-9]' "$logs/$program"; then
    grep -v -E 'Open (file|AF_)|inherited' "$logs/$program"
    status=1
fi
awk '/Open (file descriptor|AF_)/ { opened = $0; getline; if ($0 !~ /inherited from parent/) { print opened "\n" $0; found = 1 } }
    END { exit found }' "$logs/$program" || status=1
exit "$status"
