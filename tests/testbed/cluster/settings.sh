# shellcheck shell=bash disable=SC2034 # what is set here is used by the other parts
# Names, addresses and folders of a testbed instance; every part reads them from here.

# Which instance: tests take one of their own beside one that is kept up.
VN_TESTBED=${VN_TESTBED:-default}
[[ $VN_TESTBED =~ ^[a-z0-9][a-z0-9-]{0,30}$ ]] ||
	die "VN_TESTBED must be lower-case letters, digits and dashes, not '$VN_TESTBED'"

# Everything of an instance: on disk, because the containers' storage is here too.
STATE=${VN_STATE:-/var/tmp/virtual-node-$VN_TESTBED}
[[ $STATE != /run/* && $STATE == /* ]] || die "VN_STATE must be an absolute path outside /run, not '$STATE'"
STATE_MARK=.virtual-node-testbed
LOGS=$STATE/logs
PKI=$STATE/pki

# What was said to `up` holds for components that are started again later, unless said anew.
CHOICES='VN_AGENT_ARGS VN_BIN_DIR VN_CLUSTER_DNS VN_ECI_LIMITS VN_ENGINE VN_GROUP_NETWORK VN_NODE_IP VN_ROUTES VN_RUNTIME VN_SCENARIO VN_SERVING_CERTIFICATE VN_WORKER_MEMORY'

# remember_choices: at `up`, records them.
remember_choices() {
	local name
	for name in $CHOICES; do
		[[ -z ${!name-} ]] || printf '%s=%q\n' "$name" "${!name}"
	done >"$STATE/config/choices"
}

# recall_choices: later, sets those that are not set.
recall_choices() {
	local line name
	[[ -e $STATE/config/choices ]] || return 0
	while read -r line; do
		name=${line%%=*}
		[[ -v $name ]] || eval "$line"
	done <"$STATE/config/choices"
}

# Which parts to start: a list out of these, or "all". Each needs those before it.
#   control-plane  etcd, kube-apiserver, kube-controller-manager, kube-scheduler
#   dns            CoreDNS
#   store          an S3 store
#   worker         a real worker: containerd, kubelet, kube-proxy (with ECS=1 only)
#   engine         a container engine (podman) and the network of the container groups
#   cloud          mock-eci
#   burst          what burst and its webhook need; the agent then has both (with ECS=1 only)
#   node           the relay and the agent
#   metrics        metrics-server, for kubectl top and autoscalers
ALL_PARTS=control-plane,dns,store,worker,engine,cloud,burst,node,metrics
VN_PARTS=${VN_PARTS:-all}
if [[ $VN_PARTS == all ]]; then
	VN_PARTS=$ALL_PARTS
	if [[ ${ECS:-0} == 0 ]]; then
		VN_PARTS=${VN_PARTS/worker,/}
		VN_PARTS=${VN_PARTS/burst,/}
	fi
fi
# A cluster of the user's own has all but these.
EXTERNAL_PARTS=cloud,node

# The bridge that stands for the VPC's network of machines.
BRIDGE=vn0
BRIDGE_PREFIX=24
API_SERVER_IP=172.31.0.1
API_SERVER_URL=https://$API_SERVER_IP:6443
AGENT_IPS=(172.31.0.10 172.31.0.11)
RELAY_IP=172.31.0.20
STORE_IP=172.31.0.30
WORKER_IP=172.31.0.40
METRICS_IP=172.31.0.60
WORKER_SUBNET=10.90.0.0/16
DNS_IPS=(172.31.0.53 172.31.0.54)

# The network of the container groups, and the cluster's services (which no kube-proxy serves).
GROUP_NETWORK=eci
GROUP_SUBNET=10.88.0.0/16
GROUP_GATEWAY=10.88.0.1
SERVICE_SUBNET=10.96.0.0/16
API_SERVICE_IP=10.96.0.1
DNS_SERVICE_IP=10.96.0.10
CLUSTER_DOMAIN=cluster.local

# The cloud. The keys are those of a fake: anybody may know them.
REGION=cn-hangzhou
NODE_NAME=virtual-kubelet-cn-hangzhou-h
MOCK_ECI_URL=http://127.0.0.1:8090
ECI_ACCESS_KEY_ID=testbed
ECI_ACCESS_KEY_SECRET=testbed-secret
AGENT_METRICS=127.0.0.1:10255

STORE_URL=http://$STORE_IP:7070
LOG_BUCKET=logs
STORE_ACCESS_KEY=testbed
STORE_SECRET_KEY=testbed-secret

# has_part PART: true when PART is to be started.
has_part() { [[ ,$VN_PARTS, == *,$1,* ]]; }

# check_parts: dies on a name that is no part.
check_parts() {
	local part
	for part in ${VN_PARTS//,/ }; do
		[[ ,$ALL_PARTS, == *,$part,* ]] || die "VN_PARTS: there is no part '$part' (there are: ${ALL_PARTS//,/ })"
	done
}
