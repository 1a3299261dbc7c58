from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthcp.errors import DataError
from synthcp.experiments.request import Request

DATA = "heldout:scenes:?count=6&size=48x64&classes=person"


def test_without_tests_the_datas_own_test_split_is_judged(tmp_path: Path) -> None:
    (spec, dataset), *others = Request(DATA, tmp_path).open_tests().items()
    assert spec == f"{DATA}&split=test" and not others
    assert dataset.ids[0].startswith("test") and "person" not in dataset.classes.names


def test_named_tests_take_its_place(tmp_path: Path) -> None:
    other = DATA.replace("person", "car")
    assert list(Request(DATA, tmp_path, tests=(DATA, other)).open_tests()) == [DATA, other]


def test_images_without_an_anomaly_are_refused(tmp_path: Path, fails: Callable) -> None:
    spec = "scenes:?count=4&split=train&size=48x64"
    with fails(spec, "no image shows an anomaly", "try heldout:", error=DataError):
        Request(DATA, tmp_path, tests=(spec,)).open_tests()


@pytest.mark.parametrize(("mask", "usable"), [((255, 255), False), ((0, 0), False), ((255, 0), True)])
def test_tests_need_an_anomaly_among_known_pixels(
    tmp_path: Path, fails: Callable, mask: tuple[int, int], usable: bool
) -> None:
    write(tmp_path / "images/a.png", np.zeros((20, 20, 3)))
    write(tmp_path / "anomalies/a.png", np.repeat(mask, 10)[:, None].repeat(20, 1))
    (tmp_path / "classes.json").write_text('{"names": ["sky", "road"]}')
    request = Request(DATA, tmp_path, tests=(f"folder:{tmp_path}",))
    if usable:
        assert list(request.open_tests()) == [f"folder:{tmp_path}"]
    else:
        with fails(str(tmp_path), "no image shows an anomaly among known pixels", error=DataError):
            request.open_tests()


def write(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


@pytest.mark.parametrize("seeds", [0, -1])
def test_no_seed_is_refused(tmp_path: Path, seeds: int, fails: Callable) -> None:
    with fails(f"{seeds} seeds", "take 1 or more"):
        Request(DATA, tmp_path, seeds=seeds)
