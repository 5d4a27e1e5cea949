#!/usr/bin/env bash
# Fuzzes mock-eci: builds the targets with libFuzzer's instrumentation, which stable Rust has, and runs one after the other.
# It starts from corpus/TARGET; what it finds goes to found/TARGET, and an input that fails to artifacts/TARGET.
#
#   run.sh [TARGET...]   all of them without any
#   MINUTES=10           how long each is run
#   SEED=0               libFuzzer's seed; 0 = a new one
#   KEEP=1               afterwards make corpus/TARGET anew: a small set that covers as much
set -euo pipefail
FUZZ=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/testbed/lib.sh
source "$FUZZ/../../tests/testbed/lib.sh"

MINUTES=${MINUTES:-10} SEED=${SEED:-0} KEEP=${KEEP:-}
TARGETS=(params signature_v1 signature_v3 page_tokens)
HOST=x86_64-unknown-linux-gnu
# Inputs no longer than this are made up: enough for every parameter there is, little enough to be fast.
MAX_LEN=8192
# Most inputs of a corpus that is kept, and their bytes: make test runs them all.
MOST=300 MOST_BYTES=290000

# build: the targets. What cargo-fuzz does with `--sanitizer none`: there is no unsafe code here for a sanitizer to watch.
build() {
	need_cargo
	need_command c++ 'libFuzzer is C++; on Debian: apt-get install g++'
	local flags=(--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
		-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
		-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1)
	# The versions that are shipped; cargo adds what only the targets need.
	cp "$FUZZ/../../Cargo.lock" "$FUZZ/Cargo.lock"
	# With --target, so that the flags are not those of build scripts.
	RUSTFLAGS="${RUSTFLAGS:-} ${flags[*]}" cargo build --release --bins --target "$HOST" \
		--manifest-path "$FUZZ/Cargo.toml" --target-dir "$OUT"
}

# fuzz TARGET
fuzz() {
	local target=$1 found=$FUZZ/found/$1 artifacts=$FUZZ/artifacts/$1
	mkdir -p "$found" "$artifacts"
	say "fuzzing $target for $MINUTES minutes …"
	# 1 GiB, and two minutes for one input (which takes milliseconds, but libFuzzer's clock is the wall's, and the machine may be
	# busy): nothing may grow without bound or hang.
	"$BIN/$target" -max_total_time=$((MINUTES * 60)) -max_len="$MAX_LEN" -seed="$SEED" -rss_limit_mb=1024 -timeout=120 \
		-print_final_stats=1 -artifact_prefix="$artifacts/" "$found" "$FUZZ/corpus/$target" 2>"$artifacts/log" ||
		die "$target failed; the input is in mock-eci/fuzz/artifacts/$target/$(printf '\n%s' "$(tail -n 30 "$artifacts/log")")"
	grep -E '^stat::(number_of_executed_units|average_exec_per_sec|peak_rss_mb)|cov: .* DONE|DONE .*cov:' "$artifacts/log" >&2 || true
}

# keep TARGET: replaces its corpus by a small set of inputs that reaches as much; of too many the shortest.
keep() {
	local target=$1 smallest
	smallest=$(mktemp -d)
	"$BIN/$target" -set_cover_merge=1 -max_len="$MAX_LEN" "$smallest" "$FUZZ/corpus/$target" "$FUZZ/found/$target" 2>/dev/null
	find "$smallest" -type f -printf '%s %p\n' | sort -n |
		awk -v most="$MOST" -v bytes="$MOST_BYTES" '{ sum += $1 } NR > most || sum > bytes { print $2 }' |
		xargs --no-run-if-empty rm
	rm -r "$FUZZ/corpus/$target"
	mv "$smallest" "$FUZZ/corpus/$target"
	chmod 755 "$FUZZ/corpus/$target"
	say "$target: $(find "$FUZZ/corpus/$target" -type f | wc -l) inputs, $(du -sb "$FUZZ/corpus/$target" | cut -f1) bytes"
}

main() {
	OUT=${CARGO_TARGET_DIR:-$FUZZ/../../target}/fuzz
	BIN=$OUT/$HOST/release
	build
	(($#)) || set -- "${TARGETS[@]}"
	local target
	for target; do
		fuzz "$target"
		if [[ $KEEP ]]; then keep "$target"; fi
	done
}

main "$@"
