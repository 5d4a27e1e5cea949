# shellcheck shell=bash
# metrics-server as a process, and what makes the API server pass metrics.k8s.io on to it:
# kubectl top and HorizontalPodAutoscalers ask there.

start_metrics_server() {
	apply_metrics_objects
	# Kubelets prove who they are, as they do to the API server. Several nodes may share an
	# address: their ports are in their statuses. 10 s is the shortest period it takes.
	start_daemon metrics-server "$STATE/bin/metrics-server" \
		--kubeconfig "$STATE/kubeconfigs/metrics-server" \
		--authentication-kubeconfig "$STATE/kubeconfigs/metrics-server" \
		--authorization-kubeconfig "$STATE/kubeconfigs/metrics-server" \
		--bind-address "$METRICS_IP" --secure-port 4443 \
		--tls-cert-file "$PKI/metrics-server-serving.crt" --tls-private-key-file "$PKI/metrics-server-serving.key" \
		--kubelet-certificate-authority "$PKI/ca.crt" --kubelet-preferred-address-types InternalIP \
		--kubelet-use-node-status-port --metric-resolution 10s --kubelet-request-timeout 9s
}
# It serves at once, and has figures when it has asked every node twice.
ready_metrics_server() { wait_ready metrics-server 30 http_ok "https://$METRICS_IP:4443/livez" --cacert "$PKI/ca.crt"; }

apply_metrics_objects() {
	kubectl apply -f - >>"$LOGS/metrics-server.log" <<-YAML
		apiVersion: rbac.authorization.k8s.io/v1
		kind: ClusterRole
		metadata: {name: system:metrics-server}
		rules:
		- {apiGroups: [""], resources: [nodes/metrics], verbs: [get]}
		- {apiGroups: [""], resources: [pods, nodes], verbs: [get, list, watch]}
		---
		apiVersion: rbac.authorization.k8s.io/v1
		kind: ClusterRoleBinding
		metadata: {name: system:metrics-server}
		roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:metrics-server}
		subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: system:metrics-server}]
		---
		apiVersion: rbac.authorization.k8s.io/v1
		kind: ClusterRoleBinding
		metadata: {name: metrics-server:system:auth-delegator}
		roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:auth-delegator}
		subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: system:metrics-server}]
		---
		apiVersion: rbac.authorization.k8s.io/v1
		kind: RoleBinding
		metadata: {name: metrics-server-auth-reader, namespace: kube-system}
		roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: extension-apiserver-authentication-reader}
		subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: system:metrics-server}]
		---
		apiVersion: v1
		kind: Service
		metadata: {name: metrics-server, namespace: kube-system}
		spec:
		  ports:
		  - {name: https, port: 443, targetPort: 4443}
		---
		apiVersion: discovery.k8s.io/v1
		kind: EndpointSlice
		metadata:
		  name: metrics-server
		  namespace: kube-system
		  labels: {kubernetes.io/service-name: metrics-server}
		addressType: IPv4
		endpoints:
		- addresses: [$METRICS_IP]
		  conditions: {ready: true}
		ports:
		- {name: https, port: 4443, protocol: TCP}
		---
		apiVersion: apiregistration.k8s.io/v1
		kind: APIService
		metadata: {name: v1beta1.metrics.k8s.io}
		spec:
		  group: metrics.k8s.io
		  version: v1beta1
		  groupPriorityMinimum: 100
		  versionPriority: 100
		  service: {name: metrics-server, namespace: kube-system}
		  caBundle: $(base64 -w 0 "$PKI/ca.crt")
	YAML
}
