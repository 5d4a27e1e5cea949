#!/usr/bin/env bash
# Runs a command inside a cluster that exists for it alone, and removes the cluster again.
#
#   with-cluster.sh NAME PARTS COMMAND...
#
# PARTS is what cluster.sh calls VN_PARTS. The instance is called NAME-<PID>, so that two runs do
# not meet. Where an agent ran, all that it recorded of cost is held to mock-eci's ledger when COMMAND has
# succeeded (audit.py). When COMMAND fails, the logs of the cluster's components are kept in
# target/testbed-logs/NAME.
set -euo pipefail
TESTBED=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$TESTBED/../.." && pwd)
# shellcheck source=tests/testbed/lib.sh
source "$TESTBED/lib.sh"

(($# >= 3)) || die 'usage: with-cluster.sh NAME PARTS COMMAND...'
KEPT=target/testbed-logs/$1
export VN_TESTBED=$1-$$ VN_PARTS=$2
shift 2

finish() {
	local status=$?
	trap - EXIT
	rm -rf "${ROOT:?}/$KEPT"
	if ((status != 0)); then
		mkdir -p "$(dirname "$ROOT/$KEPT")"
		cp -r "$("$TESTBED/cluster.sh" state)/logs" "$ROOT/$KEPT" 2>/dev/null && say "the cluster's logs are in $KEPT"
	fi
	"$TESTBED/cluster.sh" down || status=1
	exit "$status"
}

trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"$TESTBED/cluster.sh" up
# In the background, for a signal to be heeded at once; `down` ends what runs inside.
"$TESTBED/cluster.sh" exec "$@" &
wait $!
if [[ ,$VN_PARTS, == *,cloud,* && ,$VN_PARTS, == *,node,* ]]; then
	"$TESTBED/cluster.sh" exec python3 "$TESTBED/audit.py" "${VN_BIN_DIR:-${CARGO_TARGET_DIR:-$ROOT/target}/release}/virtual-node" &
	wait $!
fi
