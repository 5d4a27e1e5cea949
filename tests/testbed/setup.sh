#!/usr/bin/env bash
# Makes sure that the machine has what the scripts call: installs Debian's packages where it
# can, else says exactly what is missing.
#
#   setup.sh           what the testbed and the suites need
#   setup.sh lint      what `make check` needs
#   setup.sh worker    what a real worker (ECS=1, make kubelet-api) needs besides
#   setup.sh check     as without an argument, but installs nothing
set -euo pipefail
TESTBED=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbed/lib.sh
source "$TESTBED/lib.sh"

# Each row: a command, or a file with its path, and the Debian package that has it.
LINT='
shellcheck   shellcheck
'
WORKER='
containerd          containerd
/usr/lib/cni/bridge containernetworking-plugins
'
RUN='
awk          mawk
curl         curl
debootstrap  debootstrap
dpkg-deb     dpkg
find         findutils
flock        util-linux
ip           iproute2
iptables     iptables
jq           jq
make         make
nsenter      util-linux
openssl      openssl
pgrep        procps
podman       podman
python3      python3
runc         runc
sysctl       procps
unshare      util-linux
/etc/ssl/certs/ca-certificates.crt  ca-certificates
/usr/lib/podman/netavark            netavark
'

# missing_packages ROWS: prints the packages whose files are not there.
missing_packages() {
	local file package
	while read -r file package; do
		case $file in
		'') ;;
		/*) [[ -e $file ]] || echo "$package" ;;
		*) command -v "$file" >/dev/null || echo "$package" ;;
		esac
	done <<<"$1" | sort -u
}

# The images are made of Debian's packages, too: without lists nothing can be fetched.
have_lists() { [[ -n $(find /var/lib/apt/lists -name '*_Packages*' -print -quit) ]]; }

can_install() { [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; }

install_packages() {
	# Another apt may be at work on a machine that just started.
	local -a install=(apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "$@")
	export DEBIAN_FRONTEND=noninteractive
	# The lists may name versions that are gone meanwhile.
	"${install[@]}" || { apt-get update -q && "${install[@]}"; }
}

update_lists() {
	mkdir -p "$VN_CACHE/logs"
	have_lists || run_long 'fetching the lists of packages' "$VN_CACHE/logs/apt-lists.log" apt-get update -q
}

# provide ROWS MAY_INSTALL: dies when something is missing that could not be installed.
provide() {
	local -a missing
	mapfile -t missing < <(missing_packages "$1")
	((${#missing[@]} > 0)) || return 0
	if [[ $2 == yes ]] && can_install; then
		update_lists
		say "installing ${missing[*]} …"
		run_long "installing ${missing[*]}" "$VN_CACHE/logs/apt.log" install_packages "${missing[@]}"
		mapfile -t missing < <(missing_packages "$1")
	fi
	((${#missing[@]} == 0)) || die "missing on this machine (Debian's package names): ${missing[*]}"
}

main() {
	# Debian keeps the tools of root here, which not everybody has on the PATH.
	PATH=$PATH:/usr/sbin:/sbin
	case ${1-} in
	'' | check)
		if [[ -n ${1-} ]]; then
			provide "$RUN" no
		else
			provide "$RUN" yes
			! can_install || update_lists
		fi
		need_cargo
		;;
	lint) provide "$LINT" yes ;;
	worker) provide "$WORKER" yes ;;
	*) die 'usage: setup.sh [lint | worker | check]' ;;
	esac
}

main "$@"
