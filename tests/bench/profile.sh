#!/bin/sh
# Where rows 1, 4, 5 and 6 spend their time: instructions (valgrind's callgrind) and system calls (strace) of the program and
# of its workers, for each task or item. Each work is done for N and for 2 N, and the difference is divided by N, so that
# what a pool costs once does not count.
#
#     profile.sh BENCH [apply|async|imap|map]...
#
# Under these tools everything is slower, and that by different factors: batches are others than without. What one task
# costs can be trusted, how many go in one message cannot. What is below a hundredth is left out.
set -eu

bench=$1
shift
[ $# -gt 0 ] || set -- apply async imap map
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

count_of() {
    case $1 in
    apply) echo 5000 ;;
    async) echo 20000 ;;
    imap) echo 100000 ;;
    map) echo 400000 ;;
    esac
}

# instructions FOLDER: "pid function instructions", the function's own.
instructions() {
    for file in "$1"/*; do
        callgrind_annotate --auto=no --threshold=100 "$file" 2>/dev/null | awk -v pid="${file##*.}" '
            $1 ~ /^[0-9,]+$/ && /:/ {
                number = $1
                gsub(",", "", number)
                sub(/^.*:/, "", $0)
                print pid, $1, number
            }'
    done
}

# calls FOLDER: "pid call number".
calls() {
    for file in "$1"/*; do
        awk -v pid="${file##*.}" 'match($0, /^[a-z0-9_]+\(/) { count[substr($0, 1, RLENGTH - 1)]++ }
            END { for (name in count) print pid, name, count[name] }' "$file"
    done
}

# run TOOL WORK N FOLDER: leaves a file for each process (strace: thread), and in FOLDER.host which are the program's.
run() {
    mkdir "$4"
    case $1 in
    instructions)
        valgrind -q --tool=callgrind --callgrind-out-file="$4/out.%p" "$bench" --work "$2" "$3" 2>/dev/null & ;;
    calls)
        strace -ff -q -o "$4/out" "$bench" --work "$2" "$3" 2>/dev/null & ;;
    esac
    tool=$!
    wait "$tool"
    # The program is the first of them, and what it made by a call that names a thread.
    host=$(ls "$4" | sed 's/.*\.//' | sort -n | head -1)
    {
        echo "$host"
        sed -n '/CLONE_THREAD/s/.*parent_tid=\[\([0-9]*\)\].*/\1/p' "$4/out.$host"
    } | tr '\n' ' ' >"$4.host"
}

# told TOOL WORK: the table of one work.
told() {
    count=$(count_of "$2")
    for times in 1 2; do
        run "$1" "$2" $((count * times)) "$folder/$1.$2.$times"
        host=$(cat "$folder/$1.$2.$times.host")
        "$1" "$folder/$1.$2.$times" | awk -v times=$times -v host="$host" '
            { print times, (index(" " host, " " $1 " ") ? "program" : "others"), $2, $3 }'
    done | awk -v count="$count" -v work="$2" -v what="$1" '
        { sum[$2 " " $3] += ($1 == 2 ? 1 : -1) * $4; all[$2] += ($1 == 2 ? 1 : -1) * $4 }
        END {
            for (who in all)
                printf "%s %s %-8s %-40s %10.3f\n", work, what, who, "(all)", all[who] / count
            for (key in sum)
                if (split(key, part, " ") && sum[key] > all[part[1]] / 100)
                    printf "%s %s %-8s %-40s %10.3f\n", work, what, part[1], part[2], sum[key] / count
        }' | sort -k3,3r -k5,5nr
}

for work; do
    told instructions "$work"
    echo
    told calls "$work"
    echo
done
