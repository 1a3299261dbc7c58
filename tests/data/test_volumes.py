from __future__ import annotations

import pytest

from synthcp.data.volumes import find_volumes
from synthcp.errors import DataError


@pytest.fixture
def touch(tmp_path):
    def write(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return write


def found(*inputs):
    return {volume.id: [path.name for path in volume.paths] for volume in find_volumes(inputs)}


def test_folders_are_searched_in_natural_order(touch):
    root = touch("case10.nii.gz", "case9.nii", "b/case1.NII.GZ", "b/notes.txt", "._case9.nii", ".hidden/x.nii.gz")
    assert found(root) == {"b/case1": ["case1.NII.GZ"], "case9": ["case9.nii"], "case10": ["case10.nii.gz"]}
    assert list(found(root)) == ["b/case1", "case9", "case10"]


def test_the_channels_of_a_volume_belong_together(touch):
    root = touch("b_0001.nii.gz", "b_0000.nii.gz", "b_0002.nii.gz", "a_0000.nii.gz", "sub/b_0000.nii.gz")
    expected = {"a": ["a_0000.nii.gz"], "b": [f"b_000{channel}.nii.gz" for channel in range(3)]}
    assert found(root) == {**expected, "sub/b": ["b_0000.nii.gz"]}
    assert found(root / "b_0001.nii.gz", root / "b_0000.nii.gz") == {"b": expected["b"][:2]}


def test_numbers_with_a_gap_are_no_channels(touch):
    root = touch("amos_0004.nii.gz", "amos_0006.nii.gz", "x_0000.nii.gz", "x_0002.nii.gz")
    assert list(found(root)) == ["amos_0004", "amos_0006", "x_0000", "x_0002"]


def test_ids_stay_unique(touch):
    root = touch("one/a.nii", "two/a.nii", "three/a.nii", "three/a.nii.gz", "three/a_0000.nii.gz")
    assert list(found(root / "one", root / "two")) == ["one/a.nii", "two/a.nii"]
    assert list(found(root / "one/a.nii", root / "one")) == ["a"]
    assert len(found(root / "three")) == 3


@pytest.mark.parametrize(
    ("item", "texts"),
    [
        ("none", ("no such file or folder",)),
        ("empty", ("holds no volume", ".nii.gz or .nii")),
        ("empty/notes.txt", ("is no volume", ".nii.gz or .nii")),
    ],
)
def test_what_is_no_volume_is_refused(touch, fails, item, texts):
    root = touch("empty/notes.txt")
    with fails(item, *texts, error=DataError):
        find_volumes([root / item])
