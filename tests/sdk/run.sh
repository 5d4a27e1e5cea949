#!/usr/bin/env bash
# mock-eci against the official SDKs: Python's `alibabacloud_eci20180808` (ACS3-HMAC-SHA256, and
# HMAC-SHA1 in its v2 mode) and `aliyun-python-sdk-eci` (HMAC-SHA1), Go's
# `alibaba-cloud-sdk-go`; and the examples for users.
#
#   run.sh [TEST...]      names as unittest takes them, such as test_examples.Go
#   run.sh java           the example in Java
#
# SDKS=tea,go makes the script run with these alone (tea, tea-v2, old, go).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/testbed/lib.sh
source tests/testbed/lib.sh

need_cargo
need_command python3 'install Python 3.9 or later with its venv module (Debian: python3-venv)'

make_venv() {
	python_venv tests/sdk/requirements.txt
}

make_go() {
	go -C tests/sdk/go build -o "$CACHED_OUT/driver" .
	go -C tests/sdk/go build -o "$CACHED_OUT/example" "$PWD/mock-eci/examples/go/main.go"
}

make_java() {
	mvn --batch-mode --quiet --file mock-eci/examples/java/pom.xml \
		dependency:build-classpath -Dmdep.outputFile="$CACHED_OUT/classpath"
}

# A virtual environment is of one Python; moved to its place it still works when called by its python.
venv=$(cached --about '20 s' --text 'installing the official SDKs for Python' --key "$(python3 -V)" \
	sdk-venv tests/sdk/requirements.txt -- make_venv)/venv
tests=(test_authentication test_script test_config_files test_exec test_examples)

if [[ ${1-} == java ]]; then
	need_command javac 'install a JDK, 17 or later (Debian: default-jdk-headless)'
	need_command mvn 'install Maven (Debian: maven)'
	classpath=$(cached --about '20 s' --text 'fetching the official SDK for Java' \
		sdk-java mock-eci/examples/java/pom.xml -- make_java)/classpath
	JAVA_SDK_CLASSPATH=$(<"$classpath")
	export JAVA_SDK_CLASSPATH
	tests=(test_java)
	shift
else
	need_go
	go=$(cached --about '1 min' --text 'building the official SDK for Go' --key "$(go env GOVERSION)" \
		sdk-go tests/sdk/go mock-eci/examples/go -- make_go)
	export GO_SDK_DRIVER=$go/driver GO_SDK_EXAMPLE=$go/example
fi
(($# == 0)) || tests=("$@")

cargo build --quiet --package mock-eci
MOCK_ECI=$(realpath "${CARGO_TARGET_DIR:-target}")/debug/mock-eci
export MOCK_ECI
cd tests/sdk
exec "$venv/bin/python" -B -m unittest -v "${tests[@]}"
