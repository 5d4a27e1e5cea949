#!/usr/bin/env bash
# Executors that come and go, as the examples in manifests/ set them up:
#
# - one on spot whose resources are taken back in the midst of a shuffle, with decommissioning (spot-executors.conf): the result is
#   right, nothing is computed twice, and Spark holds no failure of a stage or an executor against the application;
# - dynamic allocation (dynamic-allocation.conf): executors come for a wave of tasks, those for which the pool has no stock stay Pending and
#   cost nothing, all go when there is nothing to do, and one comes back; nothing costs while none is needed.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbed/spark/job.sh
source "$HERE/../spark/job.sh"

# shellcheck disable=SC2034 # for session.sh
SESSION=elastic FAILURE=$ROOT/target/elastic-failure
BUCKET=elastic
TIMEOUT=600
ZONE=cn-hangzhou-h
# How long before the end the notice comes: time enough to move blocks.
NOTICE_SECONDS=60

mock() { inside curl --silent --show-error --fail --header 'Content-Type: application/json' --data "$2" "http://127.0.0.1:8090/mock/$1" >/dev/null; }

# run_job IMAGE NAME EXAMPLE SETTING...: submits NAME.py with the settings of an example, and some for so small a machine.
run_job() {
	local image=$1 name=$2 example=$3
	shift 3
	run_long "submitting $name" "$WORK/spark-submit-$name.log" submit "$image" "$(api_server)" "$name" \
		--properties-file "/examples/spark/$example" \
		--conf spark.kubernetes.driver.podTemplateFile=/examples/spark/pod-template.yaml \
		--conf spark.kubernetes.executor.podTemplateFile=/examples/spark/pod-template.yaml \
		--conf spark.driver.cores=1 --conf spark.driver.memory=1462m \
		--conf spark.executor.cores=1 --conf spark.executor.memory=1462m \
		"${EVENT_LOG[@]}" --conf spark.eventLog.compress=false --conf spark.eventLog.rolling.enabled=false \
		"$@" "s3a://$BUCKET/$name.py" "s3a://$BUCKET/$name"
}

# story NAME: what the event log of the only application so named says, into $WORK/story.json.
story() {
	local id
	id=$(application_of "$1-driver")
	s3 get "$BUCKET/events/$id" | python3 "$HERE/story.py" >"$WORK/story.json"
}

# check_story FILTER WHAT: dies unless jq's FILTER holds.
check_story() {
	jq --exit-status "$1" "$WORK/story.json" >/dev/null || die "$2: $(<"$WORK/story.json")"
}

# executors PHASE: names and groups of those in it.
executors() {
	kubectl get pods --selector spark-role=executor --field-selector "status.phase=$1" --no-headers \
		--output 'custom-columns=:.metadata.name,:.metadata.annotations.k8s\.aliyun\.com/eci-instance-id' 2>/dev/null
}
number_of() { executors "$1" | wc -l; }
running() { [[ $(number_of Running) == "$1" ]]; }
pending() { (($(number_of Pending) >= $1)); }
no_executors() { [[ -z $(kubectl get pods --selector spark-role=executor --output name) ]]; }
gone() { ! kubectl get pod "$1"; }
# said NAME PATTERN [TIMES]: the driver's log has it.
said() { (($(kubectl logs "$1-driver" | grep --count --extended-regexp "$2") >= ${3:-1})); }

# only_driver_costs: of all groups only one is not at its end.
only_driver_costs() { ledger "$WORK/ledger.json" && [[ $(jq '[.[] | select(.BillingStart != null and .BillingEnd == null)] | length' "$WORK/ledger.json") == 1 ]]; }

