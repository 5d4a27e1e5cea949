# shellcheck shell=bash
# A cluster of the user's own, named by KUBECONFIG when `up` is called: nothing of a control
# plane is built or started, the machine's network and container engine are used, and only
# mock-eci and the agent run here. README.md says what must hold for that to work.

# is_external: true when the instance is attached to a cluster of the user's own.
is_external() { [[ -e $STATE/external ]]; }

# check_external: dies unless all is said that a cluster of the user's own requires.
check_external() {
	[[ -n ${VN_NODE_IP-} ]] ||
		die "KUBECONFIG is set, so its cluster is used, and VN_NODE_IP must be this machine's address as that cluster's API server reaches it (with kind: the gateway of the docker network 'kind'). Unset KUBECONFIG to have a cluster started."
}

# use_external KUBECONFIG: takes the cluster of a kubeconfig as the one of this instance.
use_external() {
	# A program on the PATH, not the function of that name.
	ln -s "$(type -P kubectl || component kubectl)" "$STATE/bin/kubectl"
	mkdir -p "$STATE/kubeconfigs"
	(
		umask 077
		KUBECONFIG=$1 "$STATE/bin/kubectl" config view --raw --minify --flatten >"$STATE/kubeconfig"
	)
	kubectl get --raw /readyz >/dev/null || die "the cluster of KUBECONFIG=$1 does not answer"
	say "using the cluster of KUBECONFIG=$1 at $(kubectl config view --minify --output 'jsonpath={.clusters[0].cluster.server}')"
}

# node_identity: the agent's two certificates, as client and as server, both as
# system:node:NAME, signed by that cluster: it can do there what a kubelet can.
node_identity() {
	local server
	mkdir -m 700 "$PKI"
	kubectl config view --raw --minify --output 'jsonpath={.clusters[0].cluster.certificate-authority-data}' |
		base64 -d >"$PKI/ca.crt"
	server=$(kubectl config view --minify --output 'jsonpath={.clusters[0].cluster.server}')
	signed_certificate agent kubeconfig kube-apiserver-client-kubelet 'client auth'
	API_SERVER_URL=$server kubeconfig "$STATE/kubeconfigs/agent" agent
	# A serving certificate is signed only for the node that asks for it.
	signed_certificate agent-serving kubeconfigs/agent kubelet-serving 'server auth' \
		-addext "subjectAltName=DNS:$NODE_NAME,IP:$VN_NODE_IP"
}

# signed_certificate FILE KUBECONFIG SIGNER USAGE [OPENSSL_OPTION...]: a key and its certificate,
# requested by the user of KUBECONFIG and approved by the administrator.
signed_certificate() {
	local base=$PKI/$1 as=$STATE/$2 name=virtual-node-$VN_TESTBED-$1 request
	openssl ecparam -name prime256v1 -genkey -noout -out "$base.key"
	request=$(openssl req -new -key "$base.key" -subj "/O=system:nodes/CN=system:node:$NODE_NAME" "${@:5}" | base64 -w 0)
	kubectl delete --ignore-not-found csr "$name" >/dev/null
	inside "$STATE/bin/kubectl" --kubeconfig "$as" create -f - >/dev/null <<-YAML
		apiVersion: certificates.k8s.io/v1
		kind: CertificateSigningRequest
		metadata: {name: $name}
		spec:
		  request: $request
		  signerName: kubernetes.io/$3
		  usages: [digital signature, $4]
	YAML
	kubectl certificate approve "$name" >/dev/null
	kubectl wait --for='jsonpath={.status.certificate}' --timeout=30s csr "$name" >/dev/null
	kubectl get csr "$name" --output 'jsonpath={.status.certificate}' | base64 -d >"$base.crt"
	kubectl delete csr "$name" >/dev/null
}

# leave_external: takes the node back out of that cluster.
leave_external() {
	[[ -s $STATE/kubeconfigs/agent ]] || return 0
	"$STATE/bin/kubectl" --kubeconfig "$STATE/kubeconfig" delete --ignore-not-found --timeout=30s node "$NODE_NAME" >/dev/null ||
		warn "the node $NODE_NAME is still in the cluster: delete it by hand"
}
