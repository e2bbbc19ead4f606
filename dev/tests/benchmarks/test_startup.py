from __future__ import annotations

import subprocess
import sys

from benchmarks.startup import PARTS


def test_what_few_programs_need_is_imported_on_use() -> None:
    """scikit-learn, plotting and scipy together take longer to import than all of this package."""
    code = (
        f"import sys; {PARTS}; before = set(sys.modules); import lcrnet_d2;"
        "print(sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    added = out.splitlines()[-1]
    assert "lcrnet_d2" in added
    for heavy in ("sklearn", "matplotlib", "scipy", "pandas", "onnx"):
        assert f"'{heavy}'" not in added
