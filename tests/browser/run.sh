#!/usr/bin/env bash
# Run the tests of the report page in Chromium. Without Chromium, root or Debian: one line, and no
# failure unless CI=true. PYTHON is the project's interpreter; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() {
    if [ "${CI:-}" = true ]; then
        echo "error: the tests of the report page cannot run: $1" >&2
        exit 1
    fi
    echo "skipped: the tests of the report page: $1"
    exit 0
}

if ! command -v chromium >/dev/null; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || skip "Chromium is missing (apt-get install chromium)"
    echo "Installing chromium from Debian ..."
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; } \
        >/dev/null || skip "apt-get could not install chromium"
fi

# An environment of its own: the driver brings a runtime of 50 MB that no other test needs.
tests/own_environment.sh .venv/browser envs/requirements-browser-test.txt
exec .venv/browser/bin/python -m pytest -p no:cacheprovider tests/browser "$@"
