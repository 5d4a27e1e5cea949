#!/usr/bin/env bash
# Measures mock-eci alone, with simulated groups: no control plane, no root. Prints the table and leaves the
# figures in target/bench/mock-<COUNT>.json.
#
#   COUNT=20000      groups of the run that counts
#   FEW=1000         groups of the run it is compared with
#   REPEATS=4000     how often each of the smaller questions is asked
set -euo pipefail
BENCH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$BENCH/../.." && pwd)
# shellcheck source=tests/testbed/lib.sh
source "$ROOT/tests/testbed/lib.sh"

COUNT=${COUNT:-20000} FEW=${FEW:-1000} REPEATS=${REPEATS:-4000}
OUT=$ROOT/target/bench

main() {
	mkdir -p "$OUT"
	need_cargo
	cargo build --release --quiet --locked --manifest-path "$ROOT/Cargo.toml" -p mock-eci -p measure
	"${CARGO_TARGET_DIR:-$ROOT/target}/release/bench-mock" --groups "$COUNT" --few "$FEW" --repeats "$REPEATS" \
		--revision "$(git -C "$ROOT" describe --always --dirty 2>/dev/null || true)" --out "$OUT"
	say "the figures are in target/bench/mock-$COUNT.json"
}

main "$@"
