#!/usr/bin/env bash
# What `make test` runs of TPC-DS: the heavy queries, and those whose results are odd to compare (ties at the cut, a NULL alone in its
# row, two columns of one name); and afterwards the history server.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

QUERIES=q4,q6,q9,q11,q14a,q23b,q24a,q39a,q51,q64,q67,q72,q75,q78,q80,q95 \
	VN_TPCDS_AFTERWARDS=$HERE/history.sh exec "$HERE/run.sh"
