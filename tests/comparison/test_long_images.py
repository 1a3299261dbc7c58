"""Windows by loops over pixels; maps by networks that look at one pixel alone, whose answer no window can change."""

from __future__ import annotations

import pytest
import torch

from synthcp.comparison.long_images import LONG, is_long, judged, predicted, windows_of, working_side
from synthcp.errors import DataError
from synthcp.records import Detection, Prediction
from synthcp.segmentation.base import Segmenter
from synthcp.segmentation.input_size import InputSize

SIZES = [(16, 129), (129, 16), (16, 400), (1000, 17), (16, 20_000), (33, 1337)]
SIDEWAYS = pytest.mark.parametrize("size", [(8, 151), (151, 8)], ids=str)


class Pixelwise(Segmenter):
    """Its logits and its feature are the image, pixel by pixel; it notes what it is shown."""

    def __init__(self, input_size: str = "keep") -> None:
        super().__init__(2, (0.0,), (1.0,), InputSize.parse(input_size))
        self.shown: list[tuple[int, ...]] = []

    def forward_with_features(self, image):
        self.shown.append(tuple(image.shape[2:]))
        return image, [image]


class OnDisk:
    """Predictions of the whole image, each read once."""

    def __init__(self, logits):
        self.logits, self.read = logits, []

    def predict(self, sample_id, image):
        self.read.append((sample_id, tuple(image.shape)))
        return Prediction(self.logits)


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def pixelwise(image, prediction):
    """Another function of image, logits and features in each of the maps."""
    feature = prediction.layers[0] if prediction.layers else prediction.logits
    return {
        "one": Detection(
            error_map=image[:, 0] - prediction.logits[:, 1],
            raw_error_map=image[:, 1] + feature[:, 2],
            anomaly_map=prediction.logits[:, 0] * image[:, 2],
            class_quality=torch.full((1, 3), 0.5),
            synthesis=image.flip(1),
        ),
        "two": Detection(error_map=image[:, 2]),
    }


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_pixel_counts_once_and_far_from_the_ends_of_its_window(size):
    whole, wide, counted = max(size), min(size), [0] * max(size)
    for window in windows_of(size):
        (start, stop), (first, last) = window.shown, window.counted
        assert window.whole == size[window.axis] == whole and 0 <= start <= first < last <= stop <= whole
        assert stop - start == LONG * wide
        assert first - start >= wide // 2 or first == 0
        assert stop - last >= wide // 2 or last == whole
        for place in range(first, last):
            counted[place] += 1
    assert counted == [1] * whole


