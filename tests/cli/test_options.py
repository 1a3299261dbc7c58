from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from synthcp.cli.options import tell_unused
from synthcp.records import Classes
from synthcp.segmentation.saved import SavedPredictions


def test_predictions_that_are_left_over_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c"):
        Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / f"{name}.png")
    saved = SavedPredictions(tmp_path, Classes(("road", "sky"), ((0, 0, 0), (9, 9, 9))), 2)
    for ids, told in (
        (["b"], f"note: 2 of 3 predictions belong to none of these images, such as {tmp_path}/a.png\n"),
        ("abc", ""),
    ):
        saved.require(list(ids))
        tell_unused(cast(Any, SimpleNamespace(predictor=saved)))
        assert capsys.readouterr().err == told
