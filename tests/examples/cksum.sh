#!/bin/sh
# cksum: the lines of find and cksum(1), byte for byte once sorted; what cannot be read is reported and stops nothing.
# Usage: cksum.sh DIRECTORY-OF-THE-EXAMPLES
set -u
LC_ALL=C; export LC_ALL
scratch=$(mktemp -d) || exit 1
trap 'chmod -R u+rwx "$scratch"; rm -rf "$scratch"' EXIT
program=$1/cksum
tree=$scratch/tree
seen=$scratch/seen
expected=$scratch/expected
err=$scratch/err

fail() {
    echo "cksum.sh: $*" >&2
    [ ! -s "$err" ] || sed 's/^/    /' "$err" >&2
    exit 1
}

# same EXIT-STATUS ARGUMENT...: all that cksum(1) can say of these files, and this exit status
same() {
    status=$1
    shift
    "$program" "$@" > "$scratch/raw" 2> "$err"
    got=$?
    [ "$got" -eq "$status" ] || fail "exit status $got for $*"
    sort "$scratch/raw" > "$seen"
    while [ "$1" = -q ] || [ "$1" = -j ]; do
        [ "$1" = -q ] || shift
        shift
    done
    find "$@" -type f -exec cksum {} + 2> "$scratch/find.err" | sort > "$expected"
    cmp "$expected" "$seen" || fail "other lines than those of find and cksum for $*"
}

# A real tree: all processors, one worker, many; and the last line.
big=/usr/include
[ "$(find "$big" -type f 2> "$err" | head -n 100 | wc -l)" -eq 100 ] || big=/usr/share
same 0 "$big"
files=$(wc -l < "$seen")
bytes=$(awk '{ total += $2 } END { printf "%.0f", total }' "$seen")
[ "$(wc -l < "$err")" -eq 1 ] || fail "more than the last line on standard error"
grep -Eqx "cksum: $files files, $bytes bytes in [0-9.]+ s with [0-9]+ workers" "$err" || fail "the last line is wrong"
same 0 -q -j 1 "$big/"
[ ! -s "$err" ] || fail "-q is not quiet"
same 0 -j 7 "$big"
grep -q 'with 7 workers' "$err" || fail "-j 7 did not make 7 workers"

# Odd names, odd files, and sizes around those of the buffer.
mkdir -p "$tree/sub/sub" "$tree/empty" "$scratch/other"
for name in zero 'a space' 'back\slash' '-dash' "$(printf 'new\nline')" "$(printf 'latin-\351')" sub/sub/deep; do
    printf '%s' "$name" > "$tree/$name"
done
: > "$tree/zero"
dd if=/dev/urandom of="$scratch/bytes" bs=65536 count=9 2> "$err" || fail "dd failed"
for size in 1 7 8 9 255 256 65535 65536 131071 131072 131073 262144 500000; do
    head -c "$size" "$scratch/bytes" > "$tree/sub/$size"
done
ln -s sub "$tree/directory-link"
ln -s zero "$tree/file-link"
ln -s nowhere "$tree/dangling-link"
mkfifo "$tree/fifo"
echo other > "$scratch/other/file"
same 0 "$tree"
[ "$(wc -l < "$seen")" -eq 21 ] || fail "not the 20 files, one of them with a newline in its name"
same 0 "$tree/"
same 0 "$tree//"
same 0 "$tree" "$scratch/other"
same 0 "$tree/zero"
same 0 "$tree/directory-link"
same 0 "$tree/directory-link/"
same 0 "$tree/empty"

# Failures: the rest is summed up all the same.
same 1 "$scratch/missing" "$scratch/other"
grep -Fqx "cksum: $scratch/missing: No such file or directory" "$err" || fail "a missing directory is not reported"
if [ -r /proc/self/mem ]; then
    "$program" "$scratch/other" /proc/self/mem "$tree/sub" > "$seen" 2> "$err" && fail "read /proc/self/mem"
    grep -Eqx 'cksum: /proc/self/mem: (Input/output|I/O) error' "$err" || fail "a read error is not reported"
    [ "$(wc -l < "$seen")" -eq 15 ] || fail "a read error stopped the run"
fi
"$program" > "$seen" 2> "$err"
[ $? -eq 2 ] || fail "no arguments, but the exit status is not 2"
grep -q usage "$err" || fail "no usage"
if [ -c /dev/full ]; then
    "$program" "$scratch/other" > /dev/full 2> "$err" && fail "a full disk is success"
    grep -q 'write error' "$err" || fail "a write error is not reported"
fi

# Files and directories without permission: root has every one, so there it is done as somebody else, if that can be.
chmod 000 "$tree/zero" "$tree/sub/sub"
chmod 755 "$scratch"
cp "$program" "$scratch/cksum" && chmod 755 "$scratch/cksum"
as=
if [ "$(id -u)" -eq 0 ]; then
    as='setpriv --reuid=65534 --regid=65534 --clear-groups'
    if ! $as "$scratch/cksum" -q "$scratch/other" > "$seen" 2> "$err"; then
        echo "cksum.sh: cannot run as another user: unreadable files are not tested"
        exit 0
    fi
fi
$as "$scratch/cksum" -q "$tree" > "$scratch/raw" 2> "$err"
[ $? -eq 1 ] || fail "unreadable files, but the exit status is not 1"
sort "$scratch/raw" > "$seen"
$as find "$tree" -type f -exec cksum {} + 2> "$scratch/find.err" | sort > "$expected"
cmp "$expected" "$seen" || fail "unreadable files stopped the run"
[ "$(wc -l < "$err")" -eq 2 ] || fail "not two complaints"
grep -Fqx "cksum: $tree/zero: Permission denied" "$err" || fail "the unreadable file is not reported"
grep -Fqx "cksum: $tree/sub/sub: Permission denied" "$err" || fail "the unreadable directory is not reported"
exit 0
