from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from synthcp.data.transforms import Window, jitter, random_patch, random_window, resize, resize_labels, short_side, view
from synthcp.errors import InputError


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(4)


def test_resize_shrinks_with_antialias_as_pillow_does(generator):
    image = torch.rand(1, 24, 40, generator=generator)
    oracle = np.array(Image.fromarray(image[0].numpy()).resize((16, 8), Image.Resampling.BILINEAR))
    torch.testing.assert_close(resize(image, (8, 16))[0], torch.from_numpy(oracle), atol=1e-4, rtol=0)


def test_resize_of_a_volume_keeps_linear_ramps():
    depth, height, width = torch.meshgrid(torch.arange(8.0), torch.arange(6.0), torch.arange(4.0), indexing="ij")
    small = resize((depth + 10 * height + 100 * width)[None], (4, 3, 2))[0]
    expected = [torch.arange(n) * 2 + 0.5 for n in (4, 3, 2)]
    first, second, third = torch.meshgrid(*expected, indexing="ij")
    torch.testing.assert_close(small, first + 10 * second + 100 * third)


@pytest.mark.parametrize("size", [(5, 9), (13, 7), (40, 3), (11, 17)])
def test_resize_labels_takes_the_nearest_centre(size, generator):
    label_map = torch.randint(0, 9, (11, 17), generator=generator)
    oracle = F.interpolate(label_map[None, None].double(), size, mode="nearest-exact")[0, 0].long()
    assert torch.equal(resize_labels(label_map, size), oracle)


def test_resize_labels_keeps_dtype_large_values_and_leading_axes():
    label_map = torch.tensor([[2**40 + 1, 3]])
    assert resize_labels(label_map, (2, 4)).tolist() == [[2**40 + 1, 2**40 + 1, 3, 3]] * 2
    masks = torch.tensor([True, False]).reshape(2, 1, 1, 1)
    assert torch.equal(resize_labels(masks, (2, 2, 2)), masks.expand(2, 2, 2, 2))


def test_short_side():
    assert short_side((360, 480), 192) == (192, 256)
    assert short_side((480, 360), 240) == (320, 240)
    assert short_side((60, 40, 90), 20) == (30, 20, 45)


def test_random_window_lies_inside_with_the_aspect_of_the_crop(generator):
    windows = [random_window((60, 100), (20, 40), (1.0, 2.0), generator) for _ in range(400)]
    for window in windows:
        for first, extent, side in zip(window.start, window.size, (60, 100), strict=True):
            assert 0 <= first <= side - extent
        assert window.size[1] / window.size[0] == pytest.approx(2, rel=0.05)
    widths = torch.tensor([float(window.size[1]) for window in windows])
    assert widths.min() == 50 and 99 <= widths.max() <= 100  # the largest that fits is 50x100
    # 100 / zoom with zoom uniform in [1, 2] has the mean 100 ln 2.
    assert widths.mean().item() == pytest.approx(100 * np.log(2), rel=0.03)
    assert np.mean([window.flip for window in windows]) == pytest.approx(0.5, abs=0.08)


def test_random_window_reaches_every_place(generator):
    starts = {random_window((4, 3), (2, 1), (2.0, 2.0), generator).start for _ in range(300)}
    assert starts == {(first, second) for first in range(3) for second in range(3)}


def test_a_patch_keeps_the_size_of_a_voxel_and_reaches_every_place(generator):
    patches = [random_patch((6, 8, 5), (4, 8, 3), (1.0, 1.0), generator) for _ in range(300)]
    assert {patch.size for patch in patches} == {(4, 8, 3)}
    assert {patch.start for patch in patches} == {(x, 0, z) for x in range(3) for z in range(3)}
    assert {random_patch((9, 9, 9), (8, 6, 4), (2.0, 2.0), generator).size for _ in range(9)} == {(4, 3, 2)}


def test_windows_that_cannot_be_drawn_are_refused(generator, fails):
    with fails("zoom (0.5, 1)", error=InputError):
        random_window((9, 9), (3, 3), (0.5, 1), generator)
    with fails("a volume of (6, 8, 5) is smaller than the patch (4, 8, 6)", error=InputError):
        random_patch((6, 8, 5), (4, 8, 6), (1.0, 1.0), generator)


def test_view_of_a_volume_whose_left_and_right_are_the_first_axis():
    volume = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    for flip, expected in ((False, volume[:, 1:3, :, 2:5]), (True, volume[:, 1:3, :, 2:5].flip(1))):
        assert view(volume, Window((1, 0, 2), (2, 4, 3), flip), (2, 4, 3), "nearest").equal(expected)


def test_view_at_its_own_size_is_a_mirrored_crop():
    label_map = torch.arange(42).reshape(6, 7)
    window = Window(start=(1, 3), size=(2, 3), flip=True)
    assert view(label_map, window, (2, 3), "nearest").tolist() == [[12, 11, 10], [19, 18, 17]]
    image = label_map[None].float()
    assert view(image, window, (2, 3), "linear").tolist() == [[[12, 11, 10], [19, 18, 17]]]


def test_view_keeps_image_and_label_map_paired(generator):
    label_map = resize_labels(torch.randint(0, 2, (6, 9), generator=generator), (96, 144))
    image = label_map[None].float()
    for _ in range(20):
        window = random_window((96, 144), (64, 48), (1, 2), generator)
        seen = view(image, window, (64, 48), "linear")[0]
        labels = view(label_map, window, (64, 48), "nearest")
        assert labels.dtype == torch.int64
        assert ((seen > 0.5) == (labels == 1)).float().mean() > 0.97


def test_jitter_of_no_strength_changes_nothing(generator):
    image = torch.rand(3, 5, 7, generator=generator)
    torch.testing.assert_close(jitter(image, 0.0, generator), image)


@pytest.mark.parametrize("spatial", [(1, 50), (4, 6, 8)])
def test_jitter_keeps_range_and_order_and_moves_channels_apart(spatial, generator):
    grey = torch.linspace(0, 1, math.prod(spatial)).reshape(1, *spatial).expand(3, *spatial)
    for _ in range(20):
        changed = jitter(grey, 0.3, generator)
        assert changed.min() >= 0 and changed.max() <= 1 and changed.shape == grey.shape
        assert (changed.flatten(1).diff() >= 0).all()
        assert len({round(mean.item(), 4) for mean in changed.flatten(1).mean(1)}) == 3


def test_chance_comes_from_the_generator():
    image = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))
    for draw in (
        lambda generator: jitter(image, 0.2, generator).tolist(),
        lambda generator: random_window((9, 30, 40), (4, 8, 8), (1, 3), generator),
    ):
        first, second, third = (draw(torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
        assert first == second != third
