# shellcheck shell=bash
# What the testbed is for: mock-eci, the relay and the agent, built from this tree.

# program NAME: the path of virtual-node or mock-eci. VN_BIN_DIR names another folder than
# the one that build_programs fills, say target/debug.
program() { printf '%s/%s' "${VN_BIN_DIR:-${CARGO_TARGET_DIR:-$TESTBED/../../target}/release}" "$1"; }

# build_programs: builds both, unless VN_BIN_DIR says where they are.
build_programs() {
	local log=$VN_CACHE/logs/cargo.log
	[[ -z ${VN_BIN_DIR-} ]] || return 0
	mkdir -p "$VN_CACHE/logs"
	need_cargo
	say 'building virtual-node and mock-eci …'
	run_long 'building virtual-node and mock-eci' "$log" \
		cargo build --release --locked --bins --manifest-path "$TESTBED/../../Cargo.toml" -p virtual-node -p mock-eci
}

start_mock_eci() {
	local route host
	host=$(engine_host)
	local -a flags=(
		--listen "${MOCK_ECI_URL#http://}" --runtime "${VN_RUNTIME:-docker}" --region "$REGION"
		--access-key "$ECI_ACCESS_KEY_ID:$ECI_ACCESS_KEY_SECRET" --network "${VN_GROUP_NETWORK:-$GROUP_NETWORK}"
	)
	for route in ${VN_ROUTES-}; do flags+=(--route "$route"); done
	[[ -z ${VN_SCENARIO-} ]] || flags+=(--scenario "$VN_SCENARIO")
	DOCKER_HOST=$host start_daemon mock-eci "$(program mock-eci)" "${flags[@]}"
}
ready_mock_eci() { wait_ready mock-eci 30 mock_eci_answers; }

# Any HTTP answer will do: without a signature the product API refuses.
mock_eci_answers() { inside curl --silent --max-time 5 --output /dev/null "$MOCK_ECI_URL/"; }

start_relay() {
	kubectl apply -f - >>"$LOGS/relay.log" <<-'YAML'
		apiVersion: rbac.authorization.k8s.io/v1
		kind: ClusterRole
		metadata: {name: virtual-node-relay}
		rules:
		- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}
		---
		apiVersion: rbac.authorization.k8s.io/v1
		kind: ClusterRoleBinding
		metadata: {name: virtual-node-relay}
		roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: virtual-node-relay}
		subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: virtual-node-relay}]
	YAML
	start_daemon relay "$(program virtual-node)" relay --listen-address "$RELAY_IP" --kubeconfig "$STATE/kubeconfigs/relay"
}
# It is ready when the API server answers through it.
ready_relay() { wait_ready relay 30 http_ok "https://$RELAY_IP/livez" --cacert "$PKI/ca.crt" --cert "$PKI/admin.crt" --key "$PKI/admin.key"; }

# agent_ip: the address the agent has at present.
agent_ip() { cat "$STATE/config/agent-ip" 2>/dev/null || printf '%s' "${VN_NODE_IP:-${AGENT_IPS[0]}}"; }

# rights_for_costs: lets the agent keep records of cost, by the rights that the manifests give it.
rights_for_costs() {
	kubectl get clusterrolebinding virtual-node-cost >/dev/null 2>&1 && return
	{
		kubectl create namespace virtual-node --dry-run=client --output yaml | kubectl apply -f -
		kubectl apply --namespace virtual-node -f - <"$TESTBED/../../manifests/base/agent-rbac.yaml"
	} >>"$LOGS/agent.log" 2>&1
}

# start_agent [ADDRESS]
start_agent() {
	local ip=${1:-$(agent_ip)}
	local -a flags=(
		--node-name "$NODE_NAME" --kubeconfig "$STATE/kubeconfigs/agent" --cluster-id testbed
		--eci-endpoint "$MOCK_ECI_URL" --region "$REGION" --vswitch-ids vsw-1 --security-group-id sg-1
		--node-ip "$ip" --kubelet-listen "$ip:10250" --metrics-listen "$AGENT_METRICS"
		--client-ca-file "$PKI/ca.crt" --cluster-domain "$CLUSTER_DOMAIN" --eci-limits "${VN_ECI_LIMITS:-documented}"
	)
	case ${VN_SERVING_CERTIFICATE:-files} in
	files) flags+=(--tls-cert-file "$PKI/agent-serving.crt" --tls-private-key-file "$PKI/agent-serving.key") ;;
	*) flags+=(--serving-certificate "$VN_SERVING_CERTIFICATE" --cert-dir "$STATE/agent-pki") ;;
	esac
	if is_external; then
		flags+=(--service-vips routed)
		[[ -z ${VN_CLUSTER_DNS-} ]] || flags+=(--cluster-dns "$VN_CLUSTER_DNS")
	else
		# No kube-proxy serves the groups, as on raw ECI.
		flags+=(--service-vips relay --relay-ip "$RELAY_IP" --api-server "${API_SERVER_URL#https://}")
	fi
	# Alone, the node takes every pod; beside a worker, those that tolerate its taint.
	has_worker || is_external || flags+=(--register-with-taints '')
	# In a cluster of the user's own, nothing is made but the node.
	if is_external; then
		flags+=(--cost-records false)
	else
		rights_for_costs || true
		flags+=(
			--cost-namespace virtual-node --cost-kubeconfig "$STATE/kubeconfig"
			--cost-impersonate system:serviceaccount:virtual-node:virtual-node
		)
	fi
	# Logs of Spark's drivers outlive their groups where there is a store.
	! has_part store || flags+=(--log-archive "s3://$LOG_BUCKET/archive" --log-archive-endpoint "$STORE_URL")
	if has_part burst; then
		local -a burst
		mapfile -t burst < <(burst_flags "$ip")
		flags+=("${burst[@]}")
	fi
	if [[ -n ${VN_AGENT_ARGS-} ]]; then
		local -a more
		read -ra more <<<"$VN_AGENT_ARGS"
		flags+=("${more[@]}")
	fi
	printf '%s' "$ip" >"$STATE/config/agent-ip"
	ALIBABA_CLOUD_ACCESS_KEY_ID=$ECI_ACCESS_KEY_ID ALIBABA_CLOUD_ACCESS_KEY_SECRET=$ECI_ACCESS_KEY_SECRET \
		AWS_ACCESS_KEY_ID=$STORE_ACCESS_KEY AWS_SECRET_ACCESS_KEY=$STORE_SECRET_KEY AWS_REGION=$REGION \
		start_daemon agent "$(program virtual-node)" run "${flags[@]}"
}
ready_agent() {
	wait_ready agent 30 http_ok "http://$AGENT_METRICS/readyz"
	wait_ready agent 30 kubectl wait --for=condition=Ready --timeout=5s "node/$NODE_NAME"
}
