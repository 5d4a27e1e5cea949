#!/usr/bin/env bash
# `make demo`: counts the words of a file with Spark on the virtual node; see README.md.
#
#   run.sh [INPUT]      INPUT is a regular file, or the variable INPUT names one;
#                       without either, the README beside this is taken
#
# VN_DEMO_MEANWHILE names a program to run in the cluster's environment once the job is
# submitted, such as disrupt.sh; the demo fails if it does. VN_DEMO_LATE_CONFIG=1 lets the driver's
# ConfigMap come a second after its pod (late_config.py). VN_DEMO_SPOT=1 makes executors spot groups that are
# evicted when their resources are taken back.
#
# stdout: `== counts ==`, `== timeline ==` and `== cost ==`, each with its table. Anything
# else a person may want to know goes to stderr. Exit code 0: all of it is true.
# shellcheck disable=SC2317 # functions that traps, wait_until and run_long call are reachable
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TESTBED=$(dirname "$HERE")
ROOT=$(cd "$TESTBED/../.." && pwd)
# shellcheck source=tests/testbed/lib.sh
source "$TESTBED/lib.sh"

BUCKET=demo
DRIVER=wordcount-driver
SECRET=s3-credentials
LATE_PORT=8001
# How long the job may take once it is submitted; 100 MB take one minute.
TIMEOUT=1800
PENDING_TIMEOUT=300
# What is left to look at when the demo failed.
FAILURE=$ROOT/target/demo-failure

# A cluster of its own, whatever else is up or set; other programs may be brought along.
unset KUBECONFIG DOCKER_HOST
for name in "${!VN_@}"; do
	[[ $name == VN_@(CACHE|BIN_DIR|DEBIAN_MIRROR|INSIDE|DEMO_MEANWHILE|DEMO_LATE_CONFIG|DEMO_SPOT) ]] || unset "$name"
done
# Without metrics-server, which takes minutes to build the first time and has no part in it.
export VN_TESTBED=demo-$$ VN_PARTS=control-plane,dns,store,engine,cloud,node

cluster() { "$TESTBED/cluster.sh" "$@"; }
inside() { cluster exec "$@"; }
s3() { inside bash "$HERE/s3.sh" "$@"; }
kubectl() { inside kubectl "$@"; }

# check_input FILE: dies unless FILE can be read.
check_input() {
	[[ -e $1 ]] || die "INPUT $1 does not exist"
	[[ ! -d $1 ]] || die "INPUT $1 is a directory, not a file"
	[[ -f $1 ]] || die "INPUT $1 is not a regular file"
	# Opened for real: root has the right to read what a file system may refuse all the same.
	head -c 1 -- "$1" >/dev/null 2>&1 || die "INPUT $1 cannot be read"
}

# submit IMAGE: spark-submit in cluster mode, from a container in the testbed's network.
submit() {
	local server
	local -a more=()
	server=$(submission_server)
	[[ -z ${VN_DEMO_SPOT-} ]] ||
		more+=(
			--conf spark.kubernetes.executor.annotation.k8s.aliyun.com/eci-spot-strategy=SpotAsPriceGo
			--conf spark.kubernetes.executor.annotation.k8s.aliyun.com/eci-spot-release-strategy=api-evict
		)
	# It has no need of its own address, which not every machine's name leads to. The keys
	# of the store are a Secret: configuration ends up in a ConfigMap.
	# shellcheck disable=SC2016 # expanded inside
	inside bash -c 'exec podman run --rm --name spark-submit --network host \
		--volume "$KUBECONFIG:/kubeconfig:ro" --env KUBECONFIG=/kubeconfig --env SPARK_LOCAL_IP=127.0.0.1 "$@"' podman "$1" \
		/opt/spark/bin/spark-submit \
		--master "k8s://$server" --deploy-mode cluster --name wordcount \
		--conf "spark.kubernetes.container.image=$1" \
		--conf spark.kubernetes.authenticate.driver.serviceAccountName=spark \
		--conf spark.kubernetes.node.selector.type=virtual-kubelet \
		--conf "spark.kubernetes.driver.pod.name=$DRIVER" \
		--conf spark.kubernetes.executor.podNamePrefix=wordcount \
		--conf spark.kubernetes.submission.waitAppCompletion=false \
		--conf spark.kubernetes.executor.deleteOnTermination=false \
		--conf spark.executor.instances=2 \
		--conf spark.driver.cores=1 --conf spark.driver.memory=1g \
		--conf spark.executor.cores=1 --conf spark.executor.memory=1g \
		--conf "spark.kubernetes.driver.secretKeyRef.AWS_ACCESS_KEY_ID=$SECRET:access-key-id" \
		--conf "spark.kubernetes.driver.secretKeyRef.AWS_SECRET_ACCESS_KEY=$SECRET:secret-access-key" \
		--conf "spark.kubernetes.executor.secretKeyRef.AWS_ACCESS_KEY_ID=$SECRET:access-key-id" \
		--conf "spark.kubernetes.executor.secretKeyRef.AWS_SECRET_ACCESS_KEY=$SECRET:secret-access-key" \
		--conf "spark.hadoop.fs.s3a.endpoint=$(endpoint AWS_ENDPOINT_URL)" \
		--conf "spark.hadoop.fs.s3a.endpoint.region=$(endpoint AWS_REGION)" \
		--conf spark.hadoop.fs.s3a.path.style.access=true \
		--conf spark.hadoop.fs.s3a.connection.ssl.enabled=false "${more[@]}" \
		"s3a://$BUCKET/wordcount.py" "s3a://$BUCKET/input" "s3a://$BUCKET/counts"
}

