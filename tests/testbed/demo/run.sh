#!/usr/bin/env bash
# `make demo`: counts the words of a file with Spark on the virtual node; see README.md.
#
#   run.sh [INPUT]      INPUT is a regular file, or the variable INPUT names one;
#                       without either, the README beside this is taken
#
# VN_DEMO_MEANWHILE names a program to run in the cluster's environment once the job is
# submitted, such as disrupt.sh; the demo fails if it does. VN_DEMO_LATE_CONFIG=1 lets the driver's
# ConfigMap come a second after its pod (late_config.py).
#
# stdout: `== counts ==`, `== timeline ==` and `== cost ==`, each with its table. Anything
# else a person may want to know goes to stderr. Exit code 0: all of it is true.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbed/spark/job.sh
source "$HERE/../spark/job.sh"

# shellcheck disable=SC2034 # for session.sh
SESSION=demo FAILURE=$ROOT/target/demo-failure KEPT=(VN_DEMO_MEANWHILE VN_DEMO_LATE_CONFIG)
JOB=wordcount
BUCKET=demo
LATE_PORT=8001
# How long the job may take once it is submitted; 100 MB take one minute.
TIMEOUT=1800

# check_input FILE: dies unless FILE can be read.
check_input() {
	[[ -e $1 ]] || die "INPUT $1 does not exist"
	[[ ! -d $1 ]] || die "INPUT $1 is a directory, not a file"
	[[ -f $1 ]] || die "INPUT $1 is not a regular file"
	# Opened for real: root has the right to read what a file system may refuse all the same.
	head -c 1 -- "$1" >/dev/null 2>&1 || die "INPUT $1 cannot be read"
}

# submit_wordcount IMAGE
submit_wordcount() {
	submit "$1" "$(submission_server)" "$JOB" \
		--conf spark.kubernetes.node.selector.type=virtual-kubelet \
		--conf spark.executor.instances=2 \
		--conf spark.driver.cores=1 --conf spark.driver.memory=1g \
		--conf spark.executor.cores=1 --conf spark.executor.memory=1g \
		"s3a://$BUCKET/wordcount.py" "s3a://$BUCKET/input" "s3a://$BUCKET/counts"
}

# submission_server: prints where spark-submit finds the API server.
submission_server() {
	if [[ -z ${VN_DEMO_LATE_CONFIG-} ]]; then
		api_server
		return
	fi
	# It ends with the cluster.
	# shellcheck disable=SC2016 # expanded inside
	inside bash -c 'setsid python3 "$1" "$2" >"$VN_STATE/logs/late-config.log" 2>&1 </dev/null &' \
		late "$HERE/late_config.py" "$LATE_PORT"
	wait_until 30 'the late API server' inside curl --silent --fail "http://127.0.0.1:$LATE_PORT/readyz" ||
		die 'the API server with late ConfigMaps did not start'
	printf 'http://127.0.0.1:%s' "$LATE_PORT"
}

# print_counts: the table that the job wrote, from the store.
print_counts() {
	local key keys
	keys=$(s3 list "$BUCKET" counts/)
	grep -qx 'counts/_SUCCESS' <<<"$keys" || die "the job did not commit its output (there is no s3a://$BUCKET/counts/_SUCCESS)"
	echo '== counts =='
	for key in $keys; do
		[[ $key != counts/part-* ]] || s3 get "$BUCKET/$key"
	done
}

# print_reports: what the pods say of their lives, and what the cloud charges for them.
print_reports() {
	check_costs
	kubectl get pods --selector spark-role --output json >"$WORK/pods.json"
	echo '== timeline =='
	python3 "$HERE/report.py" timeline "$WORK/pods.json" "$WORK/ledger.json"
	echo '== cost =='
	print_cost "$JOB-driver"
}

# demo INPUT: all of it.
demo() {
	local image
	"$TESTBED/setup.sh"
	"$TESTBED/image/spark/build.sh" >/dev/null
	cluster up
	image=$(load_spark)

	say "storing $1 ($(stat --format %s -- "$1") bytes) …"
	s3 make-bucket "$BUCKET"
	s3 put "$BUCKET/input" <"$1"
	s3 put "$BUCKET/wordcount.py" <"$HERE/wordcount.py"
	prepare_jobs

	say 'submitting the job …'
	run_long 'submitting' "$WORK/spark-submit.log" submit_wordcount "$image"
	local meanwhile=''
	if [[ -n ${VN_DEMO_MEANWHILE-} ]]; then
		"$VN_DEMO_MEANWHILE" &
		meanwhile=$!
	fi
	wait_for_driver "$JOB-driver" "$TIMEOUT"
	[[ -z $meanwhile ]] || wait "$meanwhile" || die "$VN_DEMO_MEANWHILE failed"
	wait_until 60 'the executors to end' executors_ended || die 'executors run on after their driver'
	print_counts
	print_reports
	check_driver "$JOB-driver"
}

(($# <= 1)) || die 'usage: run.sh [INPUT]'
input=${1:-${INPUT:-$HERE/README.md}}
check_input "$input"
session demo "$(realpath -- "$input")"
