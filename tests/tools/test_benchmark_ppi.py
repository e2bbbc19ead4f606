from __future__ import annotations

import benchmark_ppi
import pytest

from lcrnet_d2 import integrate_pose_proposals


def test_the_scene_has_as_many_people_as_asked(capsys: pytest.CaptureFixture[str]) -> None:
    people = integrate_pose_proposals(*benchmark_ppi.make_scene(2000, 8, seed=0), benchmark_ppi.IMAGE_SIZE)
    assert len(people.scores) == 8
    benchmark_ppi.main(["--proposals", "500", "--runs", "2"])
    assert "500 proposals" in capsys.readouterr().out