# reclaimed IMAGE: a spot executor goes in the midst of a shuffle.
reclaimed() {
	local name group ignored
	say 'a spot executor is taken back in the midst of a shuffle'
	run_job "$1" shuffle spot-executors.conf --conf spark.executor.instances=2
	wait_until 300 'both executors to run' running 2 || die 'the executors do not run'
	# Some reduce tasks are over, most are to come, and each of them wants what every map task wrote.
	wait_until 300 'the reduce stage' said shuffle 'Finished task [0-9]+\.0 in stage 1\.0' 2 || die 'no reduce task ends'
	read -r name group < <(executors Running)
	say "  taking back the resources of $name, announced $NOTICE_SECONDS s before"
	mock "groups/$group/reclaim" "{\"notice-seconds\": $NOTICE_SECONDS}"
	wait_until 180 "$name to be gone" gone "$name" || die "$name is still there"
	wait_for_driver shuffle-driver "$TIMEOUT"

	s3 get "$BUCKET/$(s3 list "$BUCKET" shuffle/part-00000)" >"$WORK/measured"
	seq 0 1999 | sed 's/$/\t200\t40000/' | cmp - "$WORK/measured" >&2 || die 'the result is wrong'
	story shuffle
	# A task that began to read before the move may ask the old place once more; Spark must know why.
	ignored=$(kubectl logs shuffle-driver | grep --count 'Ignoring fetch failure' || true)
	check_story "(.failed_stages | length) <= $ignored" 'a stage failed, and that counts'
	check_story '.tasks == {"0": 16, "1": 24, "2": 1}' 'work was done twice'
	check_story '.blamed == []' 'Spark blames the application for an executor that was taken back'
	check_story '(.added | length) == 3' 'there were not three executors in all'
	check_story '[.removed[] | select(.[1] | test("decommission"; "i"))] | length == 1' 'the executor was not decommissioned'
	said shuffle 'decommission' || die 'the driver knows of no decommissioning'
	say "  the result is right; Spark: $(jq --compact-output '.removed[0]' "$WORK/story.json"), its shuffle output was moved, nothing computed twice"
	wait_until 60 'the executors to end' executors_ended || die 'executors run on after their driver'
	check_costs
	kubectl delete pods --selector spark-role >/dev/null
}

# allocated IMAGE: executors come and go as there is work.
allocated() {
	say 'dynamic allocation, with stock for the driver and three executors'
	mock stock "{\"zone\": \"$ZONE\", \"milli-cpu\": 4000}"
	run_job "$1" waves dynamic-allocation.conf --conf spark.kubernetes.executor.deleteOnTermination=true \
		--conf spark.dynamicAllocation.maxExecutors=6 --conf spark.dynamicAllocation.executorIdleTimeout=10s
	wait_until 300 'three executors to run and others to wait' pending 2 || die 'no executor waits for stock'
	wait_until 120 'three executors to run' running 3 || die "$(number_of Running) executors run, not 3"
	wait_until 300 'the first wave' said waves 'waves: first wave over' || die 'the first wave does not end'
	wait_until 180 'all executors to go' no_executors || die "executors stay though there is nothing to do: $(kubectl get pods)"
	wait_until 30 'the executors to cost nothing' only_driver_costs || die 'something costs though only the driver is there'
	echo >"$WORK/go"
	s3 put "$BUCKET/waves.go" <"$WORK/go"
	wait_for_driver waves-driver "$TIMEOUT"
	mock stock "{\"zone\": \"$ZONE\", \"milli-cpu\": \"enough\"}"

	[[ $(s3 get "$BUCKET/$(s3 list "$BUCKET" waves/part-00000)") == 12$'\t'1 ]] || die 'the result is wrong'
	story waves
	check_story '.failed_stages == [] and .blamed == []' 'Spark counts a failure'
	check_story '(.added | length) == 4' 'not three executors came for the first wave, and one for the second'
	check_costs
	say "  $(jq '.added | length' "$WORK/story.json") executors in all; $(jq '[.[] | select(.BillingStart == null)] | length' "$WORK/ledger.json") groups never cost anything"
}

elastic() {
	local image
	"$TESTBED/setup.sh"
	"$TESTBED/image/spark/build.sh" >/dev/null
	cluster up
	image=$(load_spark)
	s3 make-bucket "$BUCKET"
	store "$HERE/shuffle.py" "$BUCKET/"
	store "$HERE/waves.py" "$BUCKET/"
	prepare_event_log "$BUCKET"
	prepare_jobs
	reclaimed "$image"
	allocated "$image"
}

(($# == 0)) || die 'usage: run.sh'
session elastic
