from __future__ import annotations

import gc
import json
import os
import shutil
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lcrnet_d2.detected_people import DetectedPeople
from lcrnet_d2.outputs.html_viewer import PosePage, write_html
from lcrnet_d2.outputs.skeleton_conversion import convert_people
from lcrnet_d2.placement import OrthographicCamera, PinholeCamera
from lcrnet_d2.structures import BODY13, Skeleton
from lcrnet_d2.visualization import scene_of
from people_support import standing_people

if TYPE_CHECKING:
    from playwright.sync_api import Page

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = '</script><script>document.title="owned"</script>'
IMAGE = np.full((240, 320, 3), 90, np.uint8)
NOBODY = DetectedPeople.nobody(BODY13, (8, 8))


def embedded(path: Path) -> dict[str, Any]:
    text = path.read_text()
    start = text.index('<script type="application/json" id="data">') + len('<script type="application/json" id="data">')
    return json.loads(text[start : text.index("</script>", start)])


def hostile_skeleton() -> Skeleton:
    joints = tuple(HOSTILE if j == "head" else j for j in BODY13.joints)
    return Skeleton("hostile", joints, tuple((a, HOSTILE if b == "head" else b) for a, b in BODY13.bones))


def test_the_page_holds_everything_and_asks_for_nothing(tmp_path: Path) -> None:
    people = [standing_people(2), standing_people(0)]
    write_html(people, [IMAGE, IMAGE], tmp_path / "p.html", "Two frames", names=["a.jpg", "b.jpg"])
    content = embedded(tmp_path / "p.html")
    assert [frame["name"] for frame in content["frames"]] == ["a.jpg", "b.jpg"]
    assert [len(frame["people"]) for frame in content["frames"]] == [2, 0]
    person = content["frames"][0]["people"][1]
    np.testing.assert_allclose(person["points"], people[0].keypoints_2d[1], atol=0.05)
    assert person["inImage"] == people[0].in_image[1].tolist() and content["joints"] == list(BODY13.joints)
    page = (tmp_path / "p.html").read_text()
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "") and "default-src 'none'" in page
    assert not list(tmp_path.glob("*.part"))


def test_joints_that_cannot_be_had_are_null(tmp_path: Path) -> None:
    coco = convert_people(standing_people(), "COCO17")
    flat = standing_people().placed(OrthographicCamera(100.0, 160.0, 120.0))
    write_html([coco], [IMAGE], tmp_path / "p.html")
    frame = embedded(tmp_path / "p.html")["frames"][0]
    assert frame["people"][0]["joints"][1] is None and frame["people"][0]["spreads3d"][1] is None
    assert frame["people"][0]["joints"][0] is not None and frame["interpolated"] == ["nose"] and frame["hasDepth"]
    write_html([flat], [IMAGE], tmp_path / "p.html")
    assert not embedded(tmp_path / "p.html")["frames"][0]["hasDepth"]


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    people = standing_people(skeleton=BODY13)
    people = replace(people, skeleton=hostile_skeleton())
    write_html([people], [IMAGE], tmp_path / "p.html", HOSTILE + "{{data}}", names=[HOSTILE])
    page = (tmp_path / "p.html").read_text()
    assert HOSTILE not in page and page.count("</script>") == 2
    assert embedded(tmp_path / "p.html")["joints"][-1] == HOSTILE


