# shellcheck shell=bash
# An instance as a whole: what it consists of, bringing it up, taking it down.

# components_of PART: in the order of starting.
components_of() {
	case $1 in
	control-plane) printf '%s\n' etcd kube-apiserver kube-controller-manager kube-scheduler ;;
	dns) echo coredns ;;
	store) echo store ;;
	worker) printf '%s\n' containerd kubelet kube-proxy ;;
	engine) echo engine ;;
	cloud) echo mock-eci ;;
	node) is_external || echo relay && echo agent ;;
	metrics) echo metrics-server ;;
	esac
}

# components PARTS: every component of a list of parts.
components() {
	local part
	for part in ${1//,/ }; do components_of "$part"; done
}

# begin NAME [IP], ready NAME: start a component; wait until it serves.
begin() { "start_${1//-/_}" "${@:2}"; }
ready() { "ready_${1//-/_}"; }

# programs: what has to be built (or taken from KUBEBUILDER_ASSETS) for the parts to start.
programs() {
	! has_part control-plane || printf '%s\n' etcd kube-apiserver kube-controller-manager kube-scheduler kubectl
	! has_part worker || printf '%s\n' kubelet kube-proxy
	! has_part dns || echo coredns
	! has_part store || echo versitygw
	! has_part metrics || echo metrics-server
}

# prepare: makes all that takes long, before anything is started.
prepare() {
	local name
	"$TESTBED/setup.sh"
	for name in $(programs); do component "$name" >/dev/null; done
	! has_part worker || "$TESTBED/setup.sh" worker
	! { has_part engine || has_part worker; } || "$TESTBED/image/busybox/build.sh" >/dev/null
	if has_part cloud || has_part node; then build_programs; fi
}

make_state() {
	mkdir -p "$STATE"
	chmod 700 "$STATE"
	touch "$STATE/$STATE_MARK"
	mkdir "$LOGS" "$STATE/run" "$STATE/config" "$STATE/bin"
}

up() {
	local start=$SECONDS name
	need_root 'the testbed'
	[[ -z ${VN_INSIDE-} ]] || die 'up and down are not for use from inside a testbed'
	if [[ -n ${KUBECONFIG-} ]]; then
		VN_PARTS=$EXTERNAL_PARTS
		check_external
	fi
	check_parts
	prepare
	down
	make_state
	remember_choices
	trap start_failed EXIT
	if [[ -n ${KUBECONFIG-} ]]; then touch "$STATE/external"; fi
	start_holder
	if is_external; then
		use_external "$KUBECONFIG"
		node_identity
	else
		for name in $(programs); do ln -s "$(component "$name")" "$STATE/bin/$name"; done
		make_pki
	fi
	for name in $(components "$VN_PARTS"); do
		begin "$name"
		# The scheduler needs no more than a ready API server either: start the two together.
		[[ $name == kube-controller-manager ]] || ready "$name"
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
	# With the agent gone, or it would register the node again.
	! is_external || leave_external
	rm -rf --one-file-system "$STATE"
}

status() {
	local name
	is_up || {
		echo "testbed '$VN_TESTBED' is down"
		return 1
	}
	echo "testbed '$VN_TESTBED' is up; its files are in $STATE"
	for name in $(components "$ALL_PARTS"); do
		if daemon_running "$name"; then
			printf '  %-24s running\n' "$name"
		elif [[ -e $STATE/run/$name.pid ]]; then
			printf '  %-24s ended (see %s)\n' "$name" "$LOGS/$name.log"
		else
			printf '  %-24s not started\n' "$name"
		fi
	done
}

# hints: how a person uses the cluster that is up.
hints() {
	cat <<-TEXT

		The node is $NODE_NAME; every pod of this cluster becomes a container group of mock-eci.

		  make exec CMD='kubectl get nodes,pods -A'       kubectl, in the cluster's network
		  make exec CMD='kubectl run hi --image=localhost/virtual-node/busybox:1 --restart=Never -- echo hello'
		  make exec CMD='kubectl logs hi'
		  make exec CMD='kubectl top pods'                what it uses (half a minute later)
		  make exec CMD='curl -s $MOCK_ECI_URL/mock/ledger'   what mock-eci would bill
		  make exec CMD=bash                              a shell in there
		  make load ARCHIVE=image.tar                     more images (docker save)
		  make down                                       ends it and removes everything

		Logs of the components: $LOGS
	TEXT
}