def test_no_more_windows_than_the_overlap_takes():
    assert len(windows_of((16, 20_000))) == 1 + -(-(20_000 - 128) // 112)


@pytest.mark.parametrize(
    ("size", "long", "side"),
    [
        ((16, 128), False, 48),
        ((16, 129), True, 16),
        ((129, 16), True, 16),
        ((60, 600), True, 48),
        ((8, 8, 900), False, 48),
    ],
    ids=str,
)
def test_what_is_long_is_not_enlarged(size, long, side):
    assert is_long(size) is long
    assert working_side(size, 48) == side
    assert working_side(size, 0) == 0


@pytest.mark.parametrize("sizes", [((16, 129), (16, 129)), ((40, 777), (9, 200)), ((777, 40), (200, 9))], ids=str)
def test_parts_of_a_map_of_any_size_are_the_map(sizes):
    size, other = sizes
    whole = noise(1, 2, *other)
    for window in windows_of(size):
        assert window.cut(whole).shape[window.axis] >= LONG * min(other) - 6
    parts = [window.part(window.cut(whole), other) for window in windows_of(size)]
    assert torch.equal(torch.cat(parts, dim=windows_of(size)[0].axis), whole)


@SIDEWAYS
@pytest.mark.parametrize("input_size", ["keep", "pad:32", "tile:8x8"])
def test_a_local_segmenter_says_of_windows_what_it_says_of_the_whole(size, input_size):
    image, segmenter = noise(1, 3, *size), Pixelwise(input_size)
    prediction = predicted(segmenter, "", image)
    torch.testing.assert_close(prediction.logits, image)
    assert prediction.layers == () and max(map(max, segmenter.shown)) <= 8 * LONG


@pytest.mark.parametrize(
    ("input_size", "size"), [("short:4", (4, 76)), ("short:16", (8, 151)), ("resize:4x16", (4, 38))]
)
def test_logits_are_as_large_as_m_gives_them_but_never_larger_than_the_image(input_size, size):
    ramp = torch.linspace(0, 1, 151).expand(1, 3, 8, 151)
    logits = predicted(Pixelwise(input_size), "", ramp).logits
    assert logits.shape[2:] == size
    places = (torch.arange(size[1]) + 0.5) / size[1]
    torch.testing.assert_close(logits[0, 0, 0], places, atol=0.03, rtol=0)


def test_an_image_at_the_limit_is_seen_as_a_whole():
    image, segmenter = noise(1, 3, 8, 64), Pixelwise()
    prediction = predicted(segmenter, "", image)
    assert segmenter.shown == [(8, 64)] and torch.equal(prediction.layers[0], image)


def test_what_lies_on_disk_is_read_once_as_a_whole():
    logits, image = noise(1, 3, 4, 76, seed=1), noise(1, 3, 8, 151)
    disk = OnDisk(logits)
    assert torch.equal(predicted(disk, "a", image).logits, logits)
    assert disk.read == [("a", (1, 3, 8, 151))]


def test_a_value_that_is_none_is_found_in_its_window(fails):
    image = noise(1, 3, 8, 151)
    image[..., 140] = torch.nan
    with fails("M", "NaN", error=DataError):
        predicted(Pixelwise(), "", image)


@SIDEWAYS
@pytest.mark.parametrize("live", [True, False])
def test_a_local_detector_says_of_windows_what_it_says_of_the_whole(size, live):
    image, logits = noise(1, 3, *size), noise(1, 3, *size, seed=1)
    predictor = Pixelwise() if live else OnDisk(logits)
    whole = pixelwise(image, Prediction(logits, (image,) if live else ()))
    found = judged(pixelwise, image, Prediction(logits), predictor, size)
    for key, name in [("one", n) for n in ("error_map", "raw_error_map", "anomaly_map", "synthesis")] + [
        ("two", "error_map")
    ]:
        assert torch.equal(getattr(found[key], name), getattr(whole[key], name)), (key, name)
    assert torch.equal(found["one"].class_quality, torch.full((1, 3), 0.5))
    assert found["two"].class_quality is None and found["two"].anomaly_map is None


def test_the_quality_of_a_class_is_the_mean_weighted_by_its_pixels():
    label_map = torch.zeros(8, 151, dtype=torch.int64)
    label_map[2:, 10:40] = 1
    label_map[:3, 60:] = 1  # and class 2 is nowhere
    logits, qualities = torch.nn.functional.one_hot(label_map, 3).movedim(-1, 0)[None].float(), []

    def detect(image, prediction):
        qualities.append(noise(1, 3, seed=len(qualities)))
        return {"": Detection(error_map=image[:, 0], class_quality=qualities[-1])}

    image = noise(1, 3, 8, 151)
    quality = judged(detect, image, Prediction(logits), OnDisk(logits), (8, 151))[""].class_quality
    windows = [window.shown for window in windows_of((8, 151))]
    assert len(windows) == len(qualities) == 3
    for label in range(3):
        above = below = 0.0
        for (start, stop), predicted_quality in zip(windows, qualities, strict=True):
            pixels = sum(int(value == label) for row in label_map[:, start:stop].tolist() for value in row)
            weight = pixels if label < 2 else 1
            above, below = above + weight * float(predicted_quality[0, label]), below + weight
        assert float(quality[0, label]) == pytest.approx(above / below, rel=1e-6)
