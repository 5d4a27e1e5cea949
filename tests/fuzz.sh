#!/usr/bin/env bash
# Fuzzes the agent (fuzz/) and mock-eci (mock-eci/fuzz/): builds the targets with libFuzzer's instrumentation, which stable Rust
# has, and runs one after the other. Each starts from corpus/TARGET of its folder; what it finds goes to found/TARGET, and an
# input that fails to artifacts/TARGET.
#
#   fuzz.sh [TARGET...]  all of them without any
#   MINUTES=10           how long each is run
#   SEED=0               libFuzzer's seed; 0 = a new one
#   KEEP=1               afterwards make corpus/TARGET anew: a small set that covers as much
set -euo pipefail
TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$TESTS/.." && pwd)
# shellcheck source=tests/testbed/lib.sh
source "$TESTS/testbed/lib.sh"

MINUTES=${MINUTES:-10} SEED=${SEED:-0} KEEP=${KEEP:-}
# To libFuzzer, no time means without end.
[[ $MINUTES =~ ^[1-9][0-9]*$ ]] || die "MINUTES must be a number above zero, not '$MINUTES'"
FOLDERS=(mock-eci/fuzz fuzz)
# How many inputs of a target's corpus are kept at most, and their bytes: make test runs them all.
declare -A MOST=([mock-eci/fuzz]=300 [fuzz]=60)
MOST_BYTES=290000
# Inputs no longer than this are made up: enough for every parameter there is, little enough to be fast.
MAX_LEN=8192
HOST=x86_64-unknown-linux-gnu

# targets FOLDER
targets() {
	local file
	for file in "$ROOT/$1"/fuzz_targets/*.rs; do basename "$file" .rs; done
}

# folder_of TARGET
folder_of() {
	local folder
	for folder in "${FOLDERS[@]}"; do
		[[ ! -e $ROOT/$folder/fuzz_targets/$1.rs ]] || { printf '%s\n' "$folder" && return; }
	done
	die "there is no target '$1'"
}

# build FOLDER: its targets. What cargo-fuzz does with `--sanitizer none`: there is no unsafe code here for a sanitizer to watch.
build() {
	need_cargo
	need_command c++ 'libFuzzer is C++; on Debian: apt-get install g++'
	local flags=(--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
		-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
		-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1)
	# The versions that are shipped; cargo adds what only the targets need.
	cp "$ROOT/Cargo.lock" "$ROOT/$1/Cargo.lock"
	# With --target, so that the flags are not those of build scripts.
	RUSTFLAGS="${RUSTFLAGS:-} ${flags[*]}" cargo build --release --bins --target "$HOST" \
		--manifest-path "$ROOT/$1/Cargo.toml" --target-dir "$OUT"
}

# fuzz FOLDER TARGET
fuzz() {
	local folder=$1 target=$2 found=$ROOT/$1/found/$2 artifacts=$ROOT/$1/artifacts/$2
	mkdir -p "$found" "$artifacts"
	say "fuzzing $target for $MINUTES minutes …"
	# 1 GiB, and two minutes for one input (which takes milliseconds, but libFuzzer's clock is the wall's, and the machine may be
	# busy): nothing may grow without bound or hang.
	"$BIN/$target" -max_total_time=$((MINUTES * 60)) -max_len="$MAX_LEN" -seed="$SEED" -rss_limit_mb=1024 -timeout=120 \
		-print_final_stats=1 -artifact_prefix="$artifacts/" "$found" "$ROOT/$folder/corpus/$target" 2>"$artifacts/log" ||
		die "$target failed; the input is in $folder/artifacts/$target/$(printf '\n%s' "$(tail -n 30 "$artifacts/log")")"
	grep -E '^stat::(number_of_executed_units|average_exec_per_sec|peak_rss_mb)|cov: .* DONE|DONE .*cov:' "$artifacts/log" >&2 || true
}

# keep FOLDER TARGET: replaces its corpus by a small set of inputs that reaches as much; of too many the shortest.
keep() {
	local target=$2 corpus=$ROOT/$1/corpus/$2 smallest
	smallest=$(mktemp -d)
	"$BIN/$target" -set_cover_merge=1 -max_len="$MAX_LEN" "$smallest" "$corpus" "$ROOT/$1/found/$target" 2>/dev/null
	find "$smallest" -type f -printf '%s %p\n' | sort -n |
		awk -v most="${MOST[$1]}" -v bytes="$MOST_BYTES" '{ sum += $1 } NR > most || sum > bytes { print $2 }' |
		xargs --no-run-if-empty rm
	rm -r "$corpus"
	mv "$smallest" "$corpus"
	chmod 755 "$corpus"
	say "$target: $(find "$corpus" -type f | wc -l) inputs, $(du -sb "$corpus" | cut -f1) bytes"
}

main() {
	OUT=${CARGO_TARGET_DIR:-$ROOT/target}/fuzz
	BIN=$OUT/$HOST/release
	local folder target built=
	if (($# == 0)); then
		for folder in "${FOLDERS[@]}"; do
			# shellcheck disable=SC2046 # names without spaces
			set -- "$@" $(targets "$folder")
		done
	fi
	for target; do
		folder=$(folder_of "$target")
		if [[ $built != *" $folder "* ]]; then
			build "$folder"
			built+=" $folder "
		fi
		fuzz "$folder" "$target"
		if [[ $KEEP ]]; then keep "$folder" "$target"; fi
	done
}

main "$@"
