#!/usr/bin/env bash
# The images that the node conformance tests name, made of Debian's packages and of the programs that
# programs.sh builds, under the names that the tests use. No registry is asked.
#
#   images.sh        makes what is missing and prints the archives, one a line
set -euo pipefail
CONFORMANCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
IMAGE=$CONFORMANCE/../testbed/image
# shellcheck source=tests/testbed/lib.sh
source "$CONFORMANCE/../testbed/lib.sh"
# shellcheck source=tests/testbed/image/archive.sh
source "$IMAGE/archive.sh"
# shellcheck source=tests/testbed/image/busybox/root.sh
source "$IMAGE/busybox/root.sh"

PATH_ENV='"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]'

# named NAME: the full names, with tags, of the suite's images of that name: a version of Kubernetes names a few.
named() { "$PROGRAMS/e2e.test" --list-images 2>/dev/null | grep -E "^registry\.k8s\.io/(e2e-test-images/)?$1:"; }

# rows NAME CONFIG: the arguments of write_archive for all images of that name.
rows() {
	local image
	for image in $(named "$1"); do printf '%s\n' "$image" "$2"; done
}

# tools_root FOLDER: Debian's curl and bash with the libraries they need.
tools_root() {
	local root=$1 work package
	work=$(mktemp -d)
	(
		cd "$work"
		# shellcheck disable=SC2046 # a list
		apt-get download $(apt-cache depends --recurse --important --no-conflicts --no-breaks --no-replaces bash curl |
			grep -xE 'bash|curl|zlib1g|lib[a-z0-9.+-]+' | sort -u)
	)
	for package in "$work"/*.deb; do dpkg-deb --extract "$package" "$work/all"; done
	mkdir -p "$root"/{bin,usr}
	cp "$work/all/usr/bin/curl" "$work/all/bin/bash" "$root/bin"
	cp -a "$work/all/lib" "$root/lib"
	cp -a "$work/all/usr/lib" "$root/usr/lib"
	[[ ! -d $work/all/lib64 ]] || cp -a "$work/all/lib64" "$root/lib64"
	rm -r "$work"
	# A library that is missing is to be known now.
	chroot "$root" /bin/curl --version >/dev/null
	chroot "$root" /bin/bash -c :
}

# agnhost_root FOLDER: what the Dockerfile of agnhost adds to its base, but for what only network tests need
# (dig, netcat, ss, iperf, CoreDNS, a registry's content).
agnhost_root() {
	local root=$1
	mkdir -p "$root"/{etc,uploads}
	install -m 755 "$PROGRAMS/agnhost" "$root/agnhost"
	ln -s agnhost "$root/agnhost-2"
	install -m 644 "$PROGRAMS"/localhost.{crt,key} "$root"
	printf '%s\n' root:x:0:0:root:/root:/bin/sh nobody:x:65534:65534:nobody:/:/bin/false \
		user-defined-in-image:x:1000:1000::/home:/bin/sh >"$root/etc/passwd"
	printf '%s\n' root:x:0: nogroup:x:65534: user-defined-in-image:x:1000: \
		group-defined-in-image:x:50000:user-defined-in-image >"$root/etc/group"
	tools_root "$root"
}

# build: fills $CACHED_OUT with the archives.
build() {
	local work
	local -a images
	work=$(mktemp -d)
	# shellcheck disable=SC2064 # the folder's name is known now
	trap "rm -rf '$work'" EXIT

	busybox_root "$work/busybox"
	install -m 755 "$IMAGE/busybox/pause" "$work/busybox/pause"
	agnhost_root "$work/agnhost"
	mkdir -p "$work/nnp/usr/local/bin"
	install -m 6755 "$PROGRAMS/nnp" "$work/nnp/usr/local/bin/nnp"
	chown -R --no-dereference 0:0 "$work/busybox" "$work/agnhost"
	layer "$work/busybox" "$work/busybox.tar"
	layer "$work/agnhost" "$work/agnhost.tar"
	layer "$work/nnp" "$work/nnp.tar"

	# Of nginx no node test wants more than an image of another name that has a shell.
	mapfile -t images < <(
		rows busybox "{$PATH_ENV,\"Cmd\":[\"sh\"]}"
		rows nginx "{$PATH_ENV,\"Cmd\":[\"sh\"]}"
		rows nonroot "{$PATH_ENV,\"Cmd\":[\"sh\"],\"User\":\"1234\"}"
		rows pause "{$PATH_ENV,\"Entrypoint\":[\"/pause\"],\"User\":\"65535:65535\"}"
	)
	write_archive "$CACHED_OUT/busybox.tar" "$work/busybox.tar" -- "${images[@]}"
	mapfile -t images < <(rows agnhost "{$PATH_ENV,\"Entrypoint\":[\"/agnhost\"],\"Cmd\":[\"pause\"]}")
	write_archive "$CACHED_OUT/agnhost.tar" "$work/busybox.tar" "$work/agnhost.tar" -- "${images[@]}"
	mapfile -t images < <(rows nonewprivs "{$PATH_ENV,\"Cmd\":[\"nnp\"]}")
	write_archive "$CACHED_OUT/nonewprivs.tar" "$work/busybox.tar" "$work/nnp.tar" -- "${images[@]}"
}

PROGRAMS=$("$CONFORMANCE/programs.sh")
entry=$(cached --about '20 s' --text "making the images of Kubernetes' node tests" --key "$(uname -m)" --key "${PROGRAMS##*/}" \
	conformance-images "$CONFORMANCE/images.sh" "$IMAGE/archive.sh" "$IMAGE/busybox" -- build)
printf '%s\n' "$entry"/*.tar
