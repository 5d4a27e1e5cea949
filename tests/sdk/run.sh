#!/usr/bin/env bash
# mock-eci against the official Python SDKs: `alibabacloud_eci20180808` (ACS3-HMAC-SHA256,
# and HMAC-SHA1 in its v2 mode) and `aliyun-python-sdk-eci` (HMAC-SHA1).
#
#   run.sh [TEST...]      names as unittest takes them, such as TeaSdk.test_life
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/testbed/lib.sh
source tests/testbed/lib.sh

need_cargo
need_command python3 'install Python 3.9 or later with its venv module (Debian: python3-venv)'

make_venv() {
	python3 -m venv "$CACHED_OUT/venv"
	"$CACHED_OUT/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
		--requirement tests/sdk/requirements.txt
}

# A virtual environment is of one Python; moved to its place it still works when called by its python.
venv=$(cached --about '20 s' --text 'installing the official SDKs' --key "$(python3 -V)" \
	sdk-venv tests/sdk/requirements.txt -- make_venv)/venv

cargo build --quiet --package mock-eci
MOCK_ECI=${CARGO_TARGET_DIR:-target}/debug/mock-eci exec "$venv/bin/python" tests/sdk/test_sdk.py "$@"
