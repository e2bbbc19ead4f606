from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lcrnet_d2.outputs.rerun_log import log_people
from lcrnet_d2.outputs.skeleton_conversion import convert_people
from people_support import standing_people

rerun = pytest.importorskip("rerun")
IMAGE = np.full((240, 320, 3), 90, np.uint8)


def test_a_recording_of_two_frames_with_a_joint_that_cannot_be_had(tmp_path: Path) -> None:
    recording = rerun.RecordingStream("lcrnet_test")
    recording.save(tmp_path / "poses.rrd")
    log_people(recording, IMAGE, convert_people(standing_people(2), "COCO17"), frame=0)
    log_people(recording, IMAGE, standing_people(0), frame=1)
    recording.flush()
    content = (tmp_path / "poses.rrd").read_bytes()
    assert content[:3] == b"RRF" and b"/people/2/joints" in content and b"/camera/image/1/bones" in content
