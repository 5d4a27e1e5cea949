# shellcheck shell=bash
# shellcheck disable=SC2317 # functions that traps and wait_until call are reachable
# A program with a cluster of its own: the cluster's name, its end whatever happens, and what is left to look at when the
# program failed. Source it; the program defines
#
#   SESSION    the first part of the cluster's name; short, as podman bounds the path of its folder
#   FAILURE    the folder for what helps to understand a failure
#   KEPT       an array: the VN_ variables that mean something to it; others are unset, all of them by default
#   keep_failure   a function that adds to FAILURE and shows the best of it
#
# and calls `session FUNCTION ARGUMENT...` as its last command. FUNCTION starts the cluster. Files that end with the
# session go to $WORK.

TESTBED=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # for those who source this
ROOT=$(cd "$TESTBED/../.." && pwd)
# shellcheck source=tests/testbed/lib.sh
source "$TESTBED/lib.sh"

KEPT=()

cluster() { "$TESTBED/cluster.sh" "$@"; }
inside() { cluster exec "$@"; }
kubectl() { inside kubectl "$@"; }

# own_cluster: a cluster of its own, whatever else is up or set; other programs may be brought along.
own_cluster() {
	local name
	unset KUBECONFIG DOCKER_HOST
	for name in "${!VN_@}"; do
		[[ " VN_CACHE VN_BIN_DIR VN_DEBIAN_MIRROR VN_INSIDE ${KEPT[*]} " == *" $name "* ]] || unset "$name"
	done
	# Without metrics-server, which takes minutes to build the first time and has no part in jobs.
	export VN_TESTBED=$SESSION-$$ VN_PARTS=control-plane,dns,store,engine,cloud,node
}

# show_failure: keeps what helps to understand a failed session in a folder, and shows the best of it.
show_failure() {
	local logs
	[[ -e $(cluster state 2>/dev/null) ]] || return 0
	logs=$(cluster state)/logs
	rm -rf "$FAILURE"
	mkdir -p "$FAILURE"
	cp -r "$logs" "$FAILURE/" || true
	cp "$WORK"/*.log "$FAILURE/" 2>/dev/null || true
	keep_failure
	say "more of it is in $FAILURE"
}

# excerpt FILE LINES: the end of a file, if there is any.
excerpt() {
	[[ -s $1 ]] || return 0
	say "--- $(basename "$1")"
	tail -n "$2" "$1" | cut -c 1-300 | sed 's/^/  | /' >&2
}

# forget_the_dead: removes clusters of sessions that were killed.
forget_the_dead() {
	local folder name
	for folder in /var/tmp/virtual-node-"$SESSION"-*; do
		name=${folder#/var/tmp/virtual-node-}
		[[ $name =~ -([0-9]+)$ && -e $folder ]] || continue
		[[ -e /proc/${BASH_REMATCH[1]} ]] || VN_TESTBED=$name cluster down || warn "could not remove the cluster $name"
	done
}

# end_foreground: ends what runs for the session in the foreground: builds, kubectl, podman …
end_foreground() {
	[[ -n $foreground ]] && kill -TERM -- "-$foreground" 2>/dev/null || return 0
	wait_until 10 'the session to stop' foreground_ended || kill -KILL -- "-$foreground" 2>/dev/null || true
}

foreground_ended() { ! kill -0 -- "-$foreground" 2>/dev/null; }

# clean_up: runs at the end, whatever it was.
clean_up() {
	local status=$?
	trap '' INT TERM HUP
	end_foreground
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

# session FUNCTION ARGUMENT...: runs it, ends the cluster, and exits with FUNCTION's status.
session() {
	local status=0
	need_root 'a cluster of its own'
	own_cluster
	foreground='' interrupted=''
	WORK=$(mktemp -d)
	trap clean_up EXIT
	trap 'interrupted=1; exit 129' HUP
	trap 'interrupted=1; exit 130' INT
	trap 'interrupted=1; exit 143' TERM
	forget_the_dead
	# In the background and in a process group of its own: bash runs traps only when no
	# command is in the foreground, and a build can be there for minutes.
	set -m
	"$@" </dev/null &
	foreground=$!
	set +m
	wait "$foreground" || status=$?
	((status != 0)) || say "it took $(duration "$SECONDS")"
	exit "$status"
}
