"""What is missing is named."""

from __future__ import annotations

import pytest

from rendered_scenes.extra import require


def test_the_extra_is_named_when_a_package_is_missing() -> None:
    with pytest.raises(ImportError, match=r"no_such_renderer.*-r projects/rendered_scenes/requirements.txt"):
        require("no_such_renderer")
