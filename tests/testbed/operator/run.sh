#!/usr/bin/env bash
# What Spark's operators make of their objects, on the virtual node: the SparkApplication of manifests/examples is submitted as
# Kubeflow's operator does it (submission.py; the operator itself is in no registry of modules), and then
#
# - its counts are those of an independent count, and what Kubeflow's operator and Apache's conclude from its pods is a
#   success (states.py);
# - the driver is deleted, is gone at once with what it owned, and a rerun under the same name works: here one that fails, whose
#   exit code the operator reads;
# - a driver whose application is deleted in the midst of its work takes its executors along, and nothing costs any more.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbed/spark/job.sh
source "$HERE/../spark/job.sh"

# shellcheck disable=SC2034 # for session.sh
SESSION=operator FAILURE=$ROOT/target/operator-failure
BUCKET=my-bucket
DRIVER=wordcount-driver
TIMEOUT=600

# application IMAGE: makes the object of the examples, with what differs in a testbed.
application() {
	sed --expression "s#image: .*#image: $1#" --expression "s#https://oss.*#$(endpoint AWS_ENDPOINT_URL)#" \
		--expression 's#path.style.access: .*#path.style.access: "true"#' --expression 's#ssl.enabled: .*#ssl.enabled: "false"#' \
		"$ROOT/manifests/examples/spark/wordcount-application.yaml" >"$WORK/application.yaml"
	kubectl apply --filename - <"$WORK/application.yaml" >/dev/null
}

# submit_application IMAGE SUBMISSION_ID: as the operator does.
submit_application() {
	local -a arguments
	mkdir -p "$WORK/templates"
	kubectl get sparkapplication wordcount --output json >"$WORK/application.json"
	python3 "$HERE/submission.py" "$WORK/application.json" "$2" "$WORK/templates" >"$WORK/arguments"
	mapfile -d '' arguments <"$WORK/arguments"
	spark_submit "$1" "$WORK/templates" --master "k8s://$(api_server)" "${arguments[@]}"
}

# watch_pods SUBMISSION_ID: writes what becomes of the pods to a file, as long as the cluster lives.
watch_pods() {
	kubectl get pods --selector spark-role --watch --output json >"$WORK/pods-$1.json" 2>/dev/null &
}

# states OPERATOR SUBMISSION_ID: what that operator's states were.
states() { python3 "$HERE/states.py" "$1" <"$WORK/pods-$2.json" | paste --serial --delimiters '>'; }
states_are() { [[ $(states "$1" "$2") =~ ^($3)$ ]]; }

driver_phase() { kubectl get pod "$DRIVER" --output 'jsonpath={.status.phase}'; }
driver_is() { [[ $(driver_phase) == "$1" ]]; }
driver_gone() { ! kubectl get pod "$DRIVER"; }
owned_gone() { [[ -z $(kubectl get pods,services,configmaps --selector spark-app-selector --output name) ]]; }
executors_run() { (($(kubectl get pods --selector spark-role=executor --field-selector status.phase=Running --output name | wc -l) == 2)); }

# run_application IMAGE SUBMISSION_ID: submits, and watches until the driver has ended.
run_application() {
	watch_pods "$2"
	run_long "submitting $2" "$WORK/spark-submit-$2.log" submit_application "$1" "$2"
	wait_until "$TIMEOUT" 'the driver to end' driver_ended || die "the driver is still $(driver_phase)"
}
driver_ended() { driver_is Succeeded || driver_is Failed; }

# check_states OPERATOR SUBMISSION_ID WANTED: by the operator's table; WANTED is a regular expression.
check_states() {
	wait_until 10 'the last of the states' states_are "$@" || die "$1's operator would see '$(states "$1" "$2")', not '$3'"
	say "$1's operator sees $(states "$1" "$2")"
}

# forget_driver: as the operator does before a rerun; the name must be free at once.
forget_driver() {
	local start=$SECONDS
	kubectl delete pod "$DRIVER" --wait=false >/dev/null
	wait_until 30 'the driver to be gone' driver_gone || die 'a driver that has ended does not go'
	wait_until 60 'what it owned to be gone' owned_gone || die 'what the driver owned does not go'
	say "the driver and what it owned were gone after $(duration $((SECONDS - start)))"
}

# check_counts FILE: what the job wrote is what there is to count.
check_counts() {
	local key
	python3 "$TESTBED/spark/expected.py" "$1" >"$WORK/expected"
	for key in $(s3 list "$BUCKET" counts/part-); do s3 get "$BUCKET/$key"; done >"$WORK/counts"
	cmp "$WORK/expected" "$WORK/counts" >&2 || die 'the counts differ from those of an independent count'
	say "the counts of $(wc -l <"$WORK/counts") words are those of an independent count"
}

operator() {
	local image
	"$TESTBED/setup.sh"
	"$TESTBED/image/spark/build.sh" >/dev/null
	cluster up
	image=$(load_spark)
	s3 make-bucket "$BUCKET"
	s3 put "$BUCKET/input" <"$ROOT/README.md"
	store "$TESTBED/demo/wordcount.py" "$BUCKET/"
	prepare_jobs
	kubectl apply --filename - <"$HERE/crd.yaml" >/dev/null
	kubectl wait --for condition=established crd/sparkapplications.sparkoperator.k8s.io >/dev/null
	application "$image"

	run_application "$image" first
	check_states kubeflow first 'SUBMITTED>RUNNING>SUCCEEDING'
	check_states apache first 'DriverRequested>DriverStarted>DriverReady>(InitializedBelowThresholdExecutors>)?RunningHealthy>Succeeded'
	check_counts "$ROOT/README.md"
	forget_driver

	say 'a rerun whose input is gone'
	s3 delete "$BUCKET/input"
	run_application "$image" second
	check_states kubeflow second 'SUBMITTED>RUNNING>FAILING: driver container failed with ExitCode: 1, Reason: Error'
	check_states apache second 'DriverRequested>DriverStarted>DriverReady>((InitializedBelowThresholdExecutors>)?RunningHealthy>)?Failed'
	forget_driver

	say 'an application that is deleted while it works'
	seq 1 3000000 >"$WORK/input"
	s3 put "$BUCKET/input" <"$WORK/input"
	run_long 'submitting third' "$WORK/spark-submit-third.log" submit_application "$image" third
	wait_until "$TIMEOUT" 'the executors to run' executors_run || die 'the executors do not run'
	kubectl delete sparkapplication wordcount >/dev/null
	wait_until 60 'the driver to be gone' driver_gone || die 'the driver outlives its application'
	wait_until 60 'what it owned to be gone' owned_gone || die 'what the driver owned does not go'
	check_costs
	say 'driver and executors went with it, and nothing costs any more'
}

(($# == 0)) || die 'usage: run.sh'
session operator
