# shellcheck shell=bash
# shellcheck disable=SC2317 # functions that wait_until calls are reachable
# Spark jobs in the cluster of a session (session.sh): the image, the store, spark-submit in cluster mode, and the wait for
# the driver. Source it instead of session.sh.

# shellcheck source=tests/testbed/spark/session.sh
source "$(dirname "${BASH_SOURCE[0]}")/session.sh"

SECRET=s3-credentials
# Where jobs are.
JOB_NAMESPACE=${JOB_NAMESPACE:-default}
# How long a driver may wait for its resources.
PENDING_TIMEOUT=300

s3() { inside bash "$TESTBED/spark/s3.sh" "$@"; }

# store FILE BUCKET/FOLDER/: keeps its name.
# shellcheck disable=SC2094 # only its name is read twice
store() { s3 put "$2$(basename "$1")" <"$1"; }

# prepare_event_log BUCKET: a place for Spark's event logs, which must be there; sets EVENT_LOG, the job's settings for it.
prepare_event_log() {
	s3 make-folder "$1/events/"
	# shellcheck disable=SC2034 # for the caller
	EVENT_LOG=(--conf spark.eventLog.enabled=true --conf "spark.eventLog.dir=s3a://$1/events")
}

# endpoint VARIABLE: what `exec` sets for programs inside.
endpoint() { inside printenv "$1"; }

# load_spark: makes the image if need be, loads it into every runtime, and prints its name.
load_spark() {
	local archive image
	archive=$("$TESTBED/image/spark/build.sh")
	say 'loading the image …'
	image=$(cluster load "$archive" | sed -n 's/^Loaded image: *//p')
	[[ -n $image ]] || die 'the engine did not say what image it loaded'
	printf '%s' "$image"
}

# prepare_jobs: who drivers are, and a Secret with the keys of the store: configuration ends up in a ConfigMap.
prepare_jobs() {
	kubectl apply --namespace "$JOB_NAMESPACE" --filename "$TESTBED/spark/rbac.yaml" >/dev/null
	# shellcheck disable=SC2016 # expanded inside
	inside bash -c 'kubectl create secret generic "$1" --namespace "$2" --from-env-file=/dev/stdin <<-ENV
		access-key-id=$AWS_ACCESS_KEY_ID
		secret-access-key=$AWS_SECRET_ACCESS_KEY
		ENV
	' secret "$SECRET" "$JOB_NAMESPACE" >/dev/null
}

# api_server: prints where the API server is, as the administrator's kubeconfig has it.
api_server() { kubectl config view --minify --output 'jsonpath={.clusters[0].cluster.server}'; }

# spark_submit IMAGE FOLDER ARGUMENT...: from a container in the testbed's network, which finds FOLDER as /submission and
# manifests/examples as /examples.
spark_submit() {
	# It has no need of its own address, which not every machine's name leads to.
	# shellcheck disable=SC2016 # expanded inside
	inside bash -c 'exec podman run --rm --network host --volume "$KUBECONFIG:/kubeconfig:ro" --volume "$2:/submission:ro" \
		--volume "$3:/examples:ro" --env KUBECONFIG=/kubeconfig --env SPARK_LOCAL_IP=127.0.0.1 \
		"$1" /opt/spark/bin/spark-submit "${@:4}"' podman "$1" "$2" "$ROOT/manifests/examples" "${@:3}"
}

# submit IMAGE SERVER NAME ARGUMENT...: spark-submit in cluster mode. The driver
# is the pod NAME-driver, executors are NAME-exec-1 and so on; ARGUMENTs are the job's own settings, its program and that
# program's arguments, and win over the settings here. manifests/examples is for it in /examples.
submit() {
	local image=$1 server=$2 name=$3 role
	local -a credentials=()
	shift 3
	for role in driver executor; do
		credentials+=(
			--conf "spark.kubernetes.$role.secretKeyRef.AWS_ACCESS_KEY_ID=$SECRET:access-key-id"
			--conf "spark.kubernetes.$role.secretKeyRef.AWS_SECRET_ACCESS_KEY=$SECRET:secret-access-key"
		)
	done
	# It needs no folder of its own.
	spark_submit "$image" "$ROOT/manifests/examples" \
		--master "k8s://$server" --deploy-mode cluster --name "$name" \
		--conf "spark.kubernetes.namespace=$JOB_NAMESPACE" \
		--conf "spark.kubernetes.container.image=$image" \
		--conf spark.kubernetes.authenticate.driver.serviceAccountName=spark \
		--conf "spark.kubernetes.driver.pod.name=$name-driver" \
		--conf "spark.kubernetes.executor.podNamePrefix=$name" \
		--conf spark.kubernetes.submission.waitAppCompletion=false \
		--conf spark.kubernetes.executor.deleteOnTermination=false \
		"${credentials[@]}" \
		--conf "spark.hadoop.fs.s3a.endpoint=$(endpoint AWS_ENDPOINT_URL)" \
		--conf "spark.hadoop.fs.s3a.endpoint.region=$(endpoint AWS_REGION)" \
		--conf spark.hadoop.fs.s3a.path.style.access=true \
		--conf spark.hadoop.fs.s3a.connection.ssl.enabled=false "$@"
}

