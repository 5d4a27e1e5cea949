# shellcheck shell=bash
# An S3 store over a folder: what jobs read and write.

start_store() {
	# Beside what jobs make for themselves, the bucket of the log archive.
	mkdir -p "$STATE/s3/$LOG_BUCKET"
	ROOT_ACCESS_KEY=$STORE_ACCESS_KEY ROOT_SECRET_KEY=$STORE_SECRET_KEY \
		start_daemon store "$STATE/bin/versitygw" --port "$STORE_IP:7070" --region "$REGION" \
		--health /health posix "$STATE/s3"
}
ready_store() { wait_ready store 30 http_ok "$STORE_URL/health"; }
