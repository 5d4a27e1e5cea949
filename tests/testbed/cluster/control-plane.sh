# shellcheck shell=bash
# etcd, kube-apiserver, kube-controller-manager and kube-scheduler.

start_etcd() {
	# Nothing here outlives the instance, so nothing needs to reach the disk.
	start_daemon etcd "$STATE/bin/etcd" --name testbed --data-dir "$STATE/etcd" --unsafe-no-fsync \
		--listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
		--listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
		--initial-cluster testbed=http://127.0.0.1:2380 --log-level warn
}
ready_etcd() { wait_ready etcd 30 http_ok http://127.0.0.1:2379/health; }

start_kube_apiserver() {
	# shellcheck disable=SC2054 # lists with commas in them
	local -a flags=(
		--etcd-servers http://127.0.0.1:2379
		--bind-address 0.0.0.0
		--secure-port 6443
		--advertise-address "$API_SERVER_IP"
		--service-cluster-ip-range "$SERVICE_SUBNET"
		--allow-privileged=true
		--client-ca-file "$PKI/ca.crt"
		--tls-cert-file "$PKI/kube-apiserver.crt"
		--tls-private-key-file "$PKI/kube-apiserver.key"
		# Least power, as in a cluster that kubeadm makes: a node reaches its own pods' objects only.
		--authorization-mode Node,RBAC
		--enable-admission-plugins NodeRestriction
		# Both sides of the connection to a kubelet prove who they are.
		--kubelet-certificate-authority "$PKI/ca.crt"
		--kubelet-client-certificate "$PKI/kube-apiserver-kubelet-client.crt"
		--kubelet-client-key "$PKI/kube-apiserver-kubelet-client.key"
		--kubelet-preferred-address-types InternalIP
		--service-account-issuer "https://kubernetes.default.svc.$CLUSTER_DOMAIN"
		--service-account-key-file "$PKI/service-accounts.pub"
		--service-account-signing-key-file "$PKI/service-accounts.key"
		# With one authority for all, only this name may speak as the front proxy.
		--requestheader-client-ca-file "$PKI/ca.crt"
		--requestheader-allowed-names front-proxy-client
		--requestheader-username-headers X-Remote-User
		--requestheader-group-headers X-Remote-Group
		--requestheader-extra-headers-prefix X-Remote-Extra-
		--proxy-client-cert-file "$PKI/front-proxy-client.crt"
		--proxy-client-key-file "$PKI/front-proxy-client.key"
		--enable-aggregator-routing=true
		# Thousands of pods at once are what the bench measures; these are not to be its limit.
		--max-requests-inflight 3000
		--max-mutating-requests-inflight 1500
	)
	start_daemon kube-apiserver "$STATE/bin/kube-apiserver" "${flags[@]}"
}
ready_kube_apiserver() { wait_ready kube-apiserver 60 kubectl get --raw /readyz; }

start_kube_controller_manager() {
	start_daemon kube-controller-manager "$STATE/bin/kube-controller-manager" \
		--kubeconfig "$STATE/kubeconfigs/kube-controller-manager" --leader-elect=false \
		--use-service-account-credentials --service-account-private-key-file "$PKI/service-accounts.key" \
		--root-ca-file "$PKI/ca.crt" --cluster-signing-cert-file "$PKI/ca.crt" --cluster-signing-key-file "$PKI/ca.key" \
		--kube-api-qps 1000 --kube-api-burst 2000 --bind-address 127.0.0.1 --horizontal-pod-autoscaler-sync-period 5s
}
ready_kube_controller_manager() {
	wait_ready kube-controller-manager 60 http_ok https://127.0.0.1:10257/healthz --insecure
	# A pod needs it, and nothing else says that the controllers are at work.
	wait_ready kube-controller-manager 60 kubectl get serviceaccount default
}

start_kube_scheduler() {
	cat >"$STATE/config/kube-scheduler.yaml" <<-YAML
		apiVersion: kubescheduler.config.k8s.io/v1
		kind: KubeSchedulerConfiguration
		leaderElection: {leaderElect: false}
		clientConnection: {kubeconfig: $STATE/kubeconfigs/kube-scheduler, qps: 1000, burst: 2000}
	YAML
	start_daemon kube-scheduler "$STATE/bin/kube-scheduler" --config "$STATE/config/kube-scheduler.yaml" \
		--bind-address 127.0.0.1
}
ready_kube_scheduler() { wait_ready kube-scheduler 60 http_ok https://127.0.0.1:10259/healthz --insecure; }

# kubectl ARGUMENT...: as the cluster's administrator.
kubectl() { inside "$STATE/bin/kubectl" --kubeconfig "$STATE/kubeconfig" "$@"; }
