#!/usr/bin/env bash
# Makes sure that the machine has what the testbed's scripts call: installs Debian's
# packages where it can, else says exactly what is missing.
#
#   setup.sh          checks, and installs what is missing
#   setup.sh check    only checks
set -euo pipefail
TESTBED=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbed/lib.sh
source "$TESTBED/lib.sh"

# Each row: a file that must exist (a command on the PATH when it has no slash), its package.
NEEDED='
awk                             mawk
curl                            curl
debootstrap                     debootstrap
flock                           util-linux
ip                              iproute2
iptables                        iptables
jq                              jq
nsenter                         util-linux
openssl                         openssl
pgrep                           procps
podman                          podman
python3                         python3
runc                            runc
setsid                          util-linux
sysctl                          procps
unshare                         util-linux
xargs                           findutils
/usr/lib/podman/netavark        netavark
/etc/ssl/certs/ca-certificates.crt ca-certificates
'

# missing_packages: prints the packages whose files are not there.
missing_packages() {
	local file package
	while read -r file package; do
		[[ -n $file ]] || continue
		if [[ $file == /* ]]; then
			[[ -e $file ]] || echo "$package"
		else
			command -v "$file" >/dev/null || echo "$package"
		fi
	done <<<"$NEEDED" | sort -u
}

install_packages() {
	say "installing Debian packages: $*"
	if [[ -z $(find /var/lib/apt/lists -name '*_Packages*' -print -quit 2>/dev/null) ]]; then
		apt-get update -q
	fi
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "$@"
}

main() {
	local -a missing
	# /usr/sbin is not on everybody's PATH, and the tools are there.
	PATH=$PATH:/usr/sbin:/sbin
	mapfile -t missing < <(missing_packages)
	if ((${#missing[@]} > 0)); then
		if [[ ${1-} != check && $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
			mkdir -p "$VN_CACHE/logs"
			run_long "installing ${missing[*]}" "$VN_CACHE/logs/apt.log" install_packages "${missing[@]}"
		else
			die "missing on this machine (Debian's package names): ${missing[*]}"
		fi
	fi
	need_go
	need_cargo
}

main "$@"
