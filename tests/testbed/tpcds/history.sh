#!/usr/bin/env bash
# A finished driver's story outlives its pod: in the cluster of VN_TESTBED, after TPC-DS, the driver's pod is deleted, Spark's
# history server of manifests/examples is started on the virtual node, and must tell of every query and executor.
#
#   history.sh IMAGE BUCKET NAME...     the Spark image, where the event logs are, and the queries that ran
#
# VN_HISTORY_MEANWHILE names a program that is run while it serves, with the URL of the application's page at the API server.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TESTBED=$(dirname "$HERE")
ROOT=$(cd "$TESTBED/../.." && pwd)
# shellcheck source=tests/testbed/lib.sh
source "$TESTBED/lib.sh"

image=$1 bucket=$2
shift 2
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

inside() { "$TESTBED/cluster.sh" exec "$@"; }
kubectl() { inside kubectl "$@"; }

# ask PATH: what the history server answers, by way of the API server.
ask() { kubectl get --raw "/api/v1/namespaces/default/pods/$pod:18080/proxy/$1"; }

# one_application: it has read the log, and the application is complete.
one_application() {
	[[ $(ask api/v1/applications | jq --raw-output '[.[] | .name, .attempts[-1].completed] | join(" ")') == 'tpcds true' ]]
}

kubectl delete pod tpcds-driver --wait >/dev/null
cp -r "$ROOT/manifests/examples/spark/history-server/." "$WORK"
cat >"$WORK/spark-defaults.conf" <<-CONF
	spark.history.fs.logDirectory            s3a://$bucket/events
	spark.history.fs.update.interval         2s
	spark.hadoop.fs.s3a.endpoint             $(inside printenv AWS_ENDPOINT_URL)
	spark.hadoop.fs.s3a.endpoint.region      $(inside printenv AWS_REGION)
	spark.hadoop.fs.s3a.path.style.access    true
	spark.hadoop.fs.s3a.connection.ssl.enabled false
CONF
sed -i "s#newName: .*#newName: ${image%:*}, newTag: ${image##*:}}#" "$WORK/kustomization.yaml"
kubectl apply --kustomize "$WORK" >/dev/null
kubectl rollout status deployment/spark-history-server --timeout 300s >&2
pod=$(kubectl get pods --selector app=spark-history-server --output 'jsonpath={.items[0].metadata.name}')
wait_until 120 'the history server to read the event log' one_application || die "the history server does not know the application: $(ask api/v1/applications)"

id=$(ask api/v1/applications | jq --raw-output '.[0].id')
executors=$(ask "api/v1/applications/$id/allexecutors" | jq --raw-output '[.[].id] | sort | join(" ")')
[[ $executors == '1 2 driver' ]] || die "the history server knows the executors '$executors', not '1 2 driver'"
told=$(ask "api/v1/applications/$id/jobs" | jq --raw-output '[.[].jobGroup] | unique | .[] | select(. != null)' | sort)
missing=$(comm -23 <(printf '%s\n' "$@" | sort) <(printf '%s\n' "$told"))
[[ -z $missing ]] || die "the history server knows no job of ${missing//$'\n'/ }"
# All of the page is read: a reader that leaves early would end kubectl with an error.
[[ $(ask "history/$id/jobs/") == *'Spark Jobs'* ]] || die "the history server's page of jobs is not that of Spark"
say "the driver is gone; the history server tells of $id: $(wc -l <<<"$told") queries, executors $executors"
[[ -z ${VN_HISTORY_MEANWHILE-} ]] || "$VN_HISTORY_MEANWHILE" "/api/v1/namespaces/default/pods/$pod:18080/proxy/history/$id/jobs/"
kubectl delete --kustomize "$WORK" >/dev/null
