from __future__ import annotations

import pytest

from synthcp.data.images import read_image
from synthcp.data.specs import open_dataset
from synthcp.data.streethazards import StreetHazards
from synthcp.errors import DataError

PLACES = {
    "train": "train/{}/training/t1/{}.png",
    "val": "train/{}/validation/t4/{}.png",
    "test": "test/{}/test/t5/{}.png",
}
HEIGHT = 20


@pytest.fixture
def root(tmp_path, write_pair):
    """Two images for each split; only 2.png of the test split holds the anomaly (14), in its fourth row."""
    for place in PLACES.values():
        for name, values in (("10", (1, 13)), ("2", (2, 4, 1, 14 if "test" in place else 13))):
            write_pair(tmp_path / place.format("images", name), tmp_path / place.format("annotations", name), *values)
    (tmp_path / "test" / "test.odgt").write_text("[]")
    return tmp_path


@pytest.mark.parametrize("split", PLACES)
def test_splits_and_groups(root, split):
    dataset = StreetHazards(root, split)
    town = PLACES[split].split("/")[3]
    assert dataset.ids == [f"{town}/2", f"{town}/10"]
    assert [sample.group for sample in dataset] == [town, town]
    assert dataset[1].image.equal(read_image(root / PLACES[split].format("images", "10")))


def test_thirteen_classes_and_the_anomaly(root):
    dataset = StreetHazards(root, "test")
    assert len(dataset.classes) == 13
    assert dataset.classes.names[:4] == ("unlabeled", "building", "fence", "other")
    assert (dataset.classes.names[10], dataset.classes.names[12]) == ("car", "traffic sign")
    first, second = dataset
    assert first.label_map[:, 0].tolist() == [1, 3, 0, 255] + [255] * (HEIGHT - 4)
    assert first.anomaly_mask.nonzero()[:, 0].unique().tolist() == [3]
    assert second.label_map[:2, 5].tolist() == [0, 12] and not second.anomaly_mask.any()


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ("", set(range(HEIGHT))),  # the benchmark judges every pixel
        ("?unlabeled=void", {0, 1, 3}),
        ("?other=void", set(range(HEIGHT)) - {1}),
        ("?unlabeled=void&other=void", {0, 3}),
    ],
)
def test_what_is_judged(root, options, rows):
    roi = open_dataset(f"streethazards:{root}{options}", "test")[0].roi
    assert {row for row in range(HEIGHT) if roi[row].all()} == rows
    assert {row for row in range(HEIGHT) if roi[row].any()} == rows


def test_missing_parts_name_the_layout(root, fails):
    with fails("no split 'validation'", "train, val, test", error=DataError):
        StreetHazards(root, "validation")
    for image in (root / "train/images/training/t1").iterdir():
        image.unlink()
    with fails("images/training holds no image", error=DataError):
        StreetHazards(root)
    (root / "test/annotations/test/t5/2.png").unlink()
    with fails("t5/2.png is missing", "the label of", "TOWN/NAME.png", error=DataError):
        StreetHazards(root, "test")
    (root / "train/annotations/validation").rename(root / "elsewhere")
    with fails("annotations/validation is missing", "streethazards_train.tar", error=DataError):
        StreetHazards(root, "val")
