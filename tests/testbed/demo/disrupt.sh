#!/usr/bin/env bash
# What a job must survive, done to the cluster of VN_TESTBED while a demo runs in it: the agent is killed with -9 while
# executors wait for their groups, and then agent and CoreDNS both move to new addresses while executors run.
set -euo pipefail
TESTBED=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tests/testbed/lib.sh
source "$TESTBED/lib.sh"

cluster() { "$TESTBED/cluster.sh" "$@"; }

# executors PHASE: how many executors are in PHASE ('' = any).
executors() {
	cluster exec kubectl get pods --selector spark-role=executor --no-headers --output 'custom-columns=:.status.phase' 2>/dev/null |
		grep -c "$1" || true
}
some_executors() { (($(executors '') > 0)); }
running_executors() { (($(executors Running) > 0)); }

wait_until 300 'the first executor' some_executors || die 'no executor was created'
say '  killing the agent (-9) while executors are Pending'
cluster kill agent
cluster start agent
wait_until 300 'an executor to run' running_executors || die 'no executor ran after the agent was killed'
say '  moving the agent to 172.31.0.11 and CoreDNS to 172.31.0.54'
cluster restart agent 172.31.0.11
cluster restart coredns 172.31.0.54
say '  the agent and CoreDNS are back at new addresses'
