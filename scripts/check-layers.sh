#!/bin/bash
# No folder includes above its layer: each #include against the table of the
# architecture. Prints every offence; the status is 0 if there is none.

set -u
cd "$(dirname "$0")/.." || exit 1

# Headers of the C library that hide no input or output.
pure='assert|ctype|inttypes|limits|stdalign|stdarg|stdbool|stddef|stdint|stdlib|string|strings'
posix='errno|fcntl|dirent|unistd|stdio|signal|time|sys/(file|stat|types|uio|resource|time)'
sockets='netdb|arpa/inet|netinet/(in|tcp)|sys/socket'

# For a source file: $own, the headers of ours that it may include, and
# $system, those of the system; extended regular expressions.
allow()
{
    local base='src/base/'
    local core="$base|src/(os|raft|kv)/|proto/|wal/|snap/"

    case $1 in
    # They see what they forbid, so that nobody else does.
    src/base/banned.h) own= system="stdio.h|stdlib.h|string.h|time.h" ;;
    src/base/*) own=$base system="($pure|errno|stdio|immintrin|nmmintrin|cpuid).h" ;;
    proto/*.h) own="$base|proto/" system="($pure).h" ;;
    proto/*.c) own="$base|proto/" system="($pure|protobuf-c/protobuf-c).h" ;;
    src/os/*) own="$base|src/os/" system="($pure|$posix).h" ;;
    src/raft/*) own="$base|src/raft/|proto/raftpb\.h$" system="($pure).h" ;;
    src/kv/*) own="$base|src/kv/" system="($pure).h" ;;
    wal/*) own="$base|proto/|src/os/vfs\.h$|wal/" system="($pure|errno|sys/uio).h" ;;
    snap/*) own="$base|proto/|src/os/vfs\.h$|snap/" system="($pure|errno|stdatomic|sys/uio).h" ;;
    # time.h: the Date of an answer.
    src/net/*) own="$base|src/net/" system="($pure|errno|time|$sockets|uv|llhttp).h" ;;
    transport/*) own="$base|proto/|src/net/|transport/" system="($pure|errno|$sockets|uv).h" ;;
    httpapi/*) own="$base|src/net/|httpapi/" system="($pure|errno|uv).h" ;;
    # The composition root joins everything.
    src/server/server.[ch] | src/server/main.c) own='.*' system='.*' ;;
    # It is about the loop, and threads.
    src/server/helm.[ch]) own="$base|src/server/helm\.h$" system="($pure|signal|stdatomic|uv).h" ;;
    # And that gives them their work.
    src/server/workers.[ch]) own="$base|src/server/(helm|storage|workers)\.h$" system="($pure|stdatomic|sys/resource|time|unistd|uv).h" ;;
    src/server/options.[ch]) own="$core|src/net/addr\.h$|src/server/" system="($pure|errno).h" ;;
    src/server/*) own="$core|src/server/" system="($pure|errno|sys/uio).h" ;;
    src/dump/*) own="$core|src/dump/" system="($pure|$posix).h" ;;
    *) own= system= ;;
    esac
}

offences=0
files=0
for file in $(find proto src wal snap transport httpapi -name '*.[ch]' | sort); do
    allow "$file"
    files=$((files + 1))
    while IFS=: read -r line text; do
        name=${text#*[<\"]}
        name=${name%[>\"]*}
        case $text in
        *\"*\"*) [[ -n $own && $name =~ ^($own) ]] && continue ;;
        *) [[ -n $system && $name =~ ^($system)$ ]] && continue ;;
        esac
        echo "$file:$line: may not include $name"
        offences=$((offences + 1))
    done < <(grep -nE '^[[:space:]]*#[[:space:]]*include' "$file")
    case $file in
    src/server/server.[ch] | src/server/main.c) ;;
    *)
        if grep -nE '^[[:space:]]*#[[:space:]]*include "src/server/server\.h"' "$file"; then
            echo "$file: only the composition root includes src/server/server.h"
            offences=$((offences + 1))
        fi
        ;;
    esac
done
echo "layers: $files files, $offences offences"
[ "$offences" -eq 0 ]
