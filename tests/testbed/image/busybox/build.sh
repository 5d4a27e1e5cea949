#!/usr/bin/env bash
# Makes the testbed's two small images (2 MB, busybox from Debian's busybox-static) and
# prints the path of the archive that holds both:
#
#   localhost/virtual-node/pause:1     holds a pod's network; ends at once at SIGTERM
#   localhost/virtual-node/busybox:1   a shell and the usual tools, for tests
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbed/lib.sh
source "$HERE/../../lib.sh"
# shellcheck source=tests/testbed/image/archive.sh
source "$HERE/../archive.sh"
# shellcheck source=tests/testbed/image/busybox/root.sh
source "$HERE/root.sh"

PATH_ENV='"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]'

# build: fills $CACHED_OUT with busybox.tar.
build() {
	local work root
	work=$(mktemp -d)
	# shellcheck disable=SC2064 # the folder's name is known now
	trap "rm -rf '$work'" EXIT
	root=$work/root
	busybox_root "$root"
	install -m 755 "$HERE/pause" "$root/pause"
	chown -R 0:0 "$root"

	layer "$root" "$work/layer.tar"
	write_archive "$CACHED_OUT/busybox.tar" "$work/layer.tar" -- \
		localhost/virtual-node/pause:1 "{$PATH_ENV,\"Entrypoint\":[\"/pause\"]}" \
		localhost/virtual-node/busybox:1 "{$PATH_ENV,\"Cmd\":[\"sh\"]}"
}

entry=$(cached --text 'making the busybox and pause images' --key "$(uname -m)" \
	busybox-image "$HERE" "$HERE/../archive.sh" -- build)
printf '%s/busybox.tar\n' "$entry"
