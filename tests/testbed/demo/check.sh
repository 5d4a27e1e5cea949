#!/usr/bin/env bash
# Tests the demo: runs it for each FILE (by default: its README, then 50,000 different words)
# and checks what it prints, its exit code, and that it leaves nothing behind.
#
#   check.sh [FILE]...
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbed/lib.sh
source "$HERE/../lib.sh"

# section NAME FILE: the lines under a heading of the demo's output.
section() {
	LC_ALL=C awk -v "heading=== $1 ==" '/^== [a-z]+ ==$/ { on = $0 == heading; next } on' "$2"
}

# check_timeline FILE: a driver and two executors, each through all its stages in order.
check_timeline() {
	section timeline "$1" | awk '
		NR == 1 || /^\(/ { next }
		{ names = names " " $1; if ($1 ~ /^wordcount-exec-[12]$/) executors++; for (i = 3; i <= 6; i++) if ($i < $(i - 1)) late = late " " $1 }
		$7 != "Succeeded" { bad = bad " " $1 }
		END {
			if (executors != 2 || names !~ /^ wordcount-driver [^ ]+ [^ ]+$/) { print "error: pods in the timeline:" names; exit 1 }
			if (late) { print "error: stages out of order:" late; exit 1 }
			if (bad) { print "error: not Succeeded:" bad; exit 1 }
		}' >&2
}

# check_cost FILE: three groups, and a total that is their sum, at a price above nothing.
check_cost() {
	section cost "$1" | awk '
		NR == 1 { next }
		$1 == "total" { total = $(NF - 1); currency = $NF; next }
		{ groups++; sum += $(NF - 1) }
		END {
			if (groups != 3) { print "error: " groups " groups in the bill, not 3"; exit 1 }
			if (!(total > 0) || sum - total > 1e-9 || total - sum > 1e-9) { print "error: the total is " total ", the sum " sum; exit 1 }
			if (currency !~ /^[A-Z][A-Z][A-Z]$/) { print "error: no currency: " currency; exit 1 }
		}' >&2
}

# leftovers INSTANCE: prints what exists of a cluster that should be gone.
leftovers() {
	local name=virtual-node-$1
	find /var/tmp -maxdepth 1 -name "$name"
	find /sys/fs/cgroup -type d -name "$name" 2>/dev/null
	grep -l "/$name\b" /proc/[0-9]*/cgroup /proc/[0-9]*/mountinfo 2>/dev/null || true
	pgrep --full --list-full -- "/$name/" || true
}

nothing_left() { [[ -z $(leftovers "$1") ]]; }

# interfaces: the machine's own network interfaces and named network namespaces.
interfaces() {
	find /sys/class/net -mindepth 1 -printf '%f\n' | sort
	ip netns list
}

# check FILE: one run.
check() {
	local status=0 pid before
	say "demo of $1 ($(stat --format %s -- "$1") bytes)"
	before=$(interfaces)
	"$HERE/run.sh" "$1" >"$WORK/out" &
	pid=$!
	wait "$pid" || status=$?
	((status == 0)) || die "the demo's exit code is $status"
	grep -a '^== [a-z]* ==$' "$WORK/out" | paste -sd ' ' >"$WORK/headings"
	[[ $(<"$WORK/headings") == '== counts == == timeline == == cost ==' ]] || die "headings: $(<"$WORK/headings")"
	section counts "$WORK/out" | cmp - <(python3 "$HERE/../spark/expected.py" "$1") >&2 || die 'the counts differ from an independent count'
	check_timeline "$WORK/out"
	check_cost "$WORK/out"
	# Ended orphans are listed until the machine's init has taken note of them.
	wait_until 10 'what the demo started to be gone' nothing_left "demo-$pid" || die "left behind: $(leftovers "demo-$pid")"
	[[ $(interfaces) == "$before" ]] || die "network interfaces before: $before, after: $(interfaces)"
	section timeline "$WORK/out" >&2
	section cost "$WORK/out" >&2
	say "ok: $(section counts "$WORK/out" | wc -l) different words"
}

# check_refusal ARGUMENT: a bad INPUT is one line on stderr, at once.
check_refusal() {
	local status=0
	"$HERE/run.sh" "$1" >"$WORK/out" 2>"$WORK/err" || status=$?
	((status != 0)) || die "INPUT $1 was accepted"
	[[ ! -s $WORK/out && $(wc -l <"$WORK/err") == 1 ]] || die "INPUT $1: not one line on stderr alone: $(cat "$WORK/out" "$WORK/err")"
	say "ok: refused: $(<"$WORK/err")"
}

need_root 'the demo'
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
check_refusal "$WORK/none"
check_refusal "$WORK"
mkfifo "$WORK/pipe"
check_refusal "$WORK/pipe"
if (($# == 0)); then
	# Out of order, so that sorting is put to the test.
	seq 1 50000 | awk '{ printf "word%05d%s", ($1 * 7919) % 50000, ($1 % 10 ? " " : "\n") }' >"$WORK/words"
	set -- "$HERE/README.md" "$WORK/words"
fi
for file; do check "$file"; done
