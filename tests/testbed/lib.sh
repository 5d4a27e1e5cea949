# shellcheck shell=bash
# Helpers that the testbed's scripts share: messages, progress, checks of what
# the machine has, and a cache of things that take long to make.
#
# Source it; it defines functions and nothing else. Callers run under
# `set -euo pipefail`. Everything a person reads goes to stderr, so that the
# stdout of a function is its result.

# A failing command inside $(…) must end the script as it does outside.
shopt -s inherit_errexit

# Where things that take long to make are kept between runs.
VN_CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/virtual-node"

say() { printf '%s\n' "$*" >&2; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# duration SECONDS: prints "45 s" or "3 min 05 s".
duration() {
	if (($1 < 60)); then
		printf '%d s' "$1"
	else
		printf '%d min %02d s' $(($1 / 60)) $(($1 % 60))
	fi
}

# need_command COMMAND HOW: dies unless COMMAND is on the PATH; HOW says how to get it.
need_command() {
	command -v "$1" >/dev/null || die "$1 is not installed: $2"
}

# install_command COMMAND PACKAGE: installs a tool that only the caller needs, on Debian.
install_command() {
	command -v "$1" >/dev/null && return
	need_command apt-get "$1 is not installed; on Debian it is in the package $2"
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "$2"
}

# python_venv REQUIREMENTS: fills $CACHED_OUT/venv with what the file names. Debian has Python's venv module in a package of its own.
python_venv() {
	need_command python3 'install Python 3.9 or later with its venv module (Debian: python3-venv)'
	if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
		need_command apt-get "Python's venv module is not installed; on Debian it is in the package python3-venv"
		DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends python3-venv
	fi
	python3 -m venv "$CACHED_OUT/venv"
	"$CACHED_OUT/venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$1"
}

# need_root WHAT: dies unless this is root; WHAT says what needs it.
need_root() {
	[[ $(id -u) == 0 ]] || die "$1 needs root (network namespaces, mounts and cgroups): run it as root or with sudo -E"
}

# version_at_least HAVE WANT: true when the dotted version HAVE is WANT or later.
version_at_least() {
	[[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]
}

# need_go: dies unless Go is new enough for Kubernetes 1.35.
need_go() {
	local have
	need_command go 'the testbed builds Kubernetes with it; install Go 1.25 or later (https://go.dev/dl)'
	have=$(go env GOVERSION)
	version_at_least "${have#go}" 1.25 || die "Go ${have#go} is too old: Kubernetes 1.35 needs 1.25 or later"
}

# need_cargo: dies unless Rust is there.
need_cargo() {
	need_command cargo 'install Rust (https://rustup.rs)'
}

# wait_until SECONDS WHAT COMMAND...: runs COMMAND, silently, until it succeeds.
# Returns 1 with a message when SECONDS have passed.
wait_until() {
	local deadline=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		if ((SECONDS >= deadline)); then
			warn "gave up waiting for $what"
			return 1
		fi
		sleep 0.1
	done
}

# tick TEXT: prints TEXT and the time spent, every half minute, until stdin ends.
# It ends with whoever holds the other end of the pipe and leaves no `sleep` behind.
tick() {
	local start=$SECONDS status
	while :; do
		status=0
		read -r -t 30 _ || status=$?
		# More than 128 means that the time was over, 1 that the pipe was closed.
		((status > 128)) || return 0
		say "  … still $1 ($(duration $((SECONDS - start))))"
	done
}

# run_long TEXT LOG COMMAND...: runs COMMAND with its output in LOG, saying how long
# it has been at it; on failure prints the end of LOG and returns COMMAND's status.
# Do not call it in a condition: bash would switch off `set -e` inside COMMAND.
run_long() {
	local text=$1 log=$2 start=$SECONDS status ticker
	shift 2
	exec {ticker}> >(tick "$text")
	set +e
	(
		exec {ticker}>&-
		set -e
		"$@"
	) >"$log" 2>&1 </dev/null
	status=$?
	set -e
	exec {ticker}>&-
	if ((status != 0)); then
		tail -n 30 "$log" | sed 's/^/  | /' >&2
		say "error: failed while $text (exit code $status); the whole log is $log"
		return "$status"
	fi
	say "  … done $text in $(duration $((SECONDS - start)))"
}

# content_key FILE_OR_FOLDER...: prints a hash of the names and contents.
content_key() {
	local item
	for item; do
		[[ -e $item ]] || die "content_key: $item does not exist"
		(cd "$(dirname "$item")" && find "$(basename "$item")" -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum)
	done | sha256sum | cut -c 1-16
}

# cached [--about TIME] [--text TEXT] [--key STRING]... NAME KEY_FILE... -- COMMAND...
#
# Prints the folder that COMMAND made, running it only when no earlier run made it
# from the same KEY_FILEs (files or folders: their contents count), STRINGs and COMMAND.
# COMMAND (a program or a shell function) finds in $CACHED_OUT the empty folder to fill;
# its output goes to a log. TIME is what it takes the first time ("about 6 min").
# An interrupted run leaves nothing that a later one would take for a result, and two
# runs at once make one.
cached() {
	local about='' text='' strings='' name
	local -a files=()
	while [[ ${1-} == --?* ]]; do
		case $1 in
		--about) about=" (about $2 the first time)" ;;
		--text) text=$2 ;;
		--key) strings+="$2"$'\n' ;;
		*) die "cached: unknown option $1" ;;
		esac
		shift 2
	done
	name=$1
	shift
	while [[ $1 != -- ]]; do
		files+=("$1")
		shift
	done
	shift
	: "${text:=building $name}"

	local key entry lock status=0
	strings+="$*"$'\n'
	((${#files[@]} == 0)) || strings+=$(content_key "${files[@]}")
	key=$(sha256sum <<<"$strings" | cut -c 1-16)
	entry="$VN_CACHE/$name-$key"
	mkdir -p "$VN_CACHE/logs"

	if [[ ! -e $entry/.complete ]]; then
		exec {lock}>"$VN_CACHE/.$name.lock"
		if ! flock --nonblock "$lock"; then
			say "waiting for another run that is $text …"
			flock "$lock"
		fi
		# The other run may have made it meanwhile.
		if [[ ! -e $entry/.complete ]]; then
			say "$text …$about"
			rm -rf "$entry" "$VN_CACHE/.$name.tmp"
			mkdir "$VN_CACHE/.$name.tmp"
			CACHED_OUT="$VN_CACHE/.$name.tmp" run_long "$text" "$VN_CACHE/logs/$name.log" without_lock "$lock" "$@"
			touch "$VN_CACHE/.$name.tmp/.complete"
			mv -T "$VN_CACHE/.$name.tmp" "$entry"
			forget_unused "$name" "$entry"
		fi
		exec {lock}>&-
	fi
	touch "$entry/.complete"
	printf '%s\n' "$entry"
}

# without_lock FD COMMAND...: runs COMMAND without the lock's descriptor, so that a
# process it leaves behind cannot hold the lock.
without_lock() {
	local fd=$1
	shift
	exec {fd}>&-
	"$@"
}

# forget_unused NAME KEEP: removes entries of NAME that no run used for two weeks.
forget_unused() {
	local stamp
	find "$VN_CACHE" -mindepth 2 -maxdepth 2 -path "$VN_CACHE/$1-????????????????/.complete" -mtime +14 -print |
		while read -r stamp; do
			[[ ${stamp%/.complete} == "$2" ]] || rm -rf "${stamp%/.complete}"
		done
}
