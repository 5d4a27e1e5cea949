# shellcheck shell=bash
# One certificate authority for API server, clients and kubelets, and a kubeconfig for
# each of those who talk to the API server.

# make_ca: the authority, and the key pair that signs service-account tokens.
make_ca() {
	mkdir -m 700 "$PKI"
	openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/ca.key"
	openssl req -x509 -new -key "$PKI/ca.key" -sha256 -days 30 -subj "/CN=virtual-node-testbed" \
		-addext 'keyUsage=critical,digitalSignature,keyCertSign' -out "$PKI/ca.crt"
	openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/service-accounts.key"
	openssl ec -in "$PKI/service-accounts.key" -pubout -out "$PKI/service-accounts.pub" 2>/dev/null
}

# certificate FILE SUBJECT USAGE [NAMES]: a key and a certificate. USAGE is clientAuth or
# serverAuth, NAMES are its subject alternative names (DNS:…,IP:…).
certificate() {
	local base=$PKI/$1 extensions
	extensions="keyUsage=critical,digitalSignature
extendedKeyUsage=$3
basicConstraints=critical,CA:FALSE${4:+
subjectAltName=$4}"
	openssl ecparam -name prime256v1 -genkey -noout -out "$base.key"
	openssl req -new -key "$base.key" -subj "$2" |
		openssl x509 -req -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -sha256 -days 30 \
			-extfile <(printf '%s\n' "$extensions") -out "$base.crt" 2>/dev/null
}

# kubeconfig FILE NAME: a kubeconfig with the certificate and key of $PKI/NAME in it.
kubeconfig() {
	(
		umask 077
		cat >"$1" <<-YAML
			apiVersion: v1
			kind: Config
			clusters:
			- name: testbed
			  cluster:
			    server: $API_SERVER_URL
			    certificate-authority-data: $(base64 -w 0 "$PKI/ca.crt")
			users:
			- name: $2
			  user:
			    client-certificate-data: $(base64 -w 0 "$PKI/$2.crt")
			    client-key-data: $(base64 -w 0 "$PKI/$2.key")
			contexts:
			- name: testbed
			  context: {cluster: testbed, user: $2}
			current-context: testbed
		YAML
	)
}

# client NAME SUBJECT: a client certificate and the kubeconfig $STATE/kubeconfigs/NAME.
client() {
	certificate "$1" "$2" clientAuth
	kubeconfig "$STATE/kubeconfigs/$1" "$1"
}

# make_pki: all keys, certificates and kubeconfigs of an instance.
make_pki() {
	mkdir -p "$STATE/kubeconfigs"
	make_ca
	certificate kube-apiserver /CN=kube-apiserver serverAuth \
		"DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.$CLUSTER_DOMAIN,DNS:localhost,IP:127.0.0.1,IP:$API_SERVER_IP,IP:$API_SERVICE_IP,IP:$RELAY_IP"
	certificate kube-apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
	certificate front-proxy-client /CN=front-proxy-client clientAuth
	client admin /O=system:masters/CN=admin
	client kube-controller-manager /CN=system:kube-controller-manager
	client kube-scheduler /CN=system:kube-scheduler
	client coredns /CN=system:coredns
	client relay /CN=virtual-node-relay
	client metrics-server /CN=system:metrics-server
	certificate metrics-server-serving /CN=metrics-server serverAuth \
		"DNS:metrics-server.kube-system.svc,IP:$METRICS_IP"
	client agent "/O=system:nodes/CN=system:node:$NODE_NAME"
	certificate agent-serving "/O=system:nodes/CN=system:node:$NODE_NAME" serverAuth \
		"DNS:$NODE_NAME$(printf ',IP:%s' "${AGENT_IPS[@]}")"
	cp "$STATE/kubeconfigs/admin" "$STATE/kubeconfig"
}
