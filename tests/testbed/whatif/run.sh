#!/usr/bin/env bash
# Predicted and billed, side by side: counts the words of a file with Spark on the virtual node, asks `virtual-node cost what-if` what
# other executors would cost by the event log of that run, and runs those for real; see README.md.
#
#   run.sh [COUNTxCORESxGIB...]      executors, and cores and memory of each, after a run on 2x1x1; 2x1x2 by default
#
# OUT=dir keeps the reports. stdout: a table. Exit code 0: each bill is within TOLERANCE percent (15) of what was predicted.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbed/spark/job.sh
source "$HERE/../spark/job.sh"

# shellcheck disable=SC2034 # for session.sh
SESSION=whatif FAILURE=$ROOT/target/whatif-failure
BUCKET=whatif
TIMEOUT=1800
TOLERANCE=${TOLERANCE:-15}
# Bytes of the input, and of a task's part of it.
INPUT_MIB=48 TASK_MIB=4

# As users of kubectl have it: a plugin.
# shellcheck disable=SC2016 # expanded inside
virtual_node_cost() { inside bash -c 'PATH=$1:$PATH exec kubectl eci-cost "${@:2}"' plugin "$WORK/bin" "$@"; }

# count_words IMAGE COUNTxCORESxGIB [SUFFIX]: runs it, and sets $application to its id.
count_words() {
	local name=words-$2${3-} count cores gib
	IFS=x read -r count cores gib <<<"$2"
	say "counting words on $2 …"
	run_long "submitting $name" "$WORK/spark-submit-$name.log" submit "$1" "$(api_server)" "$name" \
		--conf spark.kubernetes.node.selector.type=virtual-kubelet \
		--conf "spark.executor.instances=$count" \
		--conf spark.driver.cores=1 --conf spark.driver.memory=1g \
		--conf "spark.executor.cores=$cores" --conf "spark.executor.memory=${gib}g" \
		--conf "spark.sql.files.maxPartitionBytes=${TASK_MIB}m" --conf spark.sql.files.openCostInBytes=0 \
		--conf spark.sql.shuffle.partitions=4 \
		"${EVENT_LOG[@]}" \
		"s3a://$BUCKET/wordcount.py" "s3a://$BUCKET/input" "s3a://$BUCKET/$name"
	wait_for_driver "$name-driver" "$TIMEOUT"
	wait_until 60 'the executors to end' executors_ended || die 'executors run on after their driver'
	wait_until 60 'the billing to end' billing_ended "$WORK/ledger.json" || die 'groups still cost'
	application=$(application_of "$name-driver")
	wait_until 30 'the cost to be recorded' recorded "$count" || die "the cost of $name is not recorded"
}

# recorded EXECUTORS: true when the driver's and each executor's group is over and has a record.
recorded() {
	virtual_node_cost show "$application" --output json >"$WORK/show.json" &&
		jq --exit-status --argjson groups "$(($1 + 1))" '.applications[0] | .groups == $groups and .running == 0' "$WORK/show.json"
}

# keep_reports NAME: the reports and the event log of $application, for whoever wants to look at them.
keep_reports() {
	local key
	mkdir -p "$OUT/$1.events"
	for key in $(s3 list "$BUCKET" "events/eventlog_v2_$application/"); do
		s3 get "$BUCKET/$key" >"$OUT/$1.events/$(basename "$key")"
	done
	keep_cost "$application" "s3a://$BUCKET/events" "$OUT/$1"
}

# predict COUNTxCORESxGIB: keeps what `what-if` says of it, and prints amount and milliseconds. Spark adds 40 % for Python.
predict() {
	local output file=$OUT/what-if-$1 count cores gib
	IFS=x read -r count cores gib <<<"$1"
	for output in text json; do
		virtual_node_cost what-if "$application" --event-log "s3a://$BUCKET/events" --executors "$count" --executor-cores "$cores" \
			--executor-memory "$((gib * 1024 * 14 / 10))Mi" --output "$output" >"$file.$output"
	done
	jq --raw-output --arg name "$count executor" '.whatIf[] | select(.name | startswith($name)) | "\(.amount) \(.millis)"' "$file.json"
}

# compare WHAT NAME PREDICTION: a line for $application, of which NAME's reports are kept; sets $off, in thousandths.
compare() {
	local amount millis billed took
	keep_reports "$2"
	read -r amount millis <<<"$3"
	read -r billed took < <(jq --raw-output \
		'.applications[0] | "\(.total.amount) \(((.to | fromdate) - (.from | fromdate)) * 1000)"' "$OUT/$2.json")
	off=$(((amount - billed) * 1000 / billed))
	printf '%-9s %15s %15s %5s%% %12s %9s\n' "$1" "$amount" "$billed" "$(awk "BEGIN { printf \"%+.1f\", $off / 10 }")" "$millis" "$took"
}

whatif() {
	local image count other off worst=0
	local -A predictions=()
	"$TESTBED/setup.sh"
	"$TESTBED/image/spark/build.sh" >/dev/null
	mkdir "$WORK/bin"
	ln -s "${VN_BIN_DIR:-${CARGO_TARGET_DIR:-$ROOT/target}/release}/virtual-node" "$WORK/bin/kubectl-eci_cost"
	cluster up
	image=$(load_spark)
	for ((count = 0; count < INPUT_MIB * 16; count++)); do
		head -c 65536 < <(cat "$TESTBED/demo/README.md" "$ROOT"/docs/*.md)
	done >"$WORK/input"
	s3 make-bucket "$BUCKET"
	s3 put "$BUCKET/input" <"$WORK/input"
	s3 put "$BUCKET/wordcount.py" <"$TESTBED/demo/wordcount.py"
	prepare_event_log "$BUCKET"
	prepare_jobs

	count_words "$image" 2x1x1
	keep_reports words-2x1x1
	for other in "$@"; do predictions[$other]=$(predict "$other"); done
	printf '%-9s %15s %15s %6s %12s %9s\n' executors predicted billed off 'predicted ms' 'took ms'
	for other in "$@"; do
		count_words "$image" "$other"
		compare "$other" "words-$other" "${predictions[$other]}"
		((${off#-} <= worst)) || worst=${off#-}
	done
	# How much the machine itself wavers: the first run, once more.
	count_words "$image" 2x1x1 -again
	compare again words-2x1x1-again "$(jq --raw-output '.whatIf[0] | "\(.amount) \(.millis)"' "$OUT/what-if-$1.json")"
	((worst <= TOLERANCE * 10)) || die "a prediction is off by more than $TOLERANCE %"
}

(($#)) || set -- 2x1x2
for other in "$@"; do
	[[ $other =~ ^[1-9][0-9]?x[1-9][0-9]?x[1-9][0-9]?$ ]] || die "usage: run.sh [COUNTxCORESxGIB...], such as 2x1x2, not '$other'"
done
OUT=${OUT:-$ROOT/target/whatif}
mkdir -p "$OUT"
OUT=$(realpath -- "$OUT")
session whatif "$@"
