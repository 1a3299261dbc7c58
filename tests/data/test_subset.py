from __future__ import annotations

from pathlib import Path

import pytest

from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.specs import open_dataset
from synthcp.data.subset import spread
from synthcp.errors import DataError

SCENES = "scenes:?count=5&size=48x64"


@pytest.fixture
def scenes() -> Scenes:
    return Scenes(ScenesConfig(count=5, height=48, width=64))


@pytest.mark.parametrize(
    ("count", "kept"), [(1, [0]), (2, [0, 2]), (3, [0, 1, 3]), (5, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4])]
)
def test_a_few_samples_are_spread_over_all(scenes: Scenes, count: int, kept: list[int]) -> None:
    assert list(spread(scenes, count).ids) == [scenes.ids[index] for index in kept]


def test_a_file_of_ids_keeps_the_order_of_the_data(scenes: Scenes, tmp_path: Path) -> None:
    file = tmp_path / "kept.txt"
    file.write_text(f"\ufeff{scenes.ids[4]}\n\n {scenes.ids[2]} \n{scenes.ids[4]}\n", encoding="utf-8")
    kept = open_dataset(f"{SCENES}&ids={file}")
    assert list(kept.ids) == [scenes.ids[2], scenes.ids[4]] and kept[1].image.equal(scenes[4].image)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b" \n", "names no image"),
        (b"elsewhere\n", "names 'elsewhere', which is no id"),
        (b"\xff\xfe", "is no text file"),
    ],
)
def test_a_file_that_will_not_do(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "kept.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(f"{SCENES}&ids={file}")
    assert "\n" not in str(caught.value)
