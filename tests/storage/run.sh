#!/usr/bin/env bash
# Run the tests of files at addresses. PYTHON is the project's interpreter; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/../.."

# An environment of its own: with the storage plugins installed, every start of Snakemake is slower.
tests/own_environment.sh .venv/storage envs/requirements-storage-test.txt
exec .venv/storage/bin/python -m pytest -p no:cacheprovider tests/storage "$@"
