from __future__ import annotations

from pathlib import Path

import pytest
import torch
from detectron2.evaluation.evaluator import inference_context
from detectron2.structures import Boxes, Instances
from torch import nn

from lcrnet_d2.config import load_config
from lcrnet_d2.prediction_cache import PredictionCache, inference_settings


class Counting(nn.Module):
    """One person per image, whose score is the image's first pixel; counts the images."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.asked: list[int] = []

    def forward(self, inputs: list[dict]) -> list[dict]:
        self.asked += [int(record["image"][0, 0, 0]) for record in inputs]
        return [{"instances": self._person(record)} for record in inputs]

    def _person(self, record: dict) -> Instances:
        person = Instances((record["height"], record["width"]))
        person.scores = record["image"][0, 0, :1].float()
        person.pred_boxes = Boxes(torch.tensor([[0.0, 1, 2, 3]]))
        return person


def images(*numbers: int) -> list[dict]:
    return [{"image": torch.full((3, 4, 5), n, dtype=torch.uint8), "height": 40, "width": 50} for n in numbers]


def scores(outputs: list[dict]) -> list[float]:
    return [float(output["instances"].scores) for output in outputs]


def stopped_after(model: nn.Module, folder: Path, *numbers: int) -> None:
    with pytest.raises(KeyboardInterrupt), PredictionCache(model, folder, "") as cache:
        cache(images(*numbers))
        raise KeyboardInterrupt


def test_what_was_predicted_before_the_stop_is_not_predicted_again(tmp_path: Path) -> None:
    stopped_after(Counting(), tmp_path, 1, 2)
    model = Counting()
    with PredictionCache(model, tmp_path, "") as cache:
        outputs = cache(images(3, 1, 2, 4))
    assert model.asked == [3, 4] and scores(outputs) == [3, 1, 2, 4]
    person = outputs[1]["instances"]
    assert person.image_size == (40, 50) and person.pred_boxes.tensor.tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("other", [{"weight": 2.0}, {"settings": "another threshold"}])
def test_another_model_or_other_settings_are_asked_anew(tmp_path: Path, other: dict) -> None:
    stopped_after(Counting(), tmp_path, 1)
    model = Counting(other.get("weight", 1.0))
    PredictionCache(model, tmp_path, other.get("settings", ""))(images(1))
    assert model.asked == [1]


def test_the_same_pixels_at_another_original_size_are_another_image(tmp_path: Path) -> None:
    model = Counting()
    cache = PredictionCache(model, tmp_path, "")
    cache(images(1))
    cache([images(1)[0] | {"height": 80}])
    assert model.asked == [1, 1]


def test_what_several_processes_predicted_is_joined(tmp_path: Path) -> None:
    several = [PredictionCache(Counting(), tmp_path, "") for _ in range(2)]
    for process, number in zip(several, (1, 2), strict=True):
        process(images(number))
        process.write()
    model = Counting()
    assert scores(PredictionCache(model, tmp_path, "")(images(1, 2))) == [1, 2] and not model.asked


def test_nothing_is_left_once_it_is_removed(tmp_path: Path) -> None:
    stopped_after(Counting(), tmp_path, 1)
    with PredictionCache(Counting(), tmp_path, "") as cache:
        cache(images(1, 2))
        cache.remove()
    assert not list(tmp_path.iterdir())


def test_a_kill_loses_a_file_s_worth_of_images_at_most(tmp_path: Path) -> None:
    cache = PredictionCache(Counting(), tmp_path, "")
    for n in range(250):
        cache(images(n))
    model = Counting()  # what a process sees that starts while, or after, the first was killed
    PredictionCache(model, tmp_path, "")(images(*range(250)))
    assert model.asked == list(range(200, 250))


def test_a_damaged_file_s_images_are_predicted_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stopped_after(Counting(), tmp_path, 1)
    (file,) = tmp_path.glob("*/*.pt")
    file.write_bytes(file.read_bytes()[:100])
    model = Counting()
    PredictionCache(model, tmp_path, "")(images(1))
    assert model.asked == [1] and file.name in caplog.text


def test_what_is_done_to_an_output_changes_no_other(tmp_path: Path) -> None:
    cache = PredictionCache(Counting(), tmp_path, "")
    for _ in range(2):
        (output,) = cache(images(5))
        assert scores([output]) == [5]
        output["instances"].scores -= 0.5


@pytest.mark.parametrize("mode", [True, False])
def test_an_evaluation_leaves_the_model_s_mode_as_it_was(tmp_path: Path, mode: bool) -> None:
    model = Counting().train(mode)
    with inference_context(PredictionCache(model, tmp_path, "")):
        assert not model.training
    assert model.training == mode


def test_settings_are_those_the_outputs_depend_on() -> None:
    def settings(*opts: object) -> str:
        return inference_settings(load_config("Base-LCRNet-Lite0-FPN.yaml", list(opts)))

    for key, value in [("MODEL.DEVICE", "cuda:1"), ("MODEL.WEIGHTS", "elsewhere.pth"), ("OUTPUT_DIR", "elsewhere")]:
        assert settings(key, value) == settings()
    assert settings("MODEL.LCRNET.INTEGRATION.SCORE_THRESH_PPI", 0.7) == settings()
    for key, value in [("TEST.DETECTIONS_PER_IMAGE", 1), ("MODEL.LCRNET.INTEGRATION.T_3D", 0.5)]:
        assert settings(key, value) != settings()


def test_without_a_folder_it_knows_what_it_was_given_itself() -> None:
    model = Counting()
    with PredictionCache(model, None, "") as cache:
        assert scores(cache(images(1, 2))) == scores(cache(images(1, 2))) == [1, 2]
        cache.remove()
        cache(images(2))
    assert model.asked == [1, 2, 2]
