# Prints the single-line mutants of C sources: FILE, line number, what was done, the new line; apart by tabs.
#
#     awk -f tests/mutation/mutants.awk src/*/*.c
#
# What it knows of C is what the style of src makes sure of: one statement a line, operators between spaces. What then
# does not compile, or compiles to the same code, run.sh leaves out.

function mutant(what, line)
{
    if (line != $0)
        printf "%s\t%d\t%s\t%s\n", FILENAME, FNR, what, line
}

# Each place where `from` stands outside strings, replaced by `to`, one mutant a place.
function swap(from, to, what,    at, rest, before)
{
    rest = $0
    before = ""
    while ((at = index(rest, from)) > 0) {
        before = before substr(rest, 1, at - 1)
        rest = substr(rest, at + length(from))
        if (gsub(/"/, "\"", before) % 2 == 0)
            mutant(what, before to rest)
        before = before from
    }
}

# Each whole number that is no part of a name or of another number, one up.
function numbers(    rest, before, number)
{
    rest = $0
    before = ""
    while (match(rest, /[0-9]+/)) {
        number = substr(rest, RSTART, RLENGTH)
        before = before substr(rest, 1, RSTART - 1)
        rest = substr(rest, RSTART + RLENGTH)
        if (before !~ /[A-Za-z0-9_.]$/ && rest !~ /^[A-Za-z0-9_.]/ && gsub(/"/, "\"", before) % 2 == 0)
            mutant("number", before (number + 1) rest)
        before = before number
    }
}

function indent()
{
    match($0, /^ */)
    return substr($0, 1, RLENGTH)
}

# The place before the parenthesis that closes an if or while.
function end_of_condition()
{
    return length($0) - ($0 ~ /\{$/ ? 3 : 1)
}

# "Not" before what stands from one place to another.
function negate(from, to)
{
    mutant("negated", substr($0, 1, from - 1) "!(" substr($0, from, to - from + 1) ")" substr($0, to + 1))
}

FNR == 1 {
    in_comment = in_function = 0
}

# Comments and the preprocessor's lines are not code; declarations outside functions are not looked at.
in_comment || /^[ \t]*\/\*/ {
    in_comment = $0 !~ /\*\//
    next
}
/^#/ || /static_assert|_Static_assert/ {
    next
}
/^\{/ {
    in_function = 1
    next
}
/^\}/ {
    in_function = 0
    next
}
!in_function {
    next
}

{
    sub(/[ \t]*\/\*.*\*\/$/, "")
    declares = $0 ~ /^ +(static |const |struct |enum |union |unsigned |bool |int |size_t |ssize_t |char |long |void |double )/ ||
        $0 ~ /^ +[a-z0-9]+_t [^(]*(=|;)/

    if (!declares && $0 ~ /^ +[A-Za-z_*(][^"]*;$/ && $0 !~ /^ +(return|goto|else|case|default|for|while|do|if)[ ;(]/)
        mutant("deleted", indent() ";")
    if (match($0, /^ +(\} )?(else )?(if|while) \(.*\)( \{)?$/))
        negate(index($0, "(") + 1, end_of_condition())
    else if ($0 ~ /^ +return .*( && | \|\| | [<>=!]=? ).*;$/ && $0 !~ / \? /)
        negate(index($0, "return ") + 7, length($0) - 1)
    else if (match($0, /(return| =) [^?]* \? /))
        negate(RSTART + (substr($0, RSTART, 1) == "r" ? 7 : 3), RSTART + RLENGTH - 4)
    swap(" < ", " <= ", "relation")
    swap(" <= ", " < ", "relation")
    swap(" > ", " >= ", "relation")
    swap(" >= ", " > ", "relation")
    swap(" == ", " != ", "relation")
    swap(" != ", " == ", "relation")
    swap(" && ", " || ", "logic")
    swap(" || ", " && ", "logic")
    swap(" + ", " - ", "sum")
    swap(" - ", " + ", "sum")
    swap(" += ", " -= ", "sum")
    swap(" -= ", " += ", "sum")
    swap("++", "--", "sum")
    swap("true", "false", "truth")
    swap("false", "true", "truth")
    numbers()
}
