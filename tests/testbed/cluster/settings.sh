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

# Which parts to start: a list out of these, or "all". Each needs those before it.
#   control-plane  etcd, kube-apiserver, kube-controller-manager, kube-scheduler
#   dns            CoreDNS
#   store          an S3 store
#   engine         a container engine (podman) and the network of the container groups
#   cloud          mock-eci
#   node           the relay and the agent
ALL_PARTS=control-plane,dns,store,engine,cloud,node
VN_PARTS=${VN_PARTS:-all}
[[ $VN_PARTS != all ]] || VN_PARTS=$ALL_PARTS
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
