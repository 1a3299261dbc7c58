from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from synthcp.data.files import FileDataset, SampleFiles
from synthcp.data.labels import KNOWN_OR_ANOMALY, ZERO_ONE, LabelValues
from synthcp.errors import DataError

CITY = LabelValues(known=(7, 3), anomaly=range(20, 23), void=(0, 9), outside=(9, 3))


@pytest.fixture
def every_value(tmp_path):
    """A label file of 16 x 23 pixels with all values that CITY knows."""
    values = np.random.default_rng(0).choice(np.array([7, 3, 20, 21, 22, 0, 9], np.uint8), (16, 23))
    Image.fromarray(values).save(tmp_path / "label.png")
    return tmp_path / "label.png", values


def test_values_against_a_loop(every_value):
    path, values = every_value
    truth = CITY.annotation(path, ignore_index=255)
    for place in np.ndindex(values.shape):
        value = values[place]
        assert truth.label_map[place] == {7: 0, 3: 1}.get(value, 255)
        assert truth.anomaly_mask[place] == (20 <= value <= 22)
        assert truth.roi[place] == (value not in (9, 3))


def test_without_an_ignore_index_there_is_no_label_map(every_value):
    assert CITY.annotation(every_value[0]).label_map is None


def test_a_value_that_means_nothing(tmp_path, fails, write_label):
    path = write_label(tmp_path / "label.png", 1, 255, 2, 77)
    with fails(f"{path} holds the value 2, 77", "known is 0, anomaly 1, no label 255", error=DataError):
        ZERO_ONE.annotation(path)
    with fails("known is 7 or 3, anomaly 20 to 22, no label 0 or 9", error=DataError):
        CITY.annotation(path)


def test_without_a_label_file_nothing_is_known(tmp_path, write_image):
    (sample,) = FileDataset(KNOWN_OR_ANOMALY, [SampleFiles("a", write_image(tmp_path / "a.png"))], ZERO_ONE)
    assert sample.label_map is sample.anomaly_mask is sample.roi is None


def test_a_mask_of_another_size_than_its_image(tmp_path, fails, write_image, write_label):
    image = write_image(tmp_path / "image.png", size=(20, 28))
    mask = write_label(tmp_path / "mask.png", 1, size=(28, 20))
    with fails(f"{mask} is 20x28, its image {image} 28x20", "resize the mask", error=DataError):
        FileDataset(KNOWN_OR_ANOMALY, [SampleFiles("a", image, anomaly_mask=mask)], ZERO_ONE)[0]
