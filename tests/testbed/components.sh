#!/usr/bin/env bash
# The programs that the testbed runs, built from the Go module proxy (or taken from
# KUBEBUILDER_ASSETS where that folder has them) and kept in the cache.
#
#   components.sh build NAME...   builds what is missing
#   components.sh path NAME...    the same, and prints "NAME PATH" lines
#   components.sh list            prints the names
set -euo pipefail
TESTBED=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbed/lib.sh
source "$TESTBED/lib.sh"

KUBERNETES_VERSION=v1.35.4

# One row a component: name, folder of its go.mod, package, time of a cold build on two cores.
# The first Kubernetes command pays for what all of them share.
COMPONENTS='
etcd                    etcd       go.etcd.io/etcd/server/v3                       1 min
kube-apiserver          kubernetes k8s.io/kubernetes/cmd/kube-apiserver            5 min
kube-controller-manager kubernetes k8s.io/kubernetes/cmd/kube-controller-manager   1 min
kube-scheduler          kubernetes k8s.io/kubernetes/cmd/kube-scheduler            1 min
kubectl                 kubernetes k8s.io/kubernetes/cmd/kubectl                   1 min
kubelet                 kubernetes k8s.io/kubernetes/cmd/kubelet                   1 min
kube-proxy              kubernetes k8s.io/kubernetes/cmd/kube-proxy                1 min
coredns                 coredns    virtual-node.test/testbed/coredns               2 min
versitygw               versitygw  github.com/versity/versitygw/cmd/versitygw      2 min
kwok                    kwok       sigs.k8s.io/kwok/cmd/kwok                       2 min
metrics-server          metrics-server sigs.k8s.io/metrics-server/cmd/metrics-server 3 min
'

# component_row NAME: prints folder, package and time of a component.
component_row() {
	local name folder package about
	while read -r name folder package about; do
		if [[ $name == "$1" ]]; then
			printf '%s %s %s\n' "$folder" "$package" "$about"
			return
		fi
	done <<<"$COMPONENTS"
	die "there is no component $1 (see: components.sh list)"
}

# linker_flags FOLDER: the -ldflags of a module. Kubernetes must know its version,
# or clients cannot parse what the API server answers at /version.
linker_flags() {
	local variable minor
	printf -- '-s -w'
	[[ $1 == kubernetes ]] || return 0
	minor=${KUBERNETES_VERSION#v1.}
	for variable in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		printf -- ' -X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=%s -X %s.gitTreeState=clean' \
			"$variable" "$KUBERNETES_VERSION" "$variable" "$variable" "${minor%%.*}" "$variable"
	done
}

# go_build NAME FOLDER PACKAGE: builds one component into $CACHED_OUT.
go_build() {
	cd "$TESTBED/go/$2"
	CGO_ENABLED=0 GOFLAGS='-mod=readonly -buildvcs=false -trimpath' \
		go build -ldflags "$(linker_flags "$2")" -o "$CACHED_OUT/$1" "$3"
}

# component NAME: prints the path of its program, building it first where needed.
component() {
	local name=$1 folder package about entry
	if [[ -n ${KUBEBUILDER_ASSETS-} && -x $KUBEBUILDER_ASSETS/$name ]]; then
		printf '%s\n' "$KUBEBUILDER_ASSETS/$name"
		return
	fi
	read -r folder package about <<<"$(component_row "$name")"
	need_go
	entry=$(cached --about "$about" --key "$(go env GOVERSION)" --key "$(linker_flags "$folder")" \
		"$name" "$TESTBED/go/$folder" -- go_build "$name" "$folder" "$package")
	printf '%s/%s\n' "$entry" "$name"
}

main() {
	local action=${1-} name path
	shift || true
	case $action in
	build) for name; do component "$name" >/dev/null; done ;;
	path)
		for name; do
			path=$(component "$name")
			printf '%s %s\n' "$name" "$path"
		done
		;;
	list) awk 'NF { print $1 }' <<<"$COMPONENTS" ;;
	*) die 'usage: components.sh build NAME... | path NAME... | list' ;;
	esac
}

# Sourced, it only lends its functions.
[[ ${BASH_SOURCE[0]} != "$0" ]] || main "$@"
