#!/usr/bin/env bash
# Make an environment on top of the project's, unless it is there and newer than its requirements:
# own_environment.sh FOLDER REQUIREMENTS. PYTHON is the project's interpreter.
set -euo pipefail
environment=$1 requirements=$2
if [ ! -e "$environment/.done" ] || [ -n "$(find envs -newer "$environment/.done")" ]; then
    "$PYTHON" -m venv --clear "$environment"
    site='import sysconfig; print(sysconfig.get_path("purelib"))'
    echo "import site; site.addsitedir('$("$PYTHON" -c "$site")')" \
        > "$("$environment/bin/python" -c "$site")/project.pth"
    "$environment/bin/python" -m pip install -qq --disable-pip-version-check --no-deps \
        -r "$requirements"
    touch "$environment/.done"
fi
