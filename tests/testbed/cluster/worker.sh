# shellcheck shell=bash
# ECS=1: a real worker beside the virtual node. containerd, a kubelet and kube-proxy, in the
# same namespaces; its pods have a bridge of their own and reach container groups by routing.

WORKER=$STATE/worker
WORKER_NAME=ecs-worker-1
CONTAINERD_SOCKET=$WORKER/containerd.sock

has_worker() { [[ -d $WORKER ]]; }

start_containerd() {
	mkdir -p "$WORKER"/{containerd,cni}
	cat >"$WORKER/containerd.toml" <<-TOML
		version = 2
		root = "$WORKER/containerd"
		state = "/run/containerd"
		[grpc]
		  address = "$CONTAINERD_SOCKET"
		[plugins."io.containerd.grpc.v1.cri"]
		  sandbox_image = "$PAUSE_IMAGE"
		  # Not every machine lets root lower a process's OOM score.
		  restrict_oom_score_adj = true
		  [plugins."io.containerd.grpc.v1.cri".cni]
		    bin_dir = "/usr/lib/cni"
		    conf_dir = "$WORKER/cni"
	TOML
	cat >"$WORKER/cni/10-bridge.conflist" <<-JSON
		{
		  "cniVersion": "0.4.0",
		  "name": "worker",
		  "plugins": [{
		    "type": "bridge", "bridge": "cni0", "isGateway": true,
		    "ipam": {
		      "type": "host-local", "dataDir": "$WORKER/addresses",
		      "ranges": [[{"subnet": "$WORKER_SUBNET"}]], "routes": [{"dst": "0.0.0.0/0"}]
		    }
		  }]
		}
	JSON
	start_daemon containerd containerd --config "$WORKER/containerd.toml"
}
ready_containerd() {
	wait_ready containerd 30 worker_ctr version
	load_worker_image "$("$TESTBED/image/busybox/build.sh")" >/dev/null
}

worker_ctr() { inside ctr --address "$CONTAINERD_SOCKET" --namespace k8s.io "$@"; }

# load_worker_image ARCHIVE: loads a Docker archive into the worker.
load_worker_image() { worker_ctr images import "$1"; }

# reserved_memory: what the kubelet is to keep back so that VN_WORKER_MEMORY is left for pods.
reserved_memory() {
	local total
	total=$(awk '/^MemTotal:/ { printf "%.0f", $2 * 1024 }' /proc/meminfo)
	((VN_WORKER_MEMORY <= total)) || die "VN_WORKER_MEMORY is $VN_WORKER_MEMORY bytes, and this machine has $total"
	printf '%d' $((total - VN_WORKER_MEMORY))
}

start_kubelet() {
	local reserved=0
	[[ -z ${VN_WORKER_MEMORY-} ]] || reserved=$(reserved_memory)
	certificate worker-serving "/O=system:nodes/CN=system:node:$WORKER_NAME" serverAuth "DNS:$WORKER_NAME,IP:$WORKER_IP"
	client worker "/O=system:nodes/CN=system:node:$WORKER_NAME"
	cat >"$WORKER/kubelet.yaml" <<-YAML
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		address: $WORKER_IP
		authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
		authorization: {mode: Webhook}
		tlsCertFile: $PKI/worker-serving.crt
		tlsPrivateKeyFile: $PKI/worker-serving.key
		clusterDNS: [$DNS_SERVICE_IP]
		clusterDomain: $CLUSTER_DOMAIN
		containerRuntimeEndpoint: unix://$CONTAINERD_SOCKET
		cgroupDriver: cgroupfs
		# Machines with control groups of version 1 are welcome.
		failCgroupV1: false
		enforceNodeAllocatable: []
		failSwapOn: false
		# The disk is the machine's, and how full it is says nothing about the cluster.
		evictionHard: {imagefs.available: 0%, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.inodesFree: 0%}
		imageGCHighThresholdPercent: 100
		systemReserved: {memory: "$reserved"}
		volumePluginDir: $WORKER/plugins
	YAML
	start_daemon kubelet "$STATE/bin/kubelet" --config "$WORKER/kubelet.yaml" --kubeconfig "$STATE/kubeconfigs/worker" \
		--root-dir "$WORKER/kubelet" --hostname-override "$WORKER_NAME" --node-ip "$WORKER_IP"
}
ready_kubelet() {
	wait_ready kubelet 60 http_ok http://127.0.0.1:10248/healthz
	wait_ready kubelet 60 kubectl wait --for=condition=Ready --timeout=5s "node/$WORKER_NAME"
}

start_kube_proxy() {
	client kube-proxy /CN=system:kube-proxy
	cat >"$WORKER/kube-proxy.yaml" <<-YAML
		apiVersion: kubeproxy.config.k8s.io/v1alpha1
		kind: KubeProxyConfiguration
		mode: iptables
		clientConnection: {kubeconfig: $STATE/kubeconfigs/kube-proxy}
		hostnameOverride: $WORKER_NAME
		clusterCIDR: $WORKER_SUBNET
		healthzBindAddress: 127.0.0.1:10256
		metricsBindAddress: 127.0.0.1:10249
		# Zero leaves the kernel's settings alone: they are the machine's.
		conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s, udpTimeout: 0s, udpStreamTimeout: 0s}
	YAML
	start_daemon kube-proxy "$STATE/bin/kube-proxy" --config "$WORKER/kube-proxy.yaml"
}
ready_kube_proxy() { wait_ready kube-proxy 60 http_ok http://127.0.0.1:10256/healthz; }
