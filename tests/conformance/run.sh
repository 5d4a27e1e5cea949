#!/usr/bin/env bash
# Kubernetes' own node conformance tests (k8s.io/kubernetes/test/e2e) against one kind of node.
#
#   run.sh ours [NAME...]      a cluster whose only node is the virtual node, with real containers
#   run.sh kubelet [NAME...]   a cluster whose only node is a real kubelet with containerd, and the same images
#
# NAMEs are words of tests' names, or --short for those in short.txt; without any, all tests of the focus run.
# The result is in target/conformance/COLUMN/report.json (Ginkgo's form) and junit.xml. The exit code does not
# say whether tests passed, only whether they ran: report.py judges them.
#
#   AGAIN=1                    keeps what is there and adds to it: for tests whose first run was disturbed
#
#   PROCS=12                   so many tests at once: most of them wait
#   FOCUS='\[sig-node\].*\[NodeConformance\]'
#   SKIP=…                     for example '\[Slow\]'
#   OUT=target/conformance
set -euo pipefail
CONFORMANCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$CONFORMANCE/../.." && pwd)
TESTBED=$ROOT/tests/testbed
# shellcheck source=tests/testbed/lib.sh
source "$TESTBED/lib.sh"

# These two pull an image that no registry here has, and the suite gives them no time of their own to fail in.
LEFT_OUT='should be able to pull (image|from private registry with secret)'

# regular NAME: as a regular expression that matches nothing else.
# shellcheck disable=SC2001,SC2016 # a pattern that bash has no form for
regular() { sed 's/[][\\.*^$+?(){}|]/\\&/g' <<<"$1"; }

# focus NAME...: the regular expression of the tests to run.
focus() {
	local name names=''
	for name; do names+="|$(regular "$name")"; done
	if [[ -n $names ]]; then
		printf '(%s)' "${names#|}"
	else
		printf '%s' "${FOCUS:-\[sig-node\].*\[NodeConformance\]}"
	fi
}

# inside OUT ARCHIVE... -- NAME...: within the cluster: loads the images and runs the tests.
inside() {
	local out=$1 name=report
	shift
	[[ -z ${AGAIN-} ]] || name=report-again-$(date +%s)
	while [[ $1 != -- ]]; do
		"$TESTBED/cluster.sh" load "$1" >&2
		shift
	done
	shift
	# Ginkgo's exit code is not ours: a test that fails is a result.
	"$PROGRAMS/ginkgo" run --procs="${PROCS:-12}" --no-color --silence-skips --poll-progress-after=10m --timeout=4h --keep-going --output-dir="$out" \
		--json-report="$name.json" --junit-report="${name/report/junit}.xml" --focus="$(focus "$@")" --skip="$LEFT_OUT" ${SKIP:+--skip="$SKIP"} \
		"$PROGRAMS/e2e.test" -- --kubeconfig="$KUBECONFIG" --kubectl-path="$VN_STATE/bin/kubectl" --disable-log-dump ||
		say "some tests failed"
	[[ -s $out/$name.json ]] || die "the tests did not run"
}

main() {
	local column=${1-} parts out
	local -a archives short
	case $column in
	--inside)
		inside "${@:2}"
		return
		;;
	ours) parts=control-plane,dns,engine,cloud,node ;;
	kubelet) parts=control-plane,dns,worker ;;
	*) die 'usage: run.sh ours|kubelet [NAME...]' ;;
	esac
	shift
	if [[ ${1-} == --short ]]; then
		mapfile -t short < <(grep -v '^#' "$CONFORMANCE/short.txt")
		set -- "${short[@]}"
	fi
	out=${OUT:-$ROOT/target/conformance}/$column
	PROGRAMS=$("$CONFORMANCE/programs.sh")
	export PROGRAMS
	"$CONFORMANCE/images.sh" >/dev/null
	mapfile -t archives < <("$CONFORMANCE/images.sh")
	if [[ $column == ours && -z ${VN_BIN_DIR-} ]]; then
		cargo build --locked --manifest-path "$ROOT/Cargo.toml" -p virtual-node -p mock-eci
		export VN_BIN_DIR=${CARGO_TARGET_DIR:-$ROOT/target}/debug
	fi
	[[ -n ${AGAIN-} ]] || rm -rf "$out"
	mkdir -p "$out"
	"$TESTBED/with-cluster.sh" "conf-$column" "$parts" "$CONFORMANCE/run.sh" --inside "$out" "${archives[@]}" -- "$@"
}

main "$@"
