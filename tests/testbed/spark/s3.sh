#!/usr/bin/env bash
# A few S3 calls with nothing but curl; runs inside the testbed (cluster.sh exec), which
# sets the endpoint and the keys.
#
#   s3.sh make-bucket BUCKET
#   s3.sh make-folder BUCKET/KEY/  an empty object, which readers of file systems take for a folder
#   s3.sh put BUCKET/KEY           from stdin, which must be a file: its size is sent first
#   s3.sh get BUCKET/KEY           to stdout
#   s3.sh delete BUCKET/KEY
#   s3.sh list BUCKET PREFIX       the keys, one a line, in byte order
set -euo pipefail

# request METHOD PATH [CURL_OPTION...]
request() {
	# The keys come by a descriptor: an argument would show in `ps`.
	curl --silent --show-error --fail --aws-sigv4 "aws:amz:$AWS_REGION:s3" \
		--header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' --request "$1" "${@:3}" \
		--config <(printf 'user = "%s:%s"\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY") \
		"$AWS_ENDPOINT_URL/$2"
}

# list BUCKET PREFIX: follows the pages; keys of the testbed need no XML unescaping.
list() {
	local page after=''
	while :; do
		# In the order of their names, as signing wants them.
		page=$(request GET "$1?list-type=2&prefix=${2//\//%2F}${after:+&start-after=${after//\//%2F}}")
		grep -o '<Key>[^<]*' <<<"$page" | cut -c 6- || true
		grep -q '<IsTruncated>true' <<<"$page" || return 0
		after=$(grep -o '<Key>[^<]*' <<<"$page" | cut -c 6- | tail -n 1)
	done
}

case ${1-} in
make-bucket) request PUT "$2" >&2 ;;
make-folder) request PUT "$2" --header 'Content-Length: 0' >&2 ;;
put) request PUT "$2" --upload-file /dev/stdin >&2 ;;
get) request GET "$2" ;;
delete) request DELETE "$2" >&2 ;;
list) list "$2" "$3" ;;
*)
	echo 'usage: s3.sh make-bucket BUCKET | make-folder BUCKET/KEY/ | put BUCKET/KEY | get BUCKET/KEY | delete BUCKET/KEY | list BUCKET PREFIX' >&2
	exit 2
	;;
esac
