import pytest
from detectron2.evaluation import print_csv_format
from detectron2.utils import comm

from lcrnet_d2.evaluation.protocol_evaluator import ProtocolEvaluator
from lcrnet_d2.evaluation.protocols import PROTOCOL_NAMES, build_protocol
from lcrnet_d2.structures import BODY13


@pytest.fixture
def walk(drawn):
    """Five frames of Human3.6M with one person each, found 13 mm off in depth (9 of 13 joints) in all but the last."""
    records, outputs = [], []
    for i in range(5):
        marks = {"subject": "S11", "action": "Walking", "camera_serial": "55011271", "frame": 64 * i, "trial": 1}
        records.append(drawn.record([drawn.person((150, 130))], i, **marks))
        pose = drawn.standing()
        pose[[j for j in range(13) if j not in BODY13.torso], 2] += 0.013
        found = i < 4
        outputs.append(drawn.output([drawn.pose_2d((150, 130))] * found, poses_3d=[pose] * found if found else None))
    return records, outputs


def run(evaluator, records, outputs, rows=range(5)):
    evaluator.reset()
    for i in rows:
        evaluator.process([records[i]], [outputs[i]])
    return evaluator.evaluate()


def test_results_go_through_detectron2s_table_and_into_files(walk, registered, tmp_path, caplog):
    evaluator = ProtocolEvaluator(
        registered(walk[0]), BODY13, build_protocol("human36m_p1", BODY13), output_dir=tmp_path / "out"
    )
    results = run(evaluator, *walk)
    assert results["human36m_p1_ppi"]["mpjpe_mm"] == pytest.approx(9, abs=1e-3)
    assert results["human36m_p1_ppi"]["coverage"] == 80
    assert "coverage" in (tmp_path / "out" / "report.md").read_text()
    assert (tmp_path / "out" / "pose_predictions.json").is_file()
    with caplog.at_level("INFO", logger="detectron2.evaluation.testing"):
        print_csv_format(results)
    assert "mpjpe_mm_mean_of_actions" in caplog.text


def test_splitting_over_processes_changes_nothing(walk, registered, monkeypatch):
    name, protocol = registered(walk[0]), build_protocol("human36m_p1", BODY13)
    alone = run(ProtocolEvaluator(name, BODY13, protocol), *walk)
    other = ProtocolEvaluator(name, BODY13, protocol, distributed=False)
    for i in (3, 4, 0):  # frame 0 comes twice: samplers pad
        other.process([walk[0][i]], [walk[1][i]])
    monkeypatch.setattr(comm, "gather", lambda data, dst=0: [data, other._predictions])
    split = run(ProtocolEvaluator(name, BODY13, protocol), *walk, rows=(0, 1, 2))
    assert alone["human36m_p1_nms"]["coverage"] == 80
    assert {task: pytest.approx(row, nan_ok=True) for task, row in alone.items()} == split
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    assert run(ProtocolEvaluator(name, BODY13, protocol), *walk) == {}


def test_images_not_processed_count_as_without_detections(walk, registered, caplog):
    evaluator = ProtocolEvaluator(registered(walk[0]), BODY13, build_protocol("human36m_p1", BODY13))
    results = run(evaluator, *walk, rows=(0, 1))
    assert results["human36m_p1_nms"]["coverage"] == 40 and "3 of 5 images were not processed" in caplog.text


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="not registered"):
        ProtocolEvaluator("nowhere", BODY13, build_protocol("pck_3d", BODY13))
    with pytest.raises(ValueError, match="known are human36m"):
        build_protocol("p4", BODY13)
    with pytest.raises(ValueError, match="place"):
        build_protocol("camera_space", BODY13)
    assert {"human36m_p1", "mpii_single", "mpii_multi", "camera_space", "mpi_inf_3dhp"} <= set(PROTOCOL_NAMES)
