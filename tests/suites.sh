#!/usr/bin/env bash
# Runs suites (targets of the Makefile) one after the other, all of them even when one
# fails, and ends with a table of the time each took.
#
#   suites.sh NAME...
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

declare -a rows=()
passed=0 failed=0 total=0
for suite; do
	printf '\n=== %s\n' "$suite"
	start=$SECONDS
	if make --no-print-directory "$suite"; then
		result=passed passed=$((passed + 1))
	else
		result=FAILED failed=$((failed + 1))
	fi
	took=$((SECONDS - start)) total=$((total + SECONDS - start))
	rows+=("$suite $result $took")
done

printf '\n%-17s %-8s %8s %6s\n' suite result seconds share
for row in "${rows[@]}"; do
	read -r suite result took <<<"$row"
	printf '%-17s %-8s %8d %5d%%\n' "$suite" "$result" "$took" $((total > 0 ? took * 100 / total : 0))
done
printf '%-17s %-8s %8d\n\n' total '' "$total"
printf 'suites: %d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
