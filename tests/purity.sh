#!/usr/bin/env bash
# Checks what the crates may depend on: `provider` is pure (no async, clock, IO or client),
# and mock-eci decodes the wire by itself, so that client and mock can disagree.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# forbid CRATE PATTERN WHY: fails when a dependency of CRATE matches PATTERN.
forbid() {
	local found
	found=$(cargo tree --locked --package "$1" --edges normal --prefix none --format '{p}' | awk 'NR > 1 { print $1 }' |
		sort -u | grep -xE "$2" || true)
	if [[ -n $found ]]; then
		echo "error: $1 must not depend on: $(paste -sd ' ' <<<"$found") ($3)" >&2
		return 1
	fi
}

forbid provider 'tokio.*|async-.*|futures.*|kube|kube-.*|reqwest|hyper.*|axum|mio|socket2|rustls|eci|mock-eci|virtual-node' \
	'it is pure: no async, IO or client'
forbid mock-eci 'provider|eci|virtual-node' 'it stands alone'
