#!/usr/bin/env bash
# Installs Detectron2 from PyPI into a Python, where it goes by the name sal-detectron2: upstream of 2024-04-17 with one
# bug fix. Its wheel is tagged for Python 3.10 because of compiled ops that LCR-Net does not use; the rest is plain Python.
# usage: tools/install_detectron2.sh [PYTHON]
set -euo pipefail
python=${1:-python3}
if "$python" -c "import detectron2" 2>/dev/null; then exit 0; fi
target=$("$python" -c "import sysconfig; print(sysconfig.get_paths()['purelib'])")
"$python" -m pip install -q --disable-pip-version-check --no-deps --target "$target" --only-binary=:all: \
    --python-version 3.10 --implementation cp --abi none --platform any sal-detectron2==0.7.2
"$python" -c "import detectron2"
