# shellcheck shell=bash
# The container engine behind mock-eci: podman's Docker API (or Docker itself, VN_ENGINE=docker),
# with storage, network settings and run-time files of its own, so that it shares nothing with
# the machine's.

ENGINE=$STATE/engine
PAUSE_IMAGE=localhost/virtual-node/pause:1
ENGINE_SOCKET=$ENGINE/podman.sock
TEST_REGISTRY=127.0.0.1:5000

# docker_engine: true where Docker is asked for.
docker_engine() {
	[[ ${VN_ENGINE:-podman} == docker ]] && return
	[[ ${VN_ENGINE:-podman} == podman ]] || die "VN_ENGINE must be podman or docker, not '$VN_ENGINE'"
	return 1
}

# docker_programs: prints the folder of Docker's programs: Debian's, unpacked and not installed, so that no daemon is
# set up on the machine.
docker_programs() {
	need_command dpkg-deb 'VN_ENGINE=docker needs Debian or a relative of it'
	cached --text 'unpacking Docker' --key "$(uname -m)" docker-engine -- unpack_docker
}

unpack_docker() {
	local work package
	work=$(mktemp -d)
	(cd "$work" && apt-get download docker.io containerd) >&2
	for package in "$work"/*.deb; do dpkg-deb --extract "$package" "$CACHED_OUT"; done
	rm -r "$work"
}

start_docker() {
	local root
	root=$(docker_programs)
	mkdir -p "$ENGINE"
	# No rules and no masquerading: groups reach each other and the testbed, and nothing else.
	start_daemon engine env -C "$ENGINE" "PATH=$root/usr/sbin:$root/usr/bin:$PATH" dockerd \
		--host "unix://$ENGINE_SOCKET" --data-root "$ENGINE/docker" --exec-root "$ENGINE/exec" --pidfile "$ENGINE/pid" \
		--exec-opt native.cgroupdriver=cgroupfs --iptables=false --ip-masq=false --bridge=none --log-level=warn
}

ready_docker() {
	local network
	wait_ready engine 60 http_ok http://localhost/_ping --unix-socket "$ENGINE_SOCKET"
	network=$(jq -n --arg name "$GROUP_NETWORK" --arg subnet "$GROUP_SUBNET" --arg gateway "$GROUP_GATEWAY" \
		'{Name: $name, CheckDuplicate: true, IPAM: {Config: [{Subnet: $subnet, Gateway: $gateway}]}}')
	http_ok "http://localhost/networks/$GROUP_NETWORK" --unix-socket "$ENGINE_SOCKET" ||
		http_ok http://localhost/networks/create --unix-socket "$ENGINE_SOCKET" \
			--header 'Content-Type: application/json' --data "$network"
	http_ok "http://localhost/images/$PAUSE_IMAGE/json" --unix-socket "$ENGINE_SOCKET" ||
		load_image "$("$TESTBED/image/busybox/build.sh")" >/dev/null
}

start_engine() {
	if docker_engine; then
		start_docker
		return
	fi
	# With a longer one podman's cleanup of containers that ended fails, and says so nowhere.
	((${#ENGINE} + 4 <= 50)) || die "podman's folder $ENGINE/run is longer than 50 characters: choose a shorter VN_TESTBED or VN_STATE"
	mkdir -p "$ENGINE"/{storage,run,tmp,networks,volumes}
	cat >"$ENGINE/containers.conf" <<-TOML
		[containers]
		# The names in the machine's own file are none of the containers' business.
		base_hosts_file = "none"
		default_ulimits = ["nofile=16384:16384", "nproc=10000:10000"]
		log_driver = "k8s-file"
		[engine]
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		# Not /var/tmp, where a load that is interrupted would leave its layers.
		image_copy_tmp_dir = "$ENGINE/tmp"
		runtime = "runc"
		static_dir = "$ENGINE/storage/libpod"
		tmp_dir = "$ENGINE/tmp"
		volume_path = "$ENGINE/volumes"
		[network]
		network_backend = "netavark"
		network_config_dir = "$ENGINE/networks"
		# Of the network nobody uses; its default is the groups' one.
		default_subnet = "10.89.0.0/24"
	TOML
	cat >"$ENGINE/storage.conf" <<-TOML
		[storage]
		driver = "$(storage_driver)"
		graphroot = "$ENGINE/storage"
		runroot = "$ENGINE/run"
	TOML
	# No registry: an image that was not loaded is an error, not a download.
	# One that a test runs on loopback speaks plain HTTP, as Docker would assume of it.
	cat >"$ENGINE/registries.conf" <<-TOML
		unqualified-search-registries = []
		[[registry]]
		location = "$TEST_REGISTRY"
		insecure = true
	TOML
	cat >"$ENGINE/policy.json" <<<'{"default": [{"type": "insecureAcceptAnything"}]}'
	podman network exists "$GROUP_NETWORK" ||
		podman network create --disable-dns --subnet "$GROUP_SUBNET" --gateway "$GROUP_GATEWAY" "$GROUP_NETWORK" >/dev/null
	with_engine start_daemon engine env -C "$ENGINE" podman system service --time 0 "unix://$ENGINE_SOCKET"
}
ready_engine() {
	if docker_engine; then
		ready_docker
		return
	fi
	wait_ready engine 30 http_ok http://localhost/_ping --unix-socket "$ENGINE_SOCKET"
	# Every group has a pause container.
	podman image exists "$PAUSE_IMAGE" || load_image "$("$TESTBED/image/busybox/build.sh")" >/dev/null
}

# storage_driver: overlay where the file system can carry it, else vfs (slow, but works anywhere).
storage_driver() {
	local try=$ENGINE/try driver=vfs
	mkdir -p "$try"/{lower,upper,work,merged}
	# shellcheck disable=SC2016 # expanded inside
	if inside sh -c 'mount -t overlay overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" "$1/merged" && umount "$1/merged"' \
		try "$try" 2>>"$LOGS/engine.log"; then
		driver=overlay
	fi
	rm -rf "$try"
	printf '%s' "$driver"
}

# engine_host: where the engine's Docker API is.
engine_host() { printf 'unix://%s' "$(engine_socket)"; }

engine_socket() {
	local host=${DOCKER_HOST:-unix:///var/run/docker.sock}
	if ! is_external; then
		printf '%s' "$ENGINE_SOCKET"
	elif [[ $host == unix://* ]]; then
		printf '%s' "${host#unix://}"
	else
		die "DOCKER_HOST must be a unix:// address, not '$host'"
	fi
}

with_engine() {
	CONTAINERS_CONF=$ENGINE/containers.conf CONTAINERS_STORAGE_CONF=$ENGINE/storage.conf \
		CONTAINERS_REGISTRIES_CONF=$ENGINE/registries.conf "$@"
}

# By way of env: from inside a plain name would be this function again.
podman() { with_engine inside env podman "$@"; }

has_engine() { [[ -d $ENGINE ]]; }

# load_image ARCHIVE: loads a Docker archive into the engine and the worker, whichever there are, and
# prints the names of what was in it. Both at once: each spends half of its time waiting for the disk.
load_image() {
	local worker=''
	if has_worker; then
		load_worker_image "$1" >/dev/null &
		worker=$!
	fi
	! { is_external || has_engine; } || load_engine_image "$1"
	[[ -z $worker ]] || wait "$worker"
}

load_engine_image() {
	if is_external || docker_engine; then
		curl --silent --show-error --fail --unix-socket "$(engine_socket)" --header 'Content-Type: application/x-tar' \
			--data-binary "@$1" http://docker/v1.41/images/load | jq -r '.stream // .error'
	else
		podman load --quiet --input "$1"
	fi
}
