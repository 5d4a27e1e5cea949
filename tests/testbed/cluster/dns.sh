# shellcheck shell=bash
# CoreDNS as a process, and the Service and EndpointSlice that name it. The Service has
# no selector, and its address leads nowhere (no kube-proxy): it says what a cluster says.

# dns_ip: the address CoreDNS has at present.
dns_ip() { cat "$STATE/config/coredns-ip" 2>/dev/null || printf '%s' "${DNS_IPS[0]}"; }

# start_coredns [ADDRESS]
start_coredns() {
	local ip=${1:-$(dns_ip)}
	printf '%s' "$ip" >"$STATE/config/coredns-ip"
	cat >"$STATE/config/Corefile" <<-COREFILE
		.:53 {
			bind $ip
			errors
			health 127.0.0.1:8153
			ready 127.0.0.1:8154
			kubernetes $CLUSTER_DOMAIN in-addr.arpa ip6.arpa {
				kubeconfig $STATE/kubeconfigs/coredns
				pods insecure
				ttl 5
			}
			cache 5
			loadbalance
		}
	COREFILE
	apply_dns_objects "$ip"
	start_daemon coredns "$STATE/bin/coredns" -conf "$STATE/config/Corefile"
}
ready_coredns() { wait_ready coredns 30 http_ok http://127.0.0.1:8154/ready; }

apply_dns_objects() {
	kubectl apply -f - >>"$LOGS/coredns.log" <<-YAML
		apiVersion: rbac.authorization.k8s.io/v1
		kind: ClusterRole
		metadata: {name: system:coredns}
		rules:
		- {apiGroups: [""], resources: [endpoints, services, pods, namespaces], verbs: [list, watch]}
		- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
		---
		apiVersion: rbac.authorization.k8s.io/v1
		kind: ClusterRoleBinding
		metadata: {name: system:coredns}
		roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:coredns}
		subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: system:coredns}]
		---
		apiVersion: v1
		kind: Service
		metadata:
		  name: kube-dns
		  namespace: kube-system
		  labels: {k8s-app: kube-dns, kubernetes.io/name: CoreDNS}
		spec:
		  clusterIP: $DNS_SERVICE_IP
		  ports:
		  - {name: dns, port: 53, protocol: UDP}
		  - {name: dns-tcp, port: 53, protocol: TCP}
		---
		apiVersion: discovery.k8s.io/v1
		kind: EndpointSlice
		metadata:
		  name: kube-dns
		  namespace: kube-system
		  labels: {kubernetes.io/service-name: kube-dns}
		addressType: IPv4
		endpoints:
		- addresses: [$1]
		  conditions: {ready: true}
		ports:
		- {name: dns, port: 53, protocol: UDP}
		- {name: dns-tcp, port: 53, protocol: TCP}
	YAML
}
