#!/bin/bash
# No source file over 1,000 lines: it is time to split it by role before that.

set -u
cd "$(dirname "$0")/.." || exit 1

offences=0
longest=0
while read -r lines file; do
    if [ "$lines" -gt 1000 ]; then
        echo "$file: $lines lines, more than 1000"
        offences=$((offences + 1))
    fi
    [ "$lines" -le $longest ] || longest=$lines
done < <(find proto src wal snap transport httpapi tests -name '*.[ch]' -exec wc -l {} \; | sort)
echo "sizes: longest file $longest lines, $offences over 1000"
[ $offences -eq 0 ]
