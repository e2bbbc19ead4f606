from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from lcrnet_d2 import DetectedPeople, PosePredictor, model_zoo
from lcrnet_d2.data import ImageFileError
from lcrnet_d2.structures import BODY13, AnchorPoses
from model_support import CONFIG, save_random_model, small_config


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, anchors: AnchorPoses) -> Path:
    return save_random_model(tmp_path_factory.mktemp("weights"), anchors)


@pytest.fixture(scope="module")
def predictor(weights: Path) -> PosePredictor:
    return PosePredictor(small_config(weights))


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Blurred noise: a network sees more in it than in white noise."""
    noise = np.random.default_rng(seed).integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def assert_same(a: DetectedPeople, b: DetectedPeople, rtol: float = 1e-4) -> None:
    """To `rtol` of the picture's size, of a metre, of a score."""
    assert len(a) == len(b) and a.image_size == b.image_size and a.anchors.tolist() == b.anchors.tolist()
    size = max(a.image_size)
    for name, unit in {"keypoints_2d": size, "boxes": size, "poses_3d": 1, "scores": 1, "spreads_3d": 1}.items():
        np.testing.assert_allclose(getattr(a, name) / unit, getattr(b, name) / unit, rtol=rtol, atol=rtol, err_msg=name)


def test_one_by_one_or_in_a_batch_whatever_else_is_asked(predictor: PosePredictor) -> None:
    """Five sizes, two of them padded alike, more pictures than fit in a batch."""
    sizes = [(80, 120), (120, 80), (84, 120), (80, 120), (300, 100), (33, 500), (80, 120)]
    images = [picture(*size, seed=i) for i, size in enumerate(sizes)]
    alone = [predictor(image) for image in images]
    together = predictor(images)
    assert sum(len(people) for people in alone) > len(images)
    for image, a, b in zip(images, alone, together, strict=True):
        assert a.image_size == image.shape[:2]
        assert_same(a, b)
    predictor.batch_size = 2
    for a, b in zip(alone, predictor(images), strict=True):
        assert_same(a, b)
    predictor.batch_size = 8


def test_only_pictures_padded_alike_share_a_batch(predictor: PosePredictor) -> None:
    """Padded to multiples of 32: 96 x 144 and 96 x 136 both become 96 x 160, 144 x 96 does not."""
    inputs = [{"image": torch.zeros(3, h, w)} for h, w in ((96, 144), (144, 96), (96, 136), (96, 160))]
    step = predictor.model.backbone.size_divisibility
    assert step == 32
    assert predictor._batches(inputs) == [[0, 2, 3], [1]]


def test_paths_arrays_and_channel_orders_mean_the_same(predictor: PosePredictor, tmp_path: Path) -> None:
    bgr = picture(80, 120)
    cv2.imwrite(str(tmp_path / "a.png"), bgr)
    expected = predictor(bgr)
    assert len(expected)
    rgb = np.ascontiguousarray(bgr[:, :, ::-1])
    for people in (
        predictor(tmp_path / "a.png"),
        predictor(str(tmp_path / "a.png")),
        predictor(rgb, image_format="RGB"),
        *predictor([tmp_path / "a.png", bgr]),
        *predictor(np.stack([bgr, bgr])),
    ):
        assert_same(expected, people)
    assert not np.allclose(predictor(rgb).scores[:1], expected.scores[:1], rtol=1e-6)


def test_images_of_pillow_and_grey_arrays(predictor: PosePredictor, tmp_path: Path) -> None:
    """Notebooks hold these. A picture of Pillow knows its channels, and how it was held."""
    rgb = Image.fromarray(picture(80, 120)[:, :, ::-1])
    assert_same(predictor(rgb), predictor(picture(80, 120)))
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb.save(tmp_path / "turned.png", exif=exif)
    assert predictor(Image.open(tmp_path / "turned.png")).image_size == (120, 80)
    grey = picture(80, 120)[:, :, 0]
    for alike in (grey, grey[:, :, None], Image.fromarray(grey)):
        assert_same(predictor(alike), predictor(np.stack([grey] * 3, 2)))
        assert_same(predictor([alike])[0], predictor(alike))


