#!/usr/bin/env bash
# Whether envs/requirements-gpu.txt can be installed on a GPU machine from wheels alone, for each Python:
# pip resolves it for Linux, and installs nothing.
set -euo pipefail
python=$1
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# What is published as source only is built here first; it is pure Python.
source_only=$(sed -n 's/^--no-binary \([a-z_]*\).*/\1/p' envs/requirements-gpu.txt)
"$python" -m pip wheel -q --disable-pip-version-check --no-deps --wheel-dir "$folder" "$source_only"
grep -v '^--' envs/requirements-gpu.txt >"$folder/requirements.txt"
# What a Linux with glibc 2.28 takes.
platforms=()
for name in manylinux_2_{28,27,24,17,12,5}_x86_64 manylinux{2014,2010,1}_x86_64 linux_x86_64; do
    platforms+=(--platform "$name")
done
for version in 3.11 3.12; do
    "$python" -m pip install -q --disable-pip-version-check --dry-run --target "$folder/none" \
        --only-binary :all: --find-links "$folder" --python-version "$version" \
        "${platforms[@]}" -r "$folder/requirements.txt"
    echo "Python $version: envs/requirements-gpu.txt is wheels only"
done