# submission_server: prints where spark-submit finds the API server.
submission_server() {
	if [[ -z ${VN_DEMO_LATE_CONFIG-} ]]; then
		kubectl config view --minify --output 'jsonpath={.clusters[0].cluster.server}'
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

# endpoint VARIABLE: what `exec` sets for programs inside.
endpoint() { inside printenv "$1"; }

# wait_for_driver: until the driver has ended; says what changed meanwhile.
wait_for_driver() {
	local start=$SECONDS pods before='' phase
	while :; do
		pods=$(kubectl get pods --selector spark-role --no-headers --sort-by .metadata.creationTimestamp \
			--output 'custom-columns=:.metadata.name,:.status.phase')
		if [[ $pods != "$before" ]]; then
			say "  $(awk '{ printf "%s%s %s", (NR > 1 ? ", " : ""), $1, $2 }' <<<"$pods") ($(duration $((SECONDS - start))))"
			before=$pods
		fi
		phase=$(awk -v "name=$DRIVER" '$1 == name { print $2 }' <<<"$pods")
		case $phase in
		Succeeded) return ;;
		Failed) die 'the driver failed' ;;
		Pending) ((SECONDS - start < PENDING_TIMEOUT)) || die "the driver is still Pending after $(duration "$PENDING_TIMEOUT")" ;;
		'') die 'the driver is gone' ;;
		esac
		((SECONDS - start < TIMEOUT)) || die "the driver has not ended after $(duration "$TIMEOUT")"
		sleep 1
	done
}

# executors_ended: true when no executor runs any more.
executors_ended() {
	[[ -z $(kubectl get pods --selector spark-role=executor --output name \
		--field-selector status.phase!=Succeeded,status.phase!=Failed) ]]
}

