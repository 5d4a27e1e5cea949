#!/usr/bin/env bash
# The Spark suite: one job over 50,000 different words, long enough that the agent can be killed and moved, and CoreDNS
# with it, while it runs (disrupt.sh); its driver's ConfigMap comes a second after the pod. check.sh compares the counts with
# an independent count.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
# 50,000 words, 60 times over, out of order: about 30 MB.
seq 1 3000000 | awk '{ printf "word%05d%s", ($1 * 7919) % 50000, ($1 % 10 ? " " : "\n") }' >"$WORK/words"
VN_DEMO_LATE_CONFIG=1 VN_DEMO_MEANWHILE=$HERE/disrupt.sh "$HERE/check.sh" "$WORK/words"
