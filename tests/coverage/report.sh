#!/bin/sh
# Branch coverage of each file of src, from a build with -DPROCPOOL_COVERAGE=ON whose tests have run:
#
#     tests/coverage/report.sh BUILD [missing]
#
# With `missing` also each line that has a branch never taken. Lines of tests/coverage/exceptions count as covered. Fails
# where a file stays below its goal. Counters add up from run to run: remove BUILD's *.gcda to begin anew.
set -eu
build=$(cd "$1" && pwd)
missing=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$work"
find "$build/CMakeFiles/procpool_objects.dir" -name '*.gcno' -exec "${GCOV:-gcov}" -b -c -p {} + > log 2>&1 || {
    cat log
    exit 1
}

LC_ALL=C awk -v missing="$missing" '
function trim(text)
{
    gsub(/^[ \t]+|[ \t]+$/, "", text)
    return text
}

# The machine and the decoders have no excuse; the rest meets a system.
function goal_of(file)
{
    return file ~ /^data\/(wire|control|board)\.c$|^engine\/(scheduler|queue|take_back|outcome|staffing)\.c$/ ? 100 : 95
}

FILENAME ~ /exceptions$/ { # file | the line, as it stands | why
    if ($0 !~ /^#/ && split($0, part, / *\|\|\| */) == 3)
        excuse[part[1], trim(part[2])] = 1
    next
}

FNR == 1 {
    file = ""
    kept = 0
}

/^ *-: *0:Source:/ {
    file = substr($0, index($0, "Source:") + 7)
    kept = sub(/^.*\/src\//, "", file)
    if (kept && !(file in all)) {
        all[file] = 0
        files[++count] = file
    }
    next
}

kept && /^ *[-#=0-9*]+: *[0-9]+:/ {
    number = $0
    sub(/^[^:]*: */, "", number)
    text = number
    sub(/:.*/, "", number)
    sub(/^[0-9]+:/, "", text)
    text = trim(text)
    place = 0
    next
}

# A function of a header stands there once for each file that has it: a branch is taken when it is in one of them.
kept && /^branch +[0-9]+ / {
    key = file SUBSEP number SUBSEP place++
    if (!(key in line_of)) {
        line_of[key] = text
        keys[++key_count] = key
    }
    if ($0 ~ / taken [1-9]/)
        taken[key] = 1
}

END {
    for (i = 1; i <= key_count; i++) {
        split(keys[i], part, SUBSEP)
        file = part[1]
        all[file]++
        if (keys[i] in taken)
            continue
        if ((file, line_of[keys[i]]) in excuse) {
            excused[file]++
            continue
        }
        untaken[file]++
        if (last[file] != part[2]) {
            list[file] = list[file] sprintf("        %s: %s\n", part[2], line_of[keys[i]])
            last[file] = part[2]
        }
    }
    printf "%-30s %8s %8s %8s %8s\n", "file", "branches", "untaken", "excused", "percent"
    for (i = 1; i <= count; i++) {
        file = files[i]
        percent = all[file] > 0 ? 100 * (all[file] - untaken[file]) / all[file] : 100
        short = percent < goal_of(file)
        low += short
        branches += all[file]
        lacking += untaken[file]
        pardoned += excused[file]
        printf "%-30s %8d %8d %8d %8.1f%s\n", file, all[file], untaken[file], excused[file], percent,
            short ? sprintf("  below %d", goal_of(file)) : ""
        if (missing != "")
            printf "%s", list[file]
    }
    printf "%-30s %8d %8d %8d %8.1f\n", "all", branches, lacking, pardoned, 100 * (branches - lacking) / branches
    if (low > 0)
        printf "%d files below their goal\n", low
    exit low > 0
}' "$here/exceptions" ./*.gcov
