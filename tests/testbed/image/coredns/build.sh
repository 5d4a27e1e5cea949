#!/usr/bin/env bash
# Makes the image localhost/virtual-node/coredns:1, which is the testbed's CoreDNS and nothing else, and prints the path of its
# archive: for clusters whose DNS is a pod of the virtual node.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TESTBED=$(cd "$HERE/../.." && pwd)
# shellcheck source=tests/testbed/lib.sh
source "$TESTBED/lib.sh"
# shellcheck source=tests/testbed/image/archive.sh
source "$TESTBED/image/archive.sh"

# build PROGRAM: fills $CACHED_OUT with coredns.tar.
build() {
	local work
	work=$(mktemp -d)
	# shellcheck disable=SC2064 # the folder's name is known now
	trap "rm -rf '$work'" EXIT
	mkdir "$work/root"
	install -m 755 "$1" "$work/root/coredns"
	chown -R 0:0 "$work/root"
	layer "$work/root" "$work/layer.tar"
	write_archive "$CACHED_OUT/coredns.tar" "$work/layer.tar" -- \
		localhost/virtual-node/coredns:1 '{"Entrypoint":["/coredns"]}'
}

program=$("$TESTBED/components.sh" path coredns | cut -d ' ' -f 2)
entry=$(cached --text 'making the CoreDNS image' --key "$(uname -m) $program" \
	coredns-image "$HERE" "$TESTBED/image/archive.sh" -- build "$program")
printf '%s/coredns.tar\n' "$entry"
