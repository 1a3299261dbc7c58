from __future__ import annotations

import nibabel
import numpy as np
import pytest

from synthcp.config.values import from_dict, to_dict
from synthcp.data.nifti import Grid
from synthcp.data.volume_preparation import WINDOWS, VolumePreparation, read_volume, read_volume_labels
from synthcp.errors import DataError, InputError

SHAPE = (6, 5, 4)


def grid_of(shape=SHAPE, spacing=(1.0, 2.0, 3.0)):
    return Grid.of(shape, np.diag([*spacing, 1.0]))


def filled(*values):
    return np.resize(np.array(values, np.int16), SHAPE)


LIMITS = {
    "pancreas": (-100, 240), "monai": (-87, 199), "nnunet": (-92, 215), "alarm": (-200, 400), "nih": (-125, 275),
    "abdomen": (-160, 240), "-5..5.5": (-5, 5.5),
}  # fmt: skip


@pytest.mark.parametrize("window", [*WINDOWS, "-5..5.5"])
def test_windows_map_their_limits_to_0_and_1(window):
    low, high = LIMITS[window]
    values = np.resize(np.array([low - 500.0, low, low + (high - low) / 4, high, high + 500.0]), SHAPE)
    image = VolumePreparation(window=window).image(values, grid_of())
    assert image.shape == (1, *SHAPE)
    assert image.flatten()[:5].tolist() == pytest.approx([0, 0, 0.25, 1, 1])


def test_percentiles_are_of_each_channel():
    generator = np.random.default_rng(0)
    values = np.stack([generator.gamma(2, 1e5, (20, 20, 20)), generator.normal(-3, 0.1, (20, 20, 20))])
    image = VolumePreparation().image(values, grid_of((20, 20, 20))).numpy()
    for channel, shown in zip(values, image, strict=True):
        low, high = np.sort(channel.ravel())[[40, 7959]]  # 0.5 % of 8000 on each side, to a voxel
        np.testing.assert_allclose(shown, ((channel - low) / (high - low)).clip(0, 1), atol=0.01)
        assert (shown == 0).sum() == (shown == 1).sum() == 40


def test_a_constant_channel_becomes_0():
    assert VolumePreparation().image(filled(7), grid_of()).unique().tolist() == [0]
    assert VolumePreparation(window="abdomen").image(filled(240), grid_of()).unique().tolist() == [1]


def test_a_channel_that_is_nearly_constant_keeps_its_spot():
    values = np.zeros((10, 10, 10), np.uint8)
    values[2, 3, 4] = 200
    image = VolumePreparation().image(values, grid_of((10, 10, 10)))
    assert image.nonzero().tolist() == [[0, 2, 3, 4]] and image.max() == 1


def test_the_working_size_keeps_the_extent():
    grid = grid_of((40, 30, 11), (0.8, 0.8, 2.5))
    assert VolumePreparation().size(grid) == (40, 30, 11)
    assert VolumePreparation((1, 1.2, 2)).size(grid) == (32, 20, 14)
    assert VolumePreparation((100, 100, 100)).size(grid) == (1, 1, 1)


def test_resampling_is_linear_for_images_and_nearest_for_labels():
    grid = Grid.of((4, 4, 4), np.eye(4))
    ramp = np.broadcast_to(np.arange(4.0)[:, None, None], (4, 4, 4))
    finer = VolumePreparation((0.5, 1, 2), window="0..3")
    assert (3 * finer.image(ramp, grid)[0, :, 0, 0]).tolist() == pytest.approx(
        [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    )
    labels = finer.labels(ramp, grid)
    assert labels.shape == (8, 4, 2) and labels[:, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_it_survives_json():
    preparation = VolumePreparation((1, 1, 2.5), "-160..240")
    stored = {**to_dict(preparation), "spacing": list(preparation.spacing)}
    assert from_dict(VolumePreparation, stored) == preparation
    assert from_dict(VolumePreparation, to_dict(VolumePreparation())) == VolumePreparation()


@pytest.mark.parametrize(
    ("spacing", "window", "texts"),
    [
        ((1, 1, 0), "nih", ("spacing (1, 1, 0)", "three positive")),
        ((1, 1), "nih", ("spacing (1, 1)", "three positive")),
        (None, "pancras", ("'pancras'", "did you mean pancreas?", "percentiles", "-160..240")),
        (None, "240..-160", ("'240..-160'",)),
        (None, "1..", ("'1..'",)),
    ],
)
def test_wrong_settings(fails, spacing, window, texts):
    with fails(*texts, error=InputError):
        VolumePreparation(spacing, window)


@pytest.fixture
def save(tmp_path):
    def write(name, values, affine=None):
        nibabel.save(nibabel.Nifti1Image(values, np.diag([-1, 1, 2, 1]) if affine is None else affine), tmp_path / name)
        return tmp_path / name

    return write


def test_files_of_one_volume_are_its_channels(save):
    values = np.random.default_rng(0).integers(0, 99, (2, *SHAPE), dtype=np.uint8)
    paths = [save(f"x_000{channel}.nii.gz", values[channel]) for channel in range(2)]
    together = save("both.nii.gz", np.moveaxis(values, 0, -1))
    preparation = VolumePreparation(window="0..100")
    image, grid = read_volume(paths, preparation, channels=2)
    np.testing.assert_allclose(image, values[:, ::-1] / np.float32(100), rtol=1e-6)
    assert grid.size == SHAPE
    assert read_volume([together], preparation)[0].equal(image)


def test_channels_must_fit(save, fails):
    path = save("x.nii.gz", filled(1, 2))
    with fails("x.nii.gz has 1 channels", "fitted on 2", "_0001", error=DataError):
        read_volume([path], VolumePreparation(), channels=2)
    with fails("x.nii.gz is 6x5x4 voxels and", "y.nii.gz 6x5x3", error=DataError):
        read_volume([path, save("y.nii.gz", filled(1)[..., :3])], VolumePreparation())
    with fails("x.nii.gz and", "z.nii.gz lie apart", error=DataError):
        read_volume([path, save("z.nii.gz", filled(1), np.diag([-1, 1, 2.01, 1]))], VolumePreparation())


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16, np.uint64, np.int64])
def test_whole_numbers_of_every_type_are_windowed_as_floats_are(window, kind):
    """-160 is no uint8, and 127 + 160 no int8."""
    values = np.resize(np.array([0, 1, 60, 100, 127], kind), (1, *SHAPE))
    found = VolumePreparation(window=window).windowed(values).numpy()
    low, high = LIMITS[window]
    assert found == pytest.approx((values.astype(float).clip(low, high) - low) / (high - low))


def test_a_spacing_in_the_header_that_makes_too_many_voxels(save, fails):
    path = save("wide.nii.gz", np.zeros((4, 5, 6), np.int16), np.diag([1000, 1000, 1000, 1]))
    two_mm = VolumePreparation(spacing=(2, 2, 2))
    for read in (lambda: read_volume([path], two_mm), lambda: read_volume_labels(path, two_mm)):
        with fails(
            "wide.nii.gz would have 2000x2500x3000 voxels", "correct the spacing in its header", error=DataError
        ):
            read()
