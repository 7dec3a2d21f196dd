#!/bin/bash
# Every source is as clang-format would write it. Skipped, with a line, where
# clang-format is missing.

set -u
cd "$(dirname "$0")/.." || exit 1
clang_format=${CLANG_FORMAT:-clang-format}

if ! command -v "$clang_format" >/dev/null; then
    echo "format: skipped, there is no $clang_format"
    exit 0
fi
mapfile -t files < <(find proto src wal snap transport httpapi tests -name '*.[ch]' | sort)
if ! "$clang_format" --dry-run -Werror "${files[@]}"; then
    echo "format: run make fmt"
    exit 1
fi
echo "format: ${#files[@]} files"
