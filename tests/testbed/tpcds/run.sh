#!/usr/bin/env bash
# `make demo-tpcds`: TPC-DS with Spark on the virtual node, held against another engine; see README.md.
#
#   run.sh      settings are variables: SF (scale factor, 1), QUERIES (such as q6,q19; all 103 by default),
#               OUT (a folder that keeps the tables, the results and the cost)
#
# VN_TPCDS_AFTERWARDS names a program to run in the end, such as history.sh, with the image, the bucket and the queries.
#
# stdout: `== queries ==`, `== timeline ==` and `== cost ==`, each with its table. Anything else a person may want to know
# goes to stderr. Exit code 0: every query's result is that of the other engine.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbed/spark/job.sh
source "$HERE/../spark/job.sh"

# shellcheck disable=SC2034 # for session.sh
SESSION=tpcds FAILURE=$ROOT/target/demo-tpcds-failure KEPT=(VN_TPCDS_AFTERWARDS VN_HISTORY_MEANWHILE)
JOB=tpcds
BUCKET=tpcds
# How long all queries may take together: a scale factor of 1 takes ten minutes on two cores.
TIMEOUT=14400

# make_tools: fills $CACHED_OUT with a Python that has the generator and the other engine.
make_tools() {
	python_venv "$HERE/requirements.txt"
}

# fetch_queries: fills $CACHED_OUT with queries/<name>.sql.
fetch_queries() {
	install_command mvn maven
	mvn --batch-mode --no-transfer-progress --file "$HERE/queries.xml" dependency:copy-dependencies -DoutputDirectory="$CACHED_OUT"
	python3 - "$CACHED_OUT" <<-'PYTHON'
		import pathlib, sys, zipfile
		out = pathlib.Path(sys.argv[1])
		(out / "queries").mkdir()
		[jar] = out.glob("*.jar")
		for name in zipfile.ZipFile(jar).namelist():
		    if name.startswith("tpcds/") and name.endswith(".sql"):
		        (out / "queries" / pathlib.Path(name).name).write_bytes(zipfile.ZipFile(jar).read(name))
		jar.unlink()
	PYTHON
}