def test_people_are_numpy_in_the_pictures_own_pixels(predictor: PosePredictor) -> None:
    small, large = predictor([picture(80, 120), cv2.resize(picture(80, 120), (240, 160))])
    for people in (small, large):
        assert people.skeleton is BODY13 and people.translations is None
        assert (np.diff(people.scores) <= 0).all()
        assert all(isinstance(v, np.ndarray) for v in (people.keypoints_2d, people.poses_3d, people.in_image))
        assert np.abs(people.poses_3d[:, BODY13.torso].mean(1)).max() < 1e-5
    assert large.image_size == (160, 240) and large.boxes[:, 2].max() > 120


def test_a_grey_palette_or_rotated_file_is_read_upright(predictor: PosePredictor, tmp_path: Path) -> None:
    image = Image.fromarray(picture(60, 90))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    image.save(tmp_path / "turned.jpg", exif=exif)
    image.convert("L").save(tmp_path / "grey.png")
    turned, grey = predictor([tmp_path / "turned.jpg", tmp_path / "grey.png"])
    assert turned.image_size == (90, 60) and grey.image_size == (60, 90)


def test_an_8k_picture(predictor: PosePredictor) -> None:
    people = predictor(cv2.resize(picture(108, 192), (7680, 4320)))
    assert people.image_size == (4320, 7680) and len(people)
    assert np.ptp(people.keypoints_2d[..., 0]) > 1000


def test_nobody(weights: Path) -> None:
    strict = PosePredictor(small_config(weights, score_threshold=1e9))
    people = strict(picture(80, 120))
    assert len(people) == 0 and people.poses_3d.shape == (0, 13, 3) and list(people) == []
    assert strict([]) == []


@pytest.mark.parametrize(
    "image",
    [
        *(np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8), None),
        np.zeros((5000, 1, 3), np.uint8),  # resized, it would have no width; files of such a shape are refused too
    ],
)
def test_what_is_no_image_is_refused(predictor: PosePredictor, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="image|one side is more than 50 times"):
        predictor([image])


