#!/usr/bin/env bash
# A real cluster in namespaces of its own; see usage below and README.md.
set -euo pipefail
TESTBED=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for part in lib.sh components.sh cluster/settings.sh cluster/holder.sh cluster/process.sh cluster/pki.sh \
	cluster/control-plane.sh cluster/dns.sh cluster/store.sh cluster/engine.sh cluster/virtual-node.sh; do
	# shellcheck source=/dev/null
	source "$TESTBED/$part"
done

usage() {
	cat >&2 <<-'TEXT'
		usage: cluster.sh COMMAND
		  up                         starts the cluster (again: restarts it from nothing)
		  down                       ends it and removes all it made
		  status                     says which parts run
		  exec COMMAND...            runs a command in its namespaces, with kubectl and KUBECONFIG set
		  load ARCHIVE               loads a Docker archive into its container engine
		  start|restart NAME [IP]    starts or restarts one component (agent and coredns can move to IP)
		  stop|kill NAME             ends one component with SIGTERM or SIGKILL
		  state                      prints the folder of its files
		components: etcd apiserver kube-controller-manager kube-scheduler coredns store engine mock-eci relay agent
		environment: VN_TESTBED (name of the instance), VN_PARTS (what to start); README.md has the rest
	TEXT
	exit 2
}

# What a part consists of, in the order of starting.
components_of() {
	case $1 in
	control-plane) printf '%s\n' etcd kube-apiserver kube-controller-manager kube-scheduler ;;
	dns) echo coredns ;;
	store) echo store ;;
	engine) echo engine ;;
	cloud) echo mock-eci ;;
	node) printf '%s\n' relay agent ;;
	esac
}

# daemons: every component of the parts to start.
daemons() {
	local part
	for part in ${VN_PARTS//,/ }; do components_of "$part"; done
}

# full_name NAME: resolves the short name of a component, and dies on one there is not.
full_name() {
	case $1 in
	apiserver) echo kube-apiserver ;;
	*)
		VN_PARTS=$ALL_PARTS daemons | grep -qxF -- "$1" || die "there is no component '$1'"
		printf '%s\n' "$1"
		;;
	esac
}

# begin NAME [IP], ready NAME: start a component; wait until it serves.
begin() { "start_${1//-/_}" "${@:2}"; }
ready() { "ready_${1//-/_}"; }

# programs: what has to be built (or taken from KUBEBUILDER_ASSETS) for the parts to start.
programs() {
	has_part control-plane && printf '%s\n' etcd kube-apiserver kube-controller-manager kube-scheduler kubectl
	has_part dns && echo coredns
	has_part store && echo versitygw
	return 0
}

link_programs() {
	local name
	mkdir -p "$STATE/bin"
	for name in $(programs); do
		ln -sfn "$(component "$name")" "$STATE/bin/$name"
	done
}

up() {
	local start=$SECONDS name
	need_root 'the testbed'
	check_parts
	"$TESTBED/setup.sh"
	for name in $(programs); do component "$name" >/dev/null; done
	if has_part cloud || has_part node; then build_programs; fi
	down
	make_state
	trap start_failed EXIT
	start_holder
	link_programs
	make_pki
	for name in $(daemons); do
		begin "$name"
		# The two that follow need no more than a ready API server: start them together.
		case $name in kube-controller-manager) ;; *) ready "$name" ;; esac
	done
	! has_part control-plane || ready kube-controller-manager
	trap - EXIT
	say "cluster '$VN_TESTBED' is up after $(duration $((SECONDS - start)))"
}

# What was started stays, for a look at it.
start_failed() { warn "the cluster '$VN_TESTBED' did not start; its logs are in $LOGS, cluster.sh down removes everything"; }

# down: ends the processes and removes files and control groups, of a half-dead instance too.
down() {
	need_root 'the testbed'
	[[ -z ${VN_INSIDE-} ]] || die 'up and down are not for use from inside a testbed'
	[[ -e $STATE ]] || return 0
	[[ -e $STATE/$STATE_MARK ]] || die "$STATE is not a testbed's folder; not touching it"
	stop_holder
	rm -rf --one-file-system "$STATE"
}

make_state() {
	mkdir -p "$STATE"
	chmod 700 "$STATE"
	touch "$STATE/$STATE_MARK"
	mkdir "$LOGS" "$STATE/run" "$STATE/config"
}

status() {
	local name
	is_up || {
		echo "testbed '$VN_TESTBED' is down"
		return 1
	}
	echo "testbed '$VN_TESTBED' is up; its files are in $STATE"
	for name in $(VN_PARTS=$ALL_PARTS daemons); do
		if daemon_running "$name"; then
			printf '  %-24s running\n' "$name"
		elif [[ -e $STATE/run/$name.pid ]]; then
			printf '  %-24s ended (see %s)\n' "$name" "$LOGS/$name.log"
		else
			printf '  %-24s not started\n' "$name"
		fi
	done
}

# run_inside COMMAND...: what `exec` does; replaces this process.
run_inside() {
	export KUBECONFIG=$STATE/kubeconfig PATH=$STATE/bin:$PATH
	export AWS_ACCESS_KEY_ID=$STORE_ACCESS_KEY AWS_SECRET_ACCESS_KEY=$STORE_SECRET_KEY
	export AWS_REGION=$REGION AWS_ENDPOINT_URL=$STORE_URL
	export ALIBABA_CLOUD_ACCESS_KEY_ID=$ECI_ACCESS_KEY_ID ALIBABA_CLOUD_ACCESS_KEY_SECRET=$ECI_ACCESS_KEY_SECRET
	export ECI_ENDPOINT=$MOCK_ECI_URL DOCKER_HOST=unix://$ENGINE_SOCKET
	export VN_TESTBED VN_STATE=$STATE
	with_engine inside env VN_INSIDE="$VN_TESTBED" "$@"
}

# locked COMMAND...: one `up` or `down` of an instance at a time.
locked() {
	mkdir -p "$VN_CACHE"
	VN_LOCKED=1 exec flock --close "$VN_CACHE/.cluster-$VN_TESTBED.lock" "$TESTBED/cluster.sh" "$@"
}

main() {
	local command=${1-} name
	shift || true
	case $command in
	up | down)
		[[ -n ${VN_LOCKED-} ]] || locked "$command"
		"$command"
		;;
	status) status ;;
	exec)
		(($# > 0)) || usage
		run_inside "$@"
		;;
	load)
		[[ -r ${1-} ]] || die 'load: name a readable Docker archive'
		load_image "$1"
		;;
	start | restart)
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
