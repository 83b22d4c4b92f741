#!/usr/bin/env bash
# Run the tests of exports and of the notebooks. PYTHON is the project's interpreter; arguments go to
# pytest.
set -euo pipefail
cd "$(dirname "$0")/../.."

# An environment of its own: anndata takes another version of pandas than the other tests.
tests/own_environment.sh .venv/export envs/requirements-export-test.txt
exec .venv/export/bin/python -m pytest -p no:cacheprovider tests/export "$@"