def test_files_and_formats_that_cannot_be(predictor: PosePredictor, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(ImageFileError, match="broken.jpg"):
        predictor(tmp_path / "broken.jpg")
    with pytest.raises(FileNotFoundError, match="none.jpg"):
        predictor(tmp_path / "none.jpg")
    with pytest.raises(ValueError, match="'BGR' or 'RGB'"):
        predictor(picture(8, 8), image_format="HSV")  # pyright: ignore[reportArgumentType]


def test_configs_by_node_file_and_name(weights: Path, tmp_path: Path) -> None:
    cfg = small_config(weights)
    (tmp_path / "config.yaml").write_text(cfg.dump())
    from_file = PosePredictor(str(tmp_path / "config.yaml"))
    image = picture(80, 120)
    assert_same(from_file(image), PosePredictor(cfg)(image))
    untrained = cfg.clone()
    untrained.MODEL.WEIGHTS = ""
    assert_same(PosePredictor(untrained, weights=weights, device="cpu")(image), from_file(image))
    assert untrained.MODEL.WEIGHTS == ""  # the caller's config is left as it is
    with pytest.raises(RuntimeError, match="no anchor poses"):
        PosePredictor(untrained)
    with pytest.raises(FileNotFoundError, match="no config at nowhere.yaml"):
        PosePredictor("nowhere.yaml")
    with pytest.raises(FileNotFoundError, match="no weights at"):
        PosePredictor(CONFIG, weights=tmp_path / "none.pth", device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_the_cpu_is_used(weights: Path) -> None:
    cfg = small_config(weights)
    cfg.MODEL.DEVICE = "cuda"
    on_cpu = PosePredictor(cfg)
    assert on_cpu.model.device.type == "cpu" and not on_cpu.half_precision
    assert len(on_cpu(picture(80, 120)))


def test_mixed_precision_gives_float32_people_nearby(predictor: PosePredictor) -> None:
    """bfloat16 on the CPU, coarser than a GPU's float16: the best person stays within a few per cent of the picture."""
    image = picture(80, 120)
    exact = predictor(image)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = predictor(image)
    assert mixed.poses_3d.dtype == mixed.keypoints_2d.dtype == mixed.scores.dtype == np.float32
    assert len(mixed)
    gaps = np.linalg.norm(mixed.keypoints_2d[:, None] - exact.keypoints_2d[None], axis=-1).mean(-1)
    assert gaps.min(1)[0] < 0.05 * 120


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_half_precision_on_a_gpu(weights: Path) -> None:
    cfg = small_config(weights)
    half, full = PosePredictor(cfg, device="cuda"), PosePredictor(cfg, device="cuda", half_precision=False)
    assert half.half_precision and not full.half_precision
    image = picture(80, 120)
    gaps = np.linalg.norm(half(image).keypoints_2d[:, None] - full(image).keypoints_2d[None], axis=-1).mean(-1)
    assert gaps.min(1)[0] < 0.02 * 120


def test_a_model_of_the_zoo_by_name(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_zoo, "names", lambda: ["MODEL"])
    monkeypatch.setattr(model_zoo, "get_config", lambda name: small_config(weights))
    image = picture(80, 120)
    assert_same(PosePredictor("MODEL", device="cpu")(image), PosePredictor(small_config(weights))(image))
    with pytest.raises(FileNotFoundError, match="MODEL"):
        PosePredictor("MODLE")


def test_several_views_of_every_picture(weights: Path, tmp_path: Path) -> None:
    """TEST.AUG: the same alone, in a batch of other sizes, and from a cache; not what one view gives."""
    cfg = small_config(weights)
    cfg.TEST.AUG.ENABLED, cfg.TEST.AUG.MIN_SIZES, cfg.TEST.AUG.MAX_SIZE = True, (64, 96), 300
    predictor = PosePredictor(cfg)
    images = [picture(80, 120), picture(120, 80, seed=1), picture(80, 120, seed=2)]
    alone = [predictor(image) for image in images]
    with predictor.cache(tmp_path) as cache:
        cached = predictor.asking(cache)
        for expected, a, b in zip(alone, cached(images), cached(images), strict=True):
            assert_same(expected, a)
            assert_same(a, b, rtol=0)
    cfg.TEST.AUG.ENABLED = False
    assert alone[0].scores.tolist() != PosePredictor(cfg)(images[0]).scores.tolist()


def test_a_stream_gives_what_calls_give_in_order(predictor: PosePredictor, tmp_path: Path) -> None:
    """Batches of several sizes, items without an image, and a cache; a whole batch without any."""
    images = [picture(*size, seed=i) for i, size in enumerate([(80, 120), (120, 80), (80, 120)])]
    items = [("a", images[0]), ("none", None), ("b", images[1]), ("none", None), ("none", None), ("c", images[2])]
    expected = {"a": predictor(images[0]), "b": predictor(images[1]), "c": predictor(images[2])}
    with predictor.cache(tmp_path) as cache:
        for asked in (predictor, predictor.asking(cache), predictor.asking(cache)):
            for size in (1, 2, None):
                found = list(asked.stream(iter(items), lambda item: item[1], batch_size=size))
                assert [name for (name, _), _ in found] == [name for name, _ in items]
                for (name, _), people in found:
                    assert (people is None) == (name == "none")
                    if people is not None:
                        assert_same(people, expected[name])


def test_while_the_network_works_the_next_images_are_read(predictor: PosePredictor) -> None:
    """The reader of the second batch and the network at the first meet."""
    meeting = threading.Barrier(2, timeout=60)

    def images() -> Iterator[np.ndarray]:
        yield picture(80, 120)
        yield picture(80, 120)
        meeting.wait()
        yield picture(80, 120)

    class Network(torch.nn.Module):
        batches = 0

        def forward(self, inputs: list[dict]) -> list[dict]:
            self.batches += 1
            if self.batches == 1:
                meeting.wait()
            return predictor.network(inputs)

    found = list(predictor.asking(Network()).stream(images(), lambda image: image, batch_size=2))
    assert len(found) == 3 and all(people is not None for _, people in found)
