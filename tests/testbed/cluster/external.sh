# shellcheck shell=bash
# A cluster of the user's own, named by KUBECONFIG when `up` is called: nothing of a control
# plane is built or started, the machine's network and container engine are used, and only
# mock-eci and the agent run here. README.md says what must hold for that to work.

# is_external: true when the instance is attached to a cluster of the user's own.
is_external() { [[ -e $STATE/external ]]; }

# use_external KUBECONFIG: takes the cluster of a kubeconfig as the one of this instance.
use_external() {
	[[ -n ${VN_NODE_IP-} ]] ||
		die "KUBECONFIG is set, so its cluster is used, and VN_NODE_IP must be this machine's address as that cluster's API server reaches it (with kind: the gateway of the docker network 'kind'). Unset KUBECONFIG to have a cluster started."
	ln -sfn "$(command -v kubectl || component kubectl)" "$STATE/bin/kubectl"
	mkdir -p "$STATE/kubeconfigs"
	(
		umask 077
		KUBECONFIG=$1 "$STATE/bin/kubectl" config view --raw --minify --flatten >"$STATE/kubeconfig"
	)
	kubectl get --raw /readyz >/dev/null || die "the cluster of KUBECONFIG=$1 does not answer"
	say "using the cluster of KUBECONFIG=$1 at $(kubectl config view --minify --output 'jsonpath={.clusters[0].cluster.server}')"
}

# node_identity: a client certificate for the agent as system:node:NAME, signed by that
# cluster on its administrator's approval, so that it can do there what a kubelet can.
node_identity() {
	local name=virtual-node-$VN_TESTBED key=$PKI/agent.key request
	mkdir -m 700 "$PKI"
	openssl ecparam -name prime256v1 -genkey -noout -out "$key"
	request=$(openssl req -new -key "$key" -subj "/O=system:nodes/CN=system:node:$NODE_NAME" | base64 -w 0)
	kubectl delete --ignore-not-found csr "$name" >/dev/null
	kubectl create -f - >/dev/null <<-YAML
		apiVersion: certificates.k8s.io/v1
		kind: CertificateSigningRequest
		metadata: {name: $name}
		spec:
		  request: $request
		  signerName: kubernetes.io/kube-apiserver-client-kubelet
		  usages: [digital signature, client auth]
	YAML
	kubectl certificate approve "$name" >/dev/null
	kubectl wait --for='jsonpath={.status.certificate}' --timeout=30s csr "$name" >/dev/null
	kubectl get csr "$name" --output 'jsonpath={.status.certificate}' | base64 -d >"$PKI/agent.crt"
	kubectl delete csr "$name" >/dev/null
	external_ca >"$PKI/ca.crt"
	API_SERVER_URL=$(kubectl config view --minify --output 'jsonpath={.clusters[0].cluster.server}') \
		kubeconfig "$STATE/kubeconfigs/agent" agent
}

external_ca() {
	kubectl config view --raw --minify --output 'jsonpath={.clusters[0].cluster.certificate-authority-data}' | base64 -d
}

# approve_serving: approves the certificate that the agent asks for its kubelet API; fails
# while it has not asked.
approve_serving() {
	local requests
	requests=$(kubectl get csr --output json | jq -r --arg user "system:node:$NODE_NAME" '
		.items[] | select(.spec.signerName == "kubernetes.io/kubelet-serving" and .spec.username == $user) | .metadata.name')
	[[ -n $requests ]] || return 1
	xargs "$STATE/bin/kubectl" --kubeconfig "$STATE/kubeconfig" certificate approve <<<"$requests"
}

# leave_external: takes the node back out of that cluster.
leave_external() {
	"$STATE/bin/kubectl" --kubeconfig "$STATE/kubeconfig" delete --ignore-not-found --timeout=30s node "$NODE_NAME" >/dev/null ||
		warn "the node $NODE_NAME is still in the cluster: delete it by hand"
}
