#!/bin/bash
# The symbol table proves the core pure: what src/raft, src/kv and src/base
# call outside themselves must stand in the lists here. No I/O, no clock, no
# chance, no environment.
#
#   scripts/check-purity.sh BUILD-DIRECTORY

set -u
build=${1:-build}

# What the compiler adds by itself.
compiler='__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__asan_.*|__ubsan_.*|__sanitizer_.*|__cpu_model|__cpu_indicator_init'
# Bytes and text in memory, and nothing else.
pure='mem(cpy|move|set|cmp|chr|mem)|str(len|cmp|ncmp|chr|rchr|str|nlen|casecmp|ncasecmp)|bcmp|qsort|bsearch'
pure="$pure|v?snprintf|__v?snprintf_chk|__mem(cpy|move|set)_chk|abort|__ctype_b_loc"
# The leaves also take memory, and print one line before they abort.
base='(m|c|re)alloc|free|stderr|fprintf|vfprintf|__v?fprintf_chk|fputs|fputc|fwrite|putc|fflush|strerror|__errno_location|strto(ul|ull|l|ll|d)|__isoc23_.*'

defined()
{
    nm -g --defined-only "$@" 2>/dev/null | awk 'NF == 3 { print $3 }'
}

offences=0
# check ARCHIVE ALLOWED ARCHIVE-BELOW...
check()
{
    local archive=$1 allowed=$2
    shift 2
    local bad
    bad=$(nm -u "$archive" | awk 'NF == 2 { print $2 }' | sort -u |
        grep -vxF -f <(defined "$archive" "$@") | grep -vxE "$compiler|$allowed")
    if [ -n "$bad" ]; then
        while read -r symbol; do
            echo "$archive: may not call $symbol"
            offences=$((offences + 1))
        done <<<"$bad"
    fi
}

for lib in raft kv base proto; do
    if [ ! -f "$build/lib$lib.a" ]; then
        echo "purity: there is no $build/lib$lib.a: build first"
        exit 1
    fi
done
check "$build/libbase.a" "$pure|$base"
check "$build/libkv.a" "$pure" "$build/libbase.a"
check "$build/libraft.a" "$pure" "$build/libbase.a" "$build/libproto.a"
echo "purity: libbase, libkv, libraft: $offences offences"
[ "$offences" -eq 0 ]