# check_settings: dies unless SF, QUERIES and OUT make sense; sets $names, one query a word, in their natural order.
check_settings() {
	local name
	[[ $SF =~ ^[0-9]*\.?[0-9]+$ && $SF =~ [1-9] ]] || die "SF must be a number above 0, such as 1, not '$SF'"
	mapfile -t names < <(find "$queries" -name '*.sql' -printf '%f\n' | sed 's/\.sql$//' | sort --version-sort)
	if [[ -n $QUERIES ]]; then
		for name in ${QUERIES//,/ }; do
			[[ -e $queries/$name.sql ]] || die "QUERIES: there is no query '$name'; there are ${names[*]}"
		done
		# shellcheck disable=SC2086 # one query a word
		mapfile -t names < <(printf '%s\n' ${QUERIES//,/ } | sort --version-sort --unique)
	fi
	mkdir -p "$OUT/data" "$OUT/results" || die "OUT: cannot make $OUT/data"
}

# store_input: the tables and the queries, into the store.
store_input() {
	local file
	s3 make-bucket "$BUCKET"
	for file in "$OUT/data"/*.parquet; do store "$file" "$BUCKET/data/"; done
	for file in "$queries"/*.sql; do store "$file" "$BUCKET/queries/"; done
	store "$HERE/tpcds.py" "$BUCKET/"
	prepare_event_log "$BUCKET"
}

# submit_tpcds IMAGE: memory and its overhead (40 % for Python) fill a size that ECI has, 1 vCPU and 4 GiB, to a MiB.
submit_tpcds() {
	submit "$1" "$(api_server)" "$JOB" \
		--conf spark.kubernetes.node.selector.type=virtual-kubelet \
		--conf spark.executor.instances=2 \
		--conf spark.driver.cores=1 --conf spark.driver.memory=2925m \
		--conf spark.executor.cores=1 --conf spark.executor.memory=2925m \
		--conf spark.sql.shuffle.partitions=8 \
		"${EVENT_LOG[@]}" \
		"s3a://$BUCKET/tpcds.py" "s3a://$BUCKET/data" "s3a://$BUCKET/queries" "s3a://$BUCKET/results" "$(IFS=,; printf '%s' "${names[*]}")"
}

# follow_queries: says what the driver did, line by line, until it ends.
follow_queries() {
	local line number=0
	kubectl logs --follow "$JOB-driver" | grep --line-buffered '^tpcds: ' | while read -r line; do
		number=$((number + 1))
		say "  $number of ${#names[@]}: ${line#tpcds: }"
	done
}

driver_started() { [[ $(kubectl get pod "$JOB-driver" --output 'jsonpath={.status.phase}') != Pending ]]; }

# fetch_results: what the job wrote, into $OUT/results.
fetch_results() {
	local name key
	for name in "${names[@]}"; do
		key=$(s3 list "$BUCKET" "results/$name/part-")
		[[ -n $key && $key != *$'\n'* ]] || die "the job left no single file of results of $name (there is '$key')"
		s3 get "$BUCKET/$key" >"$OUT/results/$name.csv"
	done
}

# print_reports: each query's time and check, the pods' lives, and what the cloud charges for them.
print_reports() {
	local status=0
	kubectl logs "$JOB-driver" | awk '$1 == "tpcds:" && $3 == "ok" { print $2, $4 }' >"$WORK/seconds"
	"$tools/venv/bin/python" "$HERE/oracle.py" "$OUT/data" "$queries" "$OUT/results" "${names[@]}" >"$WORK/checks" || status=$?
	check_costs
	keep_cost "$(application_of "$JOB-driver")" "s3a://$BUCKET/events" "$OUT/cost"
	jq --raw-output '.analyses[0].jobGroups[] | select(.meanwhile) | "\(.group) \(.amount) \(.meanwhile.amount)"' "$OUT/cost.json" >"$WORK/query-costs"
	# Each of them has its stages in the event log, and its price.
	[[ $(cut -d ' ' -f 1 "$WORK/query-costs" | sort --version-sort) == "$(printf '%s\n' "${names[@]}")" ]] ||
		die "the cost is not that of the queries: $(<"$WORK/query-costs")"
	echo '== queries =='
	printf '%-6s %8s %6s %12s %12s  %s\n' query seconds rows tasks meanwhile "against DuckDB's"
	awk 'FILENAME == ARGV[1] { seconds[$1] = $2; next }
		FILENAME == ARGV[2] { tasks[$1] = $2 / 1e9; meanwhile[$1] = $3 / 1e9; next }
		{ name = $1; rows = $2; $1 = $2 = ""; sub(/^ +/, ""); n++; s += seconds[name]; t += tasks[name]; m += meanwhile[name]
		  printf "%-6s %8.1f %6d %12.9f %12.9f  %s\n", name, seconds[name], rows, tasks[name], meanwhile[name], $0 }
		END { printf "%-6s %8.1f %6s %12.9f %12.9f  %d queries\n", "all", s, "-", t, m, n }' "$WORK/seconds" "$WORK/query-costs" "$WORK/checks"
	kubectl get pods --selector spark-role --output json >"$WORK/pods.json"
	echo '== timeline =='
	python3 "$TESTBED/demo/report.py" timeline "$WORK/pods.json" "$WORK/ledger.json"
	echo '== cost =='
	print_cost "$JOB-driver"
	((status == 0)) || die 'a result differs from that of the other engine, see the table of queries'
}

# tpcds: all of it.
tpcds() {
	local image tools queries following
	local -a names=()
	"$TESTBED/setup.sh"
	"$TESTBED/image/spark/build.sh" >/dev/null
	tools=$(cached --about '20 s' --text "installing TPC-DS' generator and DuckDB" --key "$(python3 -V)" \
		tpcds-tools "$HERE/requirements.txt" -- make_tools)
	queries=$(cached --about '20 s' --text "fetching TPC-DS' queries" tpcds-queries "$HERE/queries.xml" -- fetch_queries)/queries
	OUT=${OUT:-$WORK/out}
	check_settings
	say "making the tables, scale factor $SF …"
	run_long 'making the tables' "$WORK/tpcgen.log" \
		"$tools/venv/bin/tpcgen-cli" tpcds parquet --scale-factor "$SF" --overwrite --quiet --no-progress --output-dir "$OUT/data"
	cluster up
	image=$(load_spark)
	say "storing the tables ($(du --summarize --block-size=M "$OUT/data" | cut -f 1)) …"
	store_input
	prepare_jobs
	say "submitting the job: ${#names[@]} queries …"
	run_long 'submitting' "$WORK/spark-submit.log" submit_tpcds "$image"
	wait_until "$PENDING_TIMEOUT" 'the driver to start' driver_started || die 'the driver does not start'
	follow_queries &
	following=$!
	wait_for_driver "$JOB-driver" "$TIMEOUT"
	wait "$following" || true
	wait_until 60 'the executors to end' executors_ended || die 'executors run on after their driver'
	fetch_results
	print_reports
	check_driver "$JOB-driver"
	[[ -z ${VN_TPCDS_AFTERWARDS-} ]] || "$VN_TPCDS_AFTERWARDS" "$image" "$BUCKET" "${names[@]}" || die "$VN_TPCDS_AFTERWARDS failed"
}

(($# == 0)) || die 'usage: run.sh, with the variables SF, QUERIES and OUT'
SF=${SF:-1} QUERIES=${QUERIES-} OUT=${OUT:+$(realpath --canonicalize-missing -- "$OUT")}
session tpcds
