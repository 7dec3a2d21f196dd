# What counts as the proof of a rule or of a case of the reference's suite; for
# check-rules and check-inventory, which read it in.
#
#   raft/test_log:test_slice           this test of this program passed
#   script:quorum                      the runner accepts this script, or all of
#   script:interaction/lagging_commit  a directory, of tests/datadriven/testdata

declare -A results      # by "program:test": ok, failed, skipped
declare -A passed_names # by test, of the programs of the core
declare -A scripts_ran  # by script: ok, failed
n_missing=0

missing()
{
    echo "$1"
    n_missing=$((n_missing + 1))
}

# Lines "program test outcome". A test that runs twice must pass twice.
load_results()
{
    local program test outcome

    [ -r "$1" ] || {
        echo "$1: no results, make check-rules makes them"
        return 1
    }
    while read -r program test outcome; do
        case ${results[$program:$test]:-ok} in
        ok) results[$program:$test]=$outcome ;;
        esac
        case $program:$outcome in
        raft/*:ok | proto/*:ok) passed_names[$test]=1 ;;
        esac
    done <"$1"
}

# check_proof WHAT PROOF
check_proof()
{
    local file

    case $2 in
    script:*)
        file=tests/datadriven/testdata/${2#script:}
        [ -d "$file" ] || file=$file.txt
        if [ -z "${scripts_ran[$file]:-}" ]; then
            scripts_ran[$file]=failed
            [ -r "$file" ] && "$datadriven" "$file" >/dev/null 2>&1 &&
                scripts_ran[$file]=ok
        fi
        [ "${scripts_ran[$file]}" = ok ] || missing "$1: $2 is missing or failed"
        ;;
    *)
        case ${results[$2]:-} in
        ok) ;;
        '') missing "$1: there is no test $2" ;;
        *) missing "$1: $2 ${results[$2]}" ;;
        esac
        ;;
    esac
}
