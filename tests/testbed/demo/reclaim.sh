#!/usr/bin/env bash
# Takes back the spot resources of an executor at work, in the cluster of VN_TESTBED while a demo runs in it. Spark must see a
# pod that was deleted, not an executor that its own tasks brought down: only those count as failures of the application.
set -euo pipefail
TESTBED=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tests/testbed/lib.sh
source "$TESTBED/lib.sh"

DRIVER=wordcount-driver
NOTICE_SECONDS=20

kubectl() { "$TESTBED/cluster.sh" exec kubectl "$@"; }
mock() { "$TESTBED/cluster.sh" exec curl --silent --show-error --fail --header 'Content-Type: application/json' "$@"; }

running_executors() {
	kubectl get pods --selector spark-role=executor --field-selector status.phase=Running \
		--output 'custom-columns=:.metadata.name,:.metadata.annotations.k8s\.aliyun\.com/eci-instance-id' --no-headers 2>/dev/null
}
both_run() { [[ $(running_executors | wc -l) == 2 ]]; }
gone() { ! kubectl get pod "$1"; }
# Before an executor has registered, the driver does not know what it loses.
registered() { [[ $(kubectl logs "$DRIVER" | grep -c 'Registered executor') -ge 2 ]]; }
# lost: what the driver says of executors that it lost.
lost() { kubectl logs "$DRIVER" | grep -E 'Lost executor|ExecutorLostFailure'; }

wait_until 300 'both executors to run' both_run || die 'the executors do not run'
wait_until 120 'both executors to register' registered || die 'the driver does not say that its executors have registered'
read -r name group < <(running_executors)
uid=$(kubectl get pod "$name" --output 'jsonpath={.metadata.uid}')
say "  taking back the resources of $name ($group), announced $NOTICE_SECONDS s before"
mock --data "{\"notice-seconds\": $NOTICE_SECONDS}" "http://127.0.0.1:8090/mock/groups/$group/reclaim" >/dev/null
wait_until 120 "$name to be gone" gone "$name" || die "$name is still there"
phases=$(kubectl get events --field-selector "involvedObject.uid=$uid" --output 'custom-columns=:.reason' --no-headers | sort -u | paste -sd ' ')
say "  $name is gone; its events: $phases"
wait_until 120 'the driver to notice' lost || die 'the driver has not noticed that it lost an executor'
! lost | grep 'caused by one of the running tasks' >&2 || die 'Spark takes it for a failure of the application'
lost | grep -m 1 'Lost executor' | cut -c 1-200 | sed 's/^/  | /' >&2
