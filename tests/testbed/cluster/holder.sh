# shellcheck shell=bash
# The holder: one process that owns the network, mount, PID and cgroup namespaces of
# an instance. When it dies, the kernel ends every process in there and takes mounts
# and interfaces along; what remains are its control groups and its files.

# cgroup_folders: prints, for each hierarchy, this process's own folder.
cgroup_folders() {
	local controllers path mount
	while IFS=: read -r _ controllers path; do
		if [[ -n $controllers ]]; then
			mount=/sys/fs/cgroup/${controllers#name=}
		elif [[ -d /sys/fs/cgroup/unified ]]; then
			mount=/sys/fs/cgroup/unified
		else
			# Version 2 alone. A group there cannot hold processes and hand controllers
			# to its children too, which rules out a child of our own; the root can.
			mount=/sys/fs/cgroup path=/
		fi
		[[ ! -d $mount ]] || printf '%s\n' "$mount${path%/}"
	done </proc/self/cgroup
}

# make_cgroups: makes the instance's control groups and records them in $STATE/cgroups.
make_cgroups() {
	local parent group
	while read -r parent; do
		group=$parent/virtual-node-$VN_TESTBED
		printf '%s\n' "$group" >>"$STATE/cgroups"
		mkdir -p "$group"
		if [[ -e $group/cpuset.mems && -e $group/cgroup.clone_children ]]; then
			# Version 1 leaves these empty, and no process can be put into such a group.
			cat "$parent/cpuset.cpus" >"$group/cpuset.cpus"
			cat "$parent/cpuset.mems" >"$group/cpuset.mems"
			echo 1 >"$group/cgroup.clone_children"
		fi
		# The group competes with each single process outside: the default weight
		# would give the whole cluster the share of one of them.
		[[ ! -e $group/cpu.shares ]] || echo 8192 >"$group/cpu.shares"
		[[ ! -e $group/cpu.weight ]] || echo 800 >"$group/cpu.weight"
	done < <(cgroup_folders)
}

# make_leaf: with version 2 alone a group that holds processes cannot give its children
# controllers: moves those there are to a leaf, where later ones go too.
make_leaf() {
	local group=/sys/fs/cgroup/virtual-node-$VN_TESTBED item
	[[ -e $group/cgroup.controllers ]] || return 0
	mkdir "$group/daemons"
	for item in $(<"$group/cgroup.procs"); do echo "$item" >"$group/daemons/cgroup.procs"; done
	for item in $(<"$group/cgroup.controllers"); do echo "+$item" >"$group/cgroup.subtree_control"; done
}

# join_cgroups PID: moves a process into the instance's control groups.
join_cgroups() {
	local group
	while read -r group; do
		# See make_leaf.
		[[ ! -d $group/daemons ]] || group=$group/daemons
		echo "$1" >"$group/cgroup.procs"
	done <"$STATE/cgroups"
}

# remove_cgroups: removes the instance's control groups, which must be empty of processes.
remove_cgroups() {
	local group
	while read -r group; do
		[[ -d $group ]] || continue
		# A process that was killed leaves its group a moment later.
		wait_until 10 "$group to empty" rmdir_tree "$group"
	done <"$STATE/cgroups"
}

rmdir_tree() { find "$1" -depth -type d -exec rmdir {} + && [[ ! -d $1 ]]; }

# start_ticks PID: prints when a process started, to tell it from a later one of the same number.
start_ticks() {
	local stat
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	# The name in parentheses may hold spaces; the start time is the 20th field after it.
	awk '{ print $20 }' <<<"${stat##*) }"
}

# holder_pid: prints the PID of the namespaces' first process; fails when it is gone.
holder_pid() {
	local pid ticks
	[[ -e $STATE/holder ]] && read -r pid ticks <"$STATE/holder" && [[ $(start_ticks "$pid") == "$ticks" ]] || return 1
	printf '%s\n' "$pid"
}

# is_up: true while the instance's namespaces exist.
is_up() { am_inside || holder_pid >/dev/null; }

# am_inside: true for a caller that is in the namespaces (a test under `cluster.sh exec`).
am_inside() { [[ ${VN_INSIDE-} == "$VN_TESTBED" ]]; }

# start_holder: makes the namespaces and their network.
start_holder() {
	make_cgroups
	(
		join_cgroups "$BASHPID"
		ulimit -n "$(ulimit -Hn)"
		# shellcheck disable=SC2046 # no flag, no argument
		exec setsid unshare $(network_flag) --mount --pid --cgroup --fork --kill-child --mount-proc \
			bash "$TESTBED/cluster/hold.sh" "$STATE/ready" $(network_flag)
	) >"$LOGS/holder.log" 2>&1 </dev/null &
	local outer=$! inner
	wait_until 20 'the namespaces' ready_or_ended "$outer"
	[[ -e $STATE/ready ]] || {
		tail -n 20 "$LOGS/holder.log" >&2
		die "could not make the namespaces (the log is $LOGS/holder.log)"
	}
	make_leaf
	inner=$(pgrep -P "$outer")
	printf '%s %s\n' "$inner" "$(start_ticks "$inner")" >"$STATE/holder"
	is_external || make_network
}

# network_flag: a user's own cluster is reached through the machine's network.
network_flag() { is_external || printf -- --net; }

ready_or_ended() { [[ -e $STATE/ready || ! -e /proc/$1 ]]; }

# stop_holder: ends every process of the instance and removes its control groups.
stop_holder() {
	local pid
	if pid=$(holder_pid); then
		kill -KILL "$pid"
		wait_until 20 'the processes of the instance to end' namespace_gone "$pid"
	fi
	[[ -e $STATE/cgroups ]] || return 0
	# Those who came from outside, and a holder that died before it was recorded.
	cgroup_processes | xargs -r kill -KILL 2>/dev/null || true
	remove_cgroups
}

# The first process of a PID namespace ends only after all the others did.
namespace_gone() { [[ ! -e /proc/$1 ]]; }

# cgroup_processes: prints the processes in the instance's control groups.
cgroup_processes() {
	local group
	while read -r group; do
		[[ ! -d $group ]] || find "$group" -name cgroup.procs -exec cat {} +
	done <"$STATE/cgroups" | sort -u
}

# inside COMMAND...: runs COMMAND in the namespaces, in the folder of the caller.
inside() {
	local pid
	if am_inside; then
		"$@"
		return
	fi
	pid=$(holder_pid) || die "the testbed '$VN_TESTBED' is not up (start it with: make up)"
	(
		join_cgroups "$BASHPID"
		ulimit -n "$(ulimit -Hn)"
		# shellcheck disable=SC2046 # no flag, no argument
		exec nsenter --target "$pid" $(network_flag) --mount --pid --cgroup -- env -C "$PWD" "$@"
	)
}

# make_network: the bridge with the addresses of all that is no container group.
make_network() {
	local ip
	inside ip link set lo up
	inside ip link add "$BRIDGE" type bridge
	for ip in "$API_SERVER_IP" "${AGENT_IPS[@]}" "$RELAY_IP" "$STORE_IP" "$WORKER_IP" "$METRICS_IP" \
		"${DNS_IPS[@]}"; do
		inside ip address add "$ip/$BRIDGE_PREFIX" dev "$BRIDGE"
	done
	inside ip link set "$BRIDGE" up
	inside sysctl -q -w net.ipv4.ip_forward=1
	# podman's bridge has the lowest address of its containers': it changes as they come and go, and those that stay would
	# send to the old one for up to half a minute. They are told.
	inside sysctl -q -w net.ipv4.conf.all.arp_notify=1
}
