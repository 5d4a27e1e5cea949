# shellcheck shell=bash
# Daemons inside the namespaces: each has a log in $LOGS and a PID (of the namespace)
# in $STATE/run.

# start_daemon NAME COMMAND...: starts COMMAND in the background of the namespaces.
start_daemon() {
	local name=$1
	shift
	! daemon_running "$name" || die "$name is running already"
	# shellcheck disable=SC2016 # expanded inside
	inside bash -c '
		log=$1 pidfile=$2
		shift 2
		setsid "$@" >>"$log" 2>&1 </dev/null &
		echo $! >"$pidfile"
	' start "$LOGS/$name.log" "$STATE/run/$name.pid" "$@"
	note_life "$name" starts
}

# note_life NAME starts|ends: the lives of agents are noted, for who asks later what nobody can have seen.
note_life() {
	[[ $1 != agent ]] || printf '%s\t%s\t%s\n' "$EPOCHREALTIME" "$2" "$(<"$STATE/run/$1.pid")" >>"$STATE/run/lives"
}

# daemon_running NAME: true while the daemon lives.
daemon_running() {
	[[ -s $STATE/run/$1.pid ]] && inside kill -0 "$(<"$STATE/run/$1.pid")" 2>/dev/null
}

# signal_daemon NAME SIGNAL SECONDS: sends a signal and waits until the daemon has ended.
signal_daemon() {
	local pid
	daemon_running "$1" || return 0
	pid=$(<"$STATE/run/$1.pid")
	inside kill -s "$2" "$pid"
	wait_until "$3" "$1 to end" daemon_ended "$1" || return 1
	note_life "$1" ends
	rm -f "$STATE/run/$1.pid"
}

daemon_ended() { ! daemon_running "$1"; }

# stop_daemon NAME: SIGTERM, and SIGKILL when that takes too long.
stop_daemon() { signal_daemon "$1" TERM 10 || signal_daemon "$1" KILL 5; }

kill_daemon() { signal_daemon "$1" KILL 5; }

# wait_ready NAME SECONDS CHECK...: waits until CHECK succeeds; when the daemon ends
# before, or the time does, shows the end of its log and dies.
wait_ready() {
	local name=$1 seconds=$2 deadline=$((SECONDS + $2)) problem=''
	shift 2
	until "$@" >/dev/null 2>&1; do
		if ! daemon_running "$name"; then
			problem="$name ended"
		elif ((SECONDS >= deadline)); then
			problem="$name was not ready after $seconds s"
		fi
		if [[ -n $problem ]]; then
			tail -n 25 "$LOGS/$name.log" | cut -c 1-400 | sed 's/^/  | /' >&2
			die "$problem; the whole log is $LOGS/$name.log"
		fi
		sleep 0.1
	done
}

# http_ok URL [CURL_OPTION...]: true when URL answers with success, seen from inside.
http_ok() { inside curl --silent --fail --max-time 5 --output /dev/null "${@:2}" "$1"; }
