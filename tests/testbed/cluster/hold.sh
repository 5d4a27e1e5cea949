#!/usr/bin/env bash
# The first process in an instance's namespaces: hold.sh FILE [--net]. FILE is made when all
# is ready; --net says that the network is one of its own. It shows the namespace's own control groups under /sys/fs/cgroup, then
# waits: it is the parent of every orphan in here, and bash reaps those.
set -euo pipefail

remount_cgroups() {
	local source mount type options
	# Read at once: the loop changes what it reads.
	while read -r source mount type options _; do
		umount "$mount"
		if [[ $type == cgroup2 ]]; then
			mount -t cgroup2 "$source" "$mount"
		else
			# The controllers are what is left of the options without the flags.
			mount -t cgroup -o "$(tr ',' '\n' <<<"$options" |
				grep -vE '^(rw|ro|nosuid|nodev|noexec|(no|rel)?atime|nodiratime)$' | paste -sd ,)" "$source" "$mount"
		fi
	done <<<"$(awk '$3 ~ /^cgroup2?$/' /proc/mounts)"
}

remount_cgroups
# What the container tools keep in fixed places (network namespaces, locks) stays in here.
# Without a network of its own the instance uses the machine's engine, whose socket is there.
if [[ ${2-} == --net ]]; then
	mount -t tmpfs -o mode=755 tmpfs /run
	# podman makes it a mount of its own with its first container, if it is none yet: containerd's network namespaces in there
	# would then be mounted twice, and pods of the worker could not end.
	mkdir /run/netns
	mount --bind /run/netns /run/netns
	mount --make-shared /run/netns
fi
touch "$1"
while :; do
	sleep infinity &
	wait $!
done
