#!/usr/bin/env bash
# Make a folder with what a bare GPU machine needs beside this repository to run the measurements: wheels of
# packages that images with torch lack. It must have Python 3.12, torch with CUDA, triton, pyarrow, psutil, PyYAML
# and tqdm, and needs no network.
#   tests/gpu/prepare.sh FOLDER, here; then there the command that this prints
set -euo pipefail
folder=${1:?usage: tests/gpu/prepare.sh FOLDER}
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
names="vtx evo2 biopython einops jsonschema jsonschema-specifications referencing rpds-py attrs pyfaidx packaging"
pins=()
for name in $names; do
    pins+=("$(grep -m 1 -E "^$name==" "$root/envs/requirements.txt" | cut -d ' ' -f 1)")
done
platforms=()
for name in manylinux_2_{28,27,17}_x86_64 manylinux{2014,1}_x86_64; do
    platforms+=(--platform "$name")
done
mkdir -p "$folder"
"$python" -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: --dest "$folder" \
    --python-version 3.12 "${platforms[@]}" "${pins[@]}"
echo "python3 -m pip install -q --no-index --no-deps --target /tmp/packages $folder/*.whl &&" \
    "PYTHONPATH=/tmp/packages python3 tests/gpu/measure.py"
