#!/bin/bash
# The preStop hook that Spark gives its executors when decommissioning is on: tells the
# executor to move its blocks away (SIGPWR) and waits, a minute at most, until it is gone.
set -uo pipefail

executor=$(pgrep --full --oldest '^[^ ]*java .*KubernetesExecutorBackend') || {
	echo 'decom.sh: no executor runs here' >&2
	exit 0
}
echo "decom.sh: decommissioning the executor, pid $executor"
kill -PWR "$executor"
timeout 60 tail --pid="$executor" --follow /dev/null
