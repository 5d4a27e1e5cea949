# shellcheck shell=bash
# Burst and its admission webhook (manifests/burst, manifests/webhook), with ECS=1. The agent is no pod here, so the webhook's
# Service has an endpoint of ours instead of a selector; kube-proxy, which the worker brings along, serves it to the API server.

BURST=$STATE/burst
MANIFESTS=$TESTBED/../../manifests

# make_burst: the rights, the Service and the webhook's configuration.
make_burst() {
	mkdir "$BURST"
	{
		kubectl create namespace virtual-node
		kubectl apply -f "$MANIFESTS/burst/burst-rbac.yaml" -f "$MANIFESTS/webhook/webhook-rbac.yaml" -f "$MANIFESTS/webhook/webhook.yaml"
		kubectl patch service virtual-node-webhook --namespace virtual-node --type json \
			--patch '[{"op": "remove", "path": "/spec/selector"}]'
	} >>"$LOGS/burst.log"
}

# burst_flags IP: prints the agent's flags for it, one a line, and lets the Service lead to that address.
burst_flags() {
	[[ -d $BURST ]] || make_burst
	kubectl apply -f - >>"$LOGS/burst.log" <<-YAML
		apiVersion: discovery.k8s.io/v1
		kind: EndpointSlice
		metadata:
		  name: virtual-node-webhook
		  namespace: virtual-node
		  labels: {kubernetes.io/service-name: virtual-node-webhook, endpointslice.kubernetes.io/managed-by: testbed}
		addressType: IPv4
		ports: [{name: webhook, port: 9443}]
		endpoints: [{addresses: [$1], conditions: {ready: true}}]
	YAML
	printf '%s\n' --burst true --burst-kubeconfig "$STATE/kubeconfig" \
		--burst-impersonate system:serviceaccount:virtual-node:virtual-node-burst \
		--webhook-listen "$1:9443" --webhook-secret virtual-node/virtual-node-webhook
}
