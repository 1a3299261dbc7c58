from __future__ import annotations

import pytest

from synthcp.data.smiyc import SegmentMeIfYouCan
from synthcp.errors import DataError


@pytest.fixture
def root(tmp_path, write_image, write_pair):
    for name, suffix, values in (("validation_2", "jpg", (1, 255)), ("validation_10", "webp", (0, 255, 1))):
        label = tmp_path / "labels_masks" / f"{name}_labels_semantic.png"
        write_pair(tmp_path / "images" / f"{name}.{suffix}", label, *values)
    (tmp_path / "labels_masks" / "validation_2_labels_semantic_color.png").touch()
    write_image(tmp_path / "images" / "gravel_dog_1.png")
    return tmp_path


def test_the_split_val_has_the_labels(root):
    dataset = SegmentMeIfYouCan(root)
    assert dataset.ids == ["validation_2", "validation_10"]
    sample = dataset[1]
    assert sample.anomaly_mask[:, 4].nonzero().flatten().tolist() == [2]
    assert (~sample.roi)[:, 4].nonzero().flatten().tolist() == [1]
    assert sample.label_map is None


def test_the_split_test_is_unlabelled(root):
    (sample,) = SegmentMeIfYouCan(root, "test")
    assert (sample.id, sample.group) == ("gravel_dog_1", "gravel_dog")
    assert sample.label_map is sample.anomaly_mask is sample.roi is None


def test_missing_parts(root, fails):
    with fails("no split 'train'", "choose one of val, test", error=DataError):
        SegmentMeIfYouCan(root, "train")
    (root / "images/gravel_dog_1.png").unlink()
    with fails("images holds no image without a label", error=DataError):
        SegmentMeIfYouCan(root, "test")
    (root / "labels_masks").rename(root / "labels")
    with fails("labels_masks holds no label of any image", "NAME_labels_semantic.png", error=DataError):
        SegmentMeIfYouCan(root)
    (root / "images").rename(root / "pictures")
    with fails("images holds no image", "dataset_AnomalyTrack", error=DataError):
        SegmentMeIfYouCan(root)
