# shellcheck shell=bash
# A root file system with nothing but Debian's static busybox. Sourced after lib.sh by the scripts that
# make images.

# busybox_root FOLDER: fills FOLDER.
busybox_root() {
	local root=$1 work applet
	need_command dpkg-deb 'the testbed needs Debian or a relative of it'
	work=$(mktemp -d)
	(cd "$work" && apt-get download busybox-static)
	dpkg-deb --extract "$work"/busybox-static_*.deb "$work/deb"
	mkdir -p "$root"/{bin,dev,etc,proc,root,run,sys,usr,var}
	mkdir -m 1777 "$root/tmp"
	cp "$work/deb/bin/busybox" "$root/bin/busybox"
	"$root/bin/busybox" --list | while read -r applet; do
		[[ $applet == busybox ]] || ln -s busybox "$root/bin/$applet"
	done
	ln -s ../bin "$root/usr/bin"
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
	rm -r "$work"
}