def test_a_file_name_that_is_no_unicode_may_be_in_the_title(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    write_html([standing_people()], [IMAGE], tmp_path / "p.html", f"People in {name}", names=[name])
    assert embedded(tmp_path / "p.html")["frames"][0]["name"] == name
    assert "<title>People in caf\\udce9.mp4</title>" in (tmp_path / "p.html").read_text()


def test_frames_of_one_video_share_a_block_of_space(tmp_path: Path) -> None:
    people = [standing_people(1).placed(PinholeCamera(focal, focal, 160.0, 120.0)) for focal in (400.0, 900.0)]
    low, high = np.stack([scene_of(p).bounds() for p in people], 1)
    for one_scene in (False, True):
        write_html(people, [IMAGE, IMAGE], tmp_path / "p.html", one_scene=one_scene)
        frames = embedded(tmp_path / "p.html")["frames"]
        np.testing.assert_allclose([f["low"] for f in frames], [low.min(0)] * 2 if one_scene else low, atol=1e-4)
        np.testing.assert_allclose([f["high"] for f in frames], [high.max(0)] * 2 if one_scene else high, atol=1e-4)


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no images"):
        write_html([], [], tmp_path / "p.html")
    with pytest.raises(ValueError, match="one skeleton"):
        coco = convert_people(standing_people(), "COCO17")
        write_html([standing_people(), coco], [IMAGE, IMAGE], tmp_path / "p.html")
    with pytest.raises(ValueError, match="shorter|longer"):
        write_html([standing_people()], [], tmp_path / "p.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("count", "kept"), [(4, [0, 1, 2, 3]), (5, [0, 2, 4]), (9, [0, 4, 8]), (12, [0, 4, 8])])
def test_frames_are_thinned_evenly(count: int, kept: list[int], tmp_path: Path) -> None:
    page = PosePage(most_frames=4)
    for number in range(count):
        page.add(NOBODY, IMAGE[:8, :8], f"frame-{number}.")
    page.write(tmp_path / "page.html", "a page")
    text = (tmp_path / "page.html").read_text()
    assert [number for number in range(count) if f"frame-{number}." in text] == kept


def test_photos_are_kept_as_small_as_the_page_shows_them(tmp_path: Path) -> None:
    """200 of them, 12 megapixels each, would take 7 GB."""
    page, photo = PosePage(), np.zeros((1200, 1920, 3), np.uint8)
    kept = weakref.ref(photo)
    page.add(replace(NOBODY, image_size=(1200, 1920)), photo, "photo")
    del photo
    gc.collect()
    assert kept() is None
    page.write(tmp_path / "page.html", "a page")
    assert '"width":1920,"height":1200' in (tmp_path / "page.html").read_text()


def test_no_frames_no_page(tmp_path: Path) -> None:
    PosePage().write(tmp_path / "page.html", "a page")
    assert not (tmp_path / "page.html").exists()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of a headless browser that keeps what its console said in `console_lines`."""
    playwright = pytest.importorskip("playwright.sync_api")
    if BROWSER is None:
        pytest.skip("no chromium here")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 1200, "height": 800})
        browser.close()


@pytest.fixture
def opened(page: Page, tmp_path: Path) -> Iterator[Page]:
    """A page of two frames: two people, then nobody. Whatever a test does, the console must stay silent."""
    said: list[str] = []
    keep_console, keep_error = (lambda m: said.append(m.text)), (lambda e: said.append(str(e)))
    page.on("console", keep_console)
    page.on("pageerror", keep_error)
    people = [replace(p, skeleton=hostile_skeleton()) for p in (standing_people(2, x=130.0), standing_people(0))]
    write_html(people, [IMAGE, IMAGE], tmp_path / "p.html", HOSTILE, names=[HOSTILE, "second"])
    page.goto((tmp_path / "p.html").as_uri())
    page.wait_for_function("pictures.every(picture => picture.complete)")
    yield page
    assert said == [] and page.evaluate("document.title") == HOSTILE
    page.remove_listener("console", keep_console)
    page.remove_listener("pageerror", keep_error)


def pixels_of_colour(page: Page, canvas: str, css: str) -> int:
    return page.evaluate(
        """([id, css]) => {
            const canvas = document.getElementById(id), wanted = [1, 3, 5].map(i => parseInt(css.slice(i, i + 2), 16));
            const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            let count = 0;
            for (let i = 0; i < all.length; i += 4) count += wanted.every((value, c) => all[i + c] === value);
            return count;
        }""",
        [canvas, css],
    )


def person_pixels(page: Page, person: int) -> tuple[int, int]:
    """Pixels in the person's own colour: on the image, in the 3D scene."""
    css = page.evaluate("i => data.frames[0].people[i].colour", person)
    return pixels_of_colour(page, "overlay", css), pixels_of_colour(page, "scene", css)


def test_it_draws_and_a_person_can_be_hidden(opened: Page) -> None:
    assert all(count > 50 for count in (*person_pixels(opened, 0), *person_pixels(opened, 1)))
    opened.locator("#people input").nth(1).uncheck()
    assert person_pixels(opened, 1) == (0, 0) and min(person_pixels(opened, 0)) > 50
    opened.locator("#people input").nth(1).check()
    assert min(person_pixels(opened, 1)) > 50


@pytest.mark.parametrize("canvas", ["overlay", "scene"])
def test_hovering_a_joint_tells_its_name_place_and_spread(opened: Page, canvas: str) -> None:
    box = opened.locator(f"#{canvas}").bounding_box()
    assert box is not None
    number = BODY13.index("left_ankle")
    at = opened.evaluate("([c, j]) => { const {x, y} = placed[c][j]; return {x, y}; }", [canvas, number])
    opened.mouse.move(box["x"] + at["x"], box["y"] + at["y"])
    tip = opened.inner_text("#tip")
    assert (
        tip.startswith("left_ankle, person 1\nx ")
        and " m\n" in tip
        and "spread 0.0 cm" in tip
        and "in the image" in tip
    )
    opened.mouse.move(box["x"] + 3, box["y"] + 3)
    assert opened.locator("#tip").is_hidden()


def test_the_keyboard_does_it_all(opened: Page) -> None:
    opened.focus("#scene")
    before = opened.evaluate("placed.scene.map(at => at.x)")
    opened.keyboard.press("ArrowLeft")
    assert opened.evaluate("placed.scene.map(at => at.x)") != before
    opened.keyboard.press("0")
    assert opened.evaluate("placed.scene.map(at => at.x)") == before
    opened.keyboard.press("n")
    assert opened.inner_text("#joint").startswith("right_ankle, person 1; ")
    opened.keyboard.press("p")
    assert opened.inner_text("#joint").startswith(HOSTILE + ", person 2; ")
    opened.keyboard.press("2")
    assert person_pixels(opened, 1) == (0, 0)
    opened.keyboard.press(".")
    assert opened.inner_text("#name") == "second (2 of 2)" and opened.locator("#people li").count() == 0
    opened.keyboard.press(",")
    assert opened.inner_text("#name") == f"{HOSTILE} (1 of 2)"


def test_dragging_orbits_and_the_wheel_zooms(opened: Page) -> None:
    box = opened.locator("#scene").bounding_box()
    assert box is not None
    opened.mouse.move(box["x"] + 40, box["y"] + 400)
    opened.mouse.down()
    opened.mouse.move(box["x"] + 140, box["y"] + 400)
    opened.mouse.up()
    assert opened.evaluate("state.azimuth") < 0  # 0.45 - 100 px * 0.008
    opened.mouse.wheel(0, -300)
    opened.wait_for_function("state.zoom > 1.3")


def test_light_and_dark(opened: Page) -> None:
    light = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    opened.click("#theme")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert min(person_pixels(opened, 0)) > 50
