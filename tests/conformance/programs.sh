#!/usr/bin/env bash
# The programs that the node conformance tests need, built from the Go module proxy and kept in the cache.
#
#   programs.sh      builds what is missing and prints the folder of all of them
set -euo pipefail
CONFORMANCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbed/lib.sh
source "$CONFORMANCE/../testbed/lib.sh"
# shellcheck source=tests/testbed/components.sh
source "$CONFORMANCE/../testbed/components.sh"

# build: fills $CACHED_OUT with the suite, the runner that spreads it over processes, and what its images run.
build() {
	local flags
	flags=$(linker_flags kubernetes)
	cd "$CONFORMANCE/go"
	export CGO_ENABLED=0 GOFLAGS='-mod=readonly -buildvcs=false -trimpath'
	go test -c -vet=off -ldflags "$flags" -o "$CACHED_OUT/e2e.test" ./suite
	go build -ldflags "$flags" -o "$CACHED_OUT/ginkgo" github.com/onsi/ginkgo/v2/ginkgo
	go build -ldflags "$flags" -o "$CACHED_OUT/agnhost" k8s.io/kubernetes/test/images/agnhost
	go build -ldflags "$flags" -o "$CACHED_OUT/nnp" k8s.io/kubernetes/test/images/nonewprivs
	cp "$(go list -m -f '{{.Dir}}' k8s.io/kubernetes)"/test/images/agnhost/porter/localhost.{crt,key} "$CACHED_OUT"
	chmod u+w "$CACHED_OUT"/localhost.*
}

need_go
cached --about '6 min' --text "building Kubernetes' node tests" --key "$(go env GOVERSION)" --key "$(linker_flags kubernetes)" \
	conformance-programs "$CONFORMANCE/go" -- build
