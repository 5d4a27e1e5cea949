#!/usr/bin/env bash
# Spark jobs for programs that run in a cluster already (cluster.sh exec), such as the tests of `make mixed`:
#
#   spark.sh load                          loads the image into every runtime, and prints its name
#   spark.sh prepare                       who drivers are, and the keys of the store
#   spark.sh bucket BUCKET                 makes a bucket of the store
#   spark.sh put BUCKET/KEY                stores stdin, which must be a file
#   spark.sh submit IMAGE NAME ARGUMENT... see submit in job.sh
#
# JOB_NAMESPACE is where jobs are; it must exist.
set -euo pipefail
# shellcheck source=tests/testbed/spark/job.sh
source "$(dirname "${BASH_SOURCE[0]}")/job.sh"

case ${1-} in
load) load_spark ;;
prepare) prepare_jobs ;;
bucket) s3 make-bucket "$2" ;;
put) s3 put "$2" ;;
submit) submit "$2" "$(api_server)" "${@:3}" ;;
*) die 'usage: spark.sh load | prepare | bucket BUCKET | put BUCKET/KEY | submit IMAGE NAME ARGUMENT...' ;;
esac
