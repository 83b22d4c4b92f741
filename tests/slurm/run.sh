#!/usr/bin/env bash
# Run the tests on a private SLURM. Without root or Debian: one line, and no failure unless CI=true.
# PYTHON is the project's interpreter; ACCOUNTING=true also installs what accounting needs; arguments go
# to pytest.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() {
    if [ "${CI:-}" = true ]; then
        echo "error: the SLURM tests cannot run: $1" >&2
        exit 1
    fi
    echo "skipped: the SLURM tests: $1"
    exit 0
}

packages="slurm-wlm munge"
[ "${ACCOUNTING:-}" != true ] || packages+=" slurmdbd mariadb-server"
names=${packages// / and }

missing_commands() { "$PYTHON" tests/slurm/cluster.py "${ACCOUNTING:-}"; }

[ "$(id -u)" = 0 ] || skip "a private SLURM needs root"
if [ -n "$(missing_commands)" ]; then
    command -v apt-get >/dev/null || skip "SLURM is missing, and this is not Debian"
    echo "Installing $names from Debian ..."
    # Run level 1: the packages start no daemons of their own.
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    # shellcheck disable=SC2086  # a list of names
    { apt-get update -qq && apt-get install -qq -y --no-install-recommends $packages; } \
        >/dev/null || skip "apt-get could not install $names"
    missing=$(missing_commands)
    [ -z "$missing" ] || skip "$names are installed, but not $missing"
fi

# An environment of its own on top of the project's: with the executor plugin installed, every start
# of Snakemake asks SLURM's controller for its configuration.
tests/own_environment.sh .venv/slurm envs/requirements-slurm.txt
exec .venv/slurm/bin/python -m pytest -p no:cacheprovider tests/slurm "$@"