# wait_for_driver POD SECONDS: until the driver has ended; says what changed meanwhile.
wait_for_driver() {
	local start=$SECONDS pods before='' phase
	while :; do
		pods=$(kubectl get pods --selector spark-role --no-headers --sort-by .metadata.creationTimestamp \
			--output 'custom-columns=:.metadata.name,:.status.phase')
		if [[ $pods != "$before" ]]; then
			say "  $(awk '{ printf "%s%s %s", (NR > 1 ? ", " : ""), $1, $2 }' <<<"$pods") ($(duration $((SECONDS - start))))"
			before=$pods
		fi
		phase=$(awk -v "name=$1" '$1 == name { print $2 }' <<<"$pods")
		case $phase in
		Succeeded) return ;;
		Failed) die 'the driver failed' ;;
		Pending) ((SECONDS - start < PENDING_TIMEOUT)) || die "the driver is still Pending after $(duration "$PENDING_TIMEOUT")" ;;
		'') die 'the driver is gone' ;;
		esac
		((SECONDS - start < $2)) || die "the driver has not ended after $(duration "$2")"
		sleep 1
	done
}

# executors_ended: true when no executor runs any more.
executors_ended() {
	[[ -z $(kubectl get pods --selector spark-role=executor --output name \
		--field-selector status.phase!=Succeeded,status.phase!=Failed) ]]
}

# check_driver POD: the driver is Completed, and its log can be read; shows the end of it.
check_driver() {
	local reason log
	reason=$(kubectl get pod "$1" --output 'jsonpath={.status.containerStatuses[0].state.terminated.reason}')
	[[ $reason == Completed ]] || die "the driver's container is '$reason', not Completed"
	log=$(kubectl logs "$1")
	[[ -n $log ]] || die "kubectl logs $1 is empty"
	say "the driver is Completed; its log ($(wc -l <<<"$log") lines) ends with:"
	tail -n 3 <<<"$log" | sed 's/^/  | /' >&2
}

# ledger FILE: what the cloud charges, group by group.
ledger() { inside curl --silent --show-error --fail http://127.0.0.1:8090/mock/ledger >"$1"; }

# billing_ended FILE: true when no group costs anything any more.
billing_ended() { ledger "$1" && jq --exit-status 'all(.BillingEnd != null)' "$1"; }

# virtual_node_cost ARGUMENT...: as whoever has the cluster's kubeconfig runs it.
virtual_node_cost() { inside "${VN_BIN_DIR:-${CARGO_TARGET_DIR:-$ROOT/target}/release}/virtual-node" cost "$@"; }

# costs_agree: true when what `virtual-node cost` says of every application is what the ledger says, by a script that shares no
# code with either.
costs_agree() {
	ledger "$WORK/ledger.json"
	virtual_node_cost list --output json >"$WORK/costs.json"
	python3 "$TESTBED/bills.py" "$WORK/ledger.json" "$WORK/costs.json" >"$WORK/bills" 2>&1
}

# check_costs: once nothing costs any more, what it did cost is known, and right.
check_costs() {
	wait_until 60 'the billing to end' billing_ended "$WORK/ledger.json" || die 'the jobs are over, but their container groups still cost'
	wait_until 60 'the cost to be recorded' costs_agree || die "the cost is not what the cloud charges: $(cat "$WORK/bills" 2>&1)"
	say "costs and the cloud's ledger: $(cut -f 3- "$WORK/bills" | paste --serial --delimiters ';')"
}

# keep_cost APPLICATION EVENT_LOG FILE: FILE.text, FILE.json, FILE.csv and FILE.html, what it cost and what for; the parts add up.
keep_cost() {
	local output
	for output in text json csv html; do
		virtual_node_cost show "$1" --event-log "$2" --output "$output" >"$3.$output"
	done
	jq --exit-status '.analyses[0] | .total == ([.phases[].amount] | add) and .total == ([.stages[].amount, .overhead[]] | add)' \
		"$3.json" >/dev/null || die "the parts of the cost of $1 do not add up, see $3.json"
}

# application_of DRIVER_POD: Spark's id of it.
application_of() { kubectl get pod "$1" --output 'jsonpath={.metadata.labels.spark-app-selector}'; }

# print_cost DRIVER_POD: the table of its application's groups.
print_cost() {
	virtual_node_cost show "$(application_of "$1")" --output json >"$WORK/cost.json"
	python3 "$TESTBED/demo/report.py" cost "$WORK/cost.json"
}

# keep_failure: what session.sh asks for, for jobs.
keep_failure() {
	local name
	{
		kubectl get pods --all-namespaces --output wide
		kubectl describe pods --selector spark-role
		kubectl get events --sort-by .metadata.creationTimestamp
	} >"$FAILURE/pods.txt" 2>&1 || true
	for name in $(kubectl get pods --selector spark-role --output 'custom-columns=:.metadata.name' --no-headers 2>/dev/null); do
		kubectl logs "$name" >"$FAILURE/$name.log" 2>&1 || true
	done

	excerpt "$FAILURE/pods.txt" 80
	for name in "$FAILURE"/*-driver.log; do excerpt "$name" 40; done
	for name in agent mock-eci relay; do excerpt "$FAILURE/logs/$name.log" 15; done
}
