#!/usr/bin/env bash
# The bench: builds what it measures, measures mock-eci by itself (mock.sh), starts a control plane
# for the rest, prints the tables, leaves the figures in target/bench/, and removes the cluster again.
#
#   PODS=1000        pods in each run
#   ROUNDS=1         how often everything is repeated (the table shows medians)
#   SHAPES=small,spark
#   SUBJECTS=floor,kwok,virtual-node
set -euo pipefail
BENCH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$BENCH/../.." && pwd)
TESTBED=$ROOT/tests/testbed
# shellcheck source=tests/testbed/lib.sh
source "$TESTBED/lib.sh"
# shellcheck source=tests/testbed/components.sh
source "$TESTBED/components.sh"

PODS=${PODS:-1000} ROUNDS=${ROUNDS:-1} SHAPES=${SHAPES:-small,spark} SUBJECTS=${SUBJECTS:-floor,kwok,virtual-node}
OUT=$ROOT/target/bench

# kwok_stages: prints kwok's folder of stages, which comes with its source.
kwok_stages() {
	local folder
	cd "$TESTBED/go/kwok"
	folder=$(go mod download -json sigs.k8s.io/kwok | jq --raw-output .Dir)
	[[ -d $folder/kustomize/stage ]] || die "kwok's source has no stages in $folder"
	printf '%s\n' "$folder/kustomize/stage"
}

# build_measured: the programs, optimized.
build_measured() {
	need_cargo
	say 'building virtual-node, mock-eci and the bench …'
	run_long 'building virtual-node, mock-eci and the bench' "$VN_CACHE/logs/bench-cargo.log" \
		cargo build --release --locked --bins --manifest-path "$ROOT/Cargo.toml" -p virtual-node -p mock-eci -p bench
}

main() {
	local revision kwok=kwok stages=.
	need_root 'the bench'
	mkdir -p "$OUT" "$VN_CACHE/logs"
	exec {lock}>"$VN_CACHE/.bench.lock"
	flock --nonblock "$lock" || die 'another bench is running on this machine; two at once measure each other'
	"$TESTBED/setup.sh"
	build_measured
	"$BENCH/mock.sh" {lock}>&-
	if [[ ,$SUBJECTS, == *,kwok,* ]]; then
		kwok=$(component kwok)
		stages=$(kwok_stages)
	fi
	revision=$(git -C "$ROOT" describe --always --dirty 2>/dev/null || true)
	# The children must not hold the lock: daemons of a killed bench would keep it.
	"$TESTBED/with-cluster.sh" bench control-plane \
		"${CARGO_TARGET_DIR:-$ROOT/target}/release/bench" --pods "$PODS" --rounds "$ROUNDS" \
		--shapes "$SHAPES" --subjects "$SUBJECTS" --kwok "$kwok" --kwok-stages "$stages" \
		--revision "$revision" --out "$OUT" {lock}>&-
	say "the figures are in target/bench/bench-$PODS.json"
}

main "$@"
