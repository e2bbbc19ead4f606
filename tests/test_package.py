"""What a user gets by `pip install .`: the package and its configs, usable away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_an_installed_wheel_brings_its_configs_and_models_and_loads_little(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a copy, as a build in the checkout would pack what earlier builds left there
    left_out = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    for folder in ("lcrnet_d2", "configs"):
        shutil.copytree(ROOT / folder, source / folder, ignore=left_out)
    for file in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, source)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, source],
        check=True,
        env={**os.environ, "PIP_NO_INDEX": "1"},
    )
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        "import sys, lcrnet_d2;"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'lcrnet_d2'));"
        "from lcrnet_d2.config import load_config;"
        "cfg = load_config('quick_schedules/lcrnet_lite0_demo.yaml');"
        "from detectron2.utils.file_io import PathManager;"
        "anchor_poses = PathManager.get_local_path('lcrnet://lcrnet_movenet_free/anchor_poses');"
        "print(lcrnet_d2.__file__, anchor_poses, cfg.MODEL.BACKBONE.NAME)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert out.returncode == 0, out.stderr
    file, anchor_poses, backbone = out.stdout.split()[-3:]
    assert Path(file).is_relative_to(site) and Path(anchor_poses).is_relative_to(site)
    assert backbone == "build_inverted_residuals_fpn_backbone"
    check_loaded(site / "lcrnet_d2", [Path(name) for name in out.stdout.splitlines()[-2].split()])


def check_loaded(package: Path, files: list[Path]) -> None:
    """At most 45 modules and 6,000 lines of the package: no renderer, no motion capture, no evaluation."""
    loaded = {file.relative_to(package).as_posix() for file in files}
    assert "modeling/roi_heads.py" in loaded and "data/synthetic/__init__.py" in loaded
    rooms = {name.split("/")[0] for name in loaded if "/" in name}
    assert rooms == {"checkpoint", "data", "modeling", "structures"}
    assert not loaded & {"data/synthetic/renderer.py", "data/synthetic/scene.py"}
    assert len(files) <= 45
    assert sum(len(file.read_text().splitlines()) for file in files) <= 6000


def test_a_missing_detectron2_is_explained(tmp_path: Path) -> None:
    (tmp_path / "detectron2").mkdir()
    (tmp_path / "detectron2" / "__init__.py").write_text("raise ImportError('not here')")
    out = subprocess.run(
        [sys.executable, "-c", "import lcrnet_d2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert out.returncode == 1 and "make setup" in out.stderr and "git+https" in out.stderr


def test_what_is_loaded_on_use_is_there() -> None:
    import lcrnet_d2

    for name in lcrnet_d2.__all__:
        assert getattr(lcrnet_d2, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'PosePredicter'"):
        _ = lcrnet_d2.PosePredicter
