#!/usr/bin/env bash
# A real cluster in namespaces of its own; see usage below and README.md.
set -euo pipefail
TESTBED=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for part in lib.sh components.sh cluster/{settings,holder,process,pki,control-plane,dns,store,worker,engine,burst,virtual-node,metrics,external,lifecycle}.sh; do
	# shellcheck source=/dev/null
	source "$TESTBED/$part"
done

usage() {
	cat >&2 <<-'TEXT'
		usage: cluster.sh COMMAND
		  up                         starts the cluster (again: starts it anew, from nothing)
		  down                       ends it and removes all it made
		  status                     says which components run
		  hints                      says how to use it
		  exec COMMAND...            runs a command in its namespaces, with kubectl and KUBECONFIG set
		  load ARCHIVE               loads a Docker archive into its container engine
		  start|restart NAME [IP]    starts or restarts one component (agent and coredns can move to IP)
		  stop|kill NAME             ends one component with SIGTERM or SIGKILL
		  state                      prints the folder of its files
		components: etcd apiserver kube-controller-manager kube-scheduler coredns store
		            containerd kubelet kube-proxy engine mock-eci relay agent metrics-server
		environment: VN_TESTBED (name of the instance), VN_PARTS (what to start); README.md has the rest
	TEXT
	exit 2
}

# full_name NAME: resolves the short name of a component, and dies on one there is not.
full_name() {
	local name=$1
	[[ $name != apiserver ]] || name=kube-apiserver
	# Not by grep -q, which leaves before all is written: the writer then ends with an error.
	[[ $'\n'$(components "$ALL_PARTS")$'\n' == *$'\n'$name$'\n'* ]] || die "there is no component '$name'"
	printf '%s\n' "$name"
}

# run_inside COMMAND...: what `exec` does.
run_inside() {
	local host
	host=$(engine_host)
	export VN_TESTBED VN_STATE=$STATE
	export KUBECONFIG=$STATE/kubeconfig PATH=$STATE/bin:$PATH DOCKER_HOST=$host
	export AWS_ACCESS_KEY_ID=$STORE_ACCESS_KEY AWS_SECRET_ACCESS_KEY=$STORE_SECRET_KEY
	export AWS_REGION=$REGION AWS_ENDPOINT_URL=$STORE_URL
	export ALIBABA_CLOUD_ACCESS_KEY_ID=$ECI_ACCESS_KEY_ID ALIBABA_CLOUD_ACCESS_KEY_SECRET=$ECI_ACCESS_KEY_SECRET
	export ECI_ENDPOINT=$MOCK_ECI_URL
	with_engine inside env VN_INSIDE="$VN_TESTBED" "$@"
}

# locked COMMAND: runs this script again under a lock: one `up` or `down` of an instance at a time.
locked() {
	local locks=$VN_CACHE/locks
	mkdir -p "$locks"
	find "$locks" -name '*.lock' -mmin +1440 -delete
	VN_LOCKED=$VN_TESTBED exec flock --close "$locks/$VN_TESTBED.lock" "$TESTBED/cluster.sh" "$1"
}

main() {
	local command=${1-} name
	shift || true
	case $command in
	up | down)
		[[ ${VN_LOCKED-} == "$VN_TESTBED" ]] || locked "$command"
		"$command"
		;;
	status | hints) "$command" ;;
	exec)
		(($# > 0)) || usage
		run_inside "$@"
		;;
	load)
		[[ -r ${1-} ]] || die 'load: name a readable Docker archive (docker save, podman save)'
		load_image "$1"
		;;
	start | restart)
		recall_choices
		name=$(full_name "${1-}")
		[[ $# == 1 || $name == agent || $name == coredns ]] || die "$name has one address only"
		[[ $command == start ]] || stop_daemon "$name"
		begin "$name" "${@:2}"
		ready "$name"
		;;
	stop) stop_daemon "$(full_name "${1-}")" ;;
	kill) kill_daemon "$(full_name "${1-}")" ;;
	state) printf '%s\n' "$STATE" ;;
	*) usage ;;
	esac
}

main "$@"