# check_driver: the driver is Completed, and its log can be read; shows the end of it.
check_driver() {
	local reason log
	reason=$(kubectl get pod "$DRIVER" --output 'jsonpath={.status.containerStatuses[0].state.terminated.reason}')
	[[ $reason == Completed ]] || die "the driver's container is '$reason', not Completed"
	log=$(kubectl logs "$DRIVER")
	[[ -n $log ]] || die "kubectl logs $DRIVER is empty"
	say "the driver is Completed; its log ($(wc -l <<<"$log") lines) ends with:"
	tail -n 3 <<<"$log" | sed 's/^/  | /' >&2
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

# ledger: what the cloud charges, group by group, into $WORK/ledger.json.
ledger() { inside curl --silent --show-error --fail http://127.0.0.1:8090/mock/ledger >"$WORK/ledger.json"; }

# billing_ended: true when no group costs anything any more.
billing_ended() { ledger && jq --exit-status 'all(.BillingEnd != null)' "$WORK/ledger.json"; }

# print_reports: what the pods say of their lives, and what the cloud charges for them.
print_reports() {
	wait_until 30 'the billing to end' billing_ended || die 'the pods have ended, but their container groups still cost'
	kubectl get pods --selector spark-role --output json >"$WORK/pods.json"
	echo '== timeline =='
	python3 "$HERE/report.py" timeline "$WORK/pods.json" "$WORK/ledger.json"
	echo '== cost =='
	python3 "$HERE/report.py" cost "$WORK/pods.json" "$WORK/ledger.json"
}

# demo INPUT: all of it; runs in a process group of its own, see main.
demo() {
	local archive image
	"$TESTBED/setup.sh"
	archive=$("$TESTBED/image/spark/build.sh")
	cluster up
	say 'loading the image …'
	image=$(cluster load "$archive" | sed -n 's/^Loaded image: *//p')
	[[ -n $image ]] || die 'the engine did not say what image it loaded'

	say "storing $1 ($(stat --format %s -- "$1") bytes) …"
	s3 make-bucket "$BUCKET"
	s3 put "$BUCKET/input" <"$1"
	s3 put "$BUCKET/wordcount.py" <"$HERE/wordcount.py"
	kubectl apply --filename "$HERE/spark.yaml" >/dev/null
	# shellcheck disable=SC2016 # expanded inside
	inside bash -c 'kubectl create secret generic "$1" --from-env-file=/dev/stdin <<-ENV
		access-key-id=$AWS_ACCESS_KEY_ID
		secret-access-key=$AWS_SECRET_ACCESS_KEY
		ENV
	' secret "$SECRET" >/dev/null

	say 'submitting the job …'
	run_long 'submitting' "$WORK/spark-submit.log" submit "$image"
	local meanwhile=''
	if [[ -n ${VN_DEMO_MEANWHILE-} ]]; then
		"$VN_DEMO_MEANWHILE" &
		meanwhile=$!
	fi
	wait_for_driver
	[[ -z $meanwhile ]] || wait "$meanwhile" || die "$VN_DEMO_MEANWHILE failed"
	wait_until 60 'the executors to end' executors_ended || die 'executors run on after their driver'
	print_counts
	print_reports
	check_driver
}

# show_failure: what helps to understand a failed demo; keeps more of it in a folder.
show_failure() {
	local name logs
	[[ -e $(cluster state 2>/dev/null) ]] || return 0
	logs=$(cluster state)/logs
	rm -rf "$FAILURE"
	mkdir -p "$FAILURE"
	cp -r "$logs" "$FAILURE/" || true
	cp "$WORK"/*.log "$FAILURE/" 2>/dev/null || true
	{
		kubectl get pods --all-namespaces --output wide
		kubectl describe pods --selector spark-role
		kubectl get events --sort-by .metadata.creationTimestamp
	} >"$FAILURE/pods.txt" 2>&1 || true
	for name in $(kubectl get pods --selector spark-role --output 'custom-columns=:.metadata.name' --no-headers 2>/dev/null); do
		kubectl logs "$name" >"$FAILURE/$name.log" 2>&1 || true
	done

	excerpt "$FAILURE/pods.txt" 80
	excerpt "$FAILURE/$DRIVER.log" 40
	for name in agent mock-eci relay; do excerpt "$FAILURE/logs/$name.log" 15; done
	say "more of it is in $FAILURE"
}

# excerpt FILE LINES: the end of a file, if there is any.
excerpt() {
	[[ -s $1 ]] || return 0
	say "--- $(basename "$1")"
	tail -n "$2" "$1" | cut -c 1-300 | sed 's/^/  | /' >&2
}

# forget_the_dead: removes clusters of demos that were killed.
forget_the_dead() {
	local folder name
	for folder in /var/tmp/virtual-node-demo-*; do
		name=${folder#/var/tmp/virtual-node-}
		[[ $name =~ ^demo-([0-9]+)$ ]] || continue
		[[ -e /proc/${BASH_REMATCH[1]} ]] || VN_TESTBED=$name cluster down || warn "could not remove the cluster $name"
	done
}

# end_worker: ends what runs for the demo in the foreground: builds, kubectl, podman …
end_worker() {
	[[ -n $worker ]] && kill -TERM -- "-$worker" 2>/dev/null || return 0
	wait_until 10 'the demo to stop' worker_ended || kill -KILL -- "-$worker" 2>/dev/null || true
}

worker_ended() { ! kill -0 -- "-$worker" 2>/dev/null; }

# clean_up: runs at the end, whatever it was.
clean_up() {
	local status=$?
	trap '' INT TERM HUP
	end_worker
	[[ $status == 0 || -n $interrupted ]] || show_failure || true
	say 'cleaning up …'
	cluster down || {
		warn "could not remove the cluster; try: VN_TESTBED=$VN_TESTBED $TESTBED/cluster.sh down"
		status=1
	}
	rm -rf "$WORK"
	trap - EXIT
	exit "$status"
}

main() {
	local input=${1:-${INPUT:-$HERE/README.md}} status=0 start=$SECONDS
	check_input "$input"
	need_root 'the demo'
	input=$(realpath -- "$input")

	worker='' interrupted=''
	WORK=$(mktemp -d)
	trap clean_up EXIT
	trap 'interrupted=1; exit 129' HUP
	trap 'interrupted=1; exit 130' INT
	trap 'interrupted=1; exit 143' TERM
	forget_the_dead
	# In the background and in a process group of its own: bash runs traps only when no
	# command is in the foreground, and a build can be there for minutes.
	set -m
	demo "$input" </dev/null &
	worker=$!
	set +m
	wait "$worker" || status=$?
	((status != 0)) || say "the demo took $(duration $((SECONDS - start)))"
	exit "$status"
}

(($# <= 1)) || die 'usage: run.sh [INPUT]'
main "$@"
