from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pytest

from synthcp.data.nifti import Grid, read_grid, read_label_nifti, read_nifti, require_same_grid, write_nifti
from synthcp.data.transforms import resize_labels
from synthcp.data.volume_preparation import VolumePreparation
from synthcp.errors import DataError, InputError, MissingExtraError, ShapeError

SHAPE, ZOOMS = (14, 11, 9), (0.8, 0.8, 2.5)


def oblique(flips=(-1, -1, 1), zooms=ZOOMS, angle=0.3):
    """An affine that leans: axes to the left, posterior and superior, turned about two axes of the world."""
    cosine, sine = np.cos(angle), np.sin(angle)
    about_x = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    about_z = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag(np.multiply(flips, zooms))
    affine[:3, 3] = 31.5, -12.25, 7.75
    return affine


@pytest.fixture
def save(tmp_path):
    """Write voxels with an affine; all that is asked for of the header is set."""

    def write(voxels, affine=None, name="x.nii.gz", codes=(1, 4), units="mm", kind=nibabel.Nifti1Image):
        affine = oblique() if affine is None else affine
        volume = kind(voxels, affine)
        volume.set_qform(affine, codes[0])
        volume.set_sform(affine, codes[1])
        volume.header.set_xyzt_units(units)
        volume.header["descrip"] = b"a header to keep"
        nibabel.save(volume, tmp_path / name)
        return tmp_path / name

    return write


def ramp(shape=SHAPE, dtype=np.int16):
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_an_oblique_file_comes_back_on_its_own_grid(save, tmp_path, kind):
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:6, 3:5, 1:3] = 1
    labels[11, 9, 7] = 2
    path = save(labels, kind=kind)
    values, grid = read_label_nifti(path)
    working = VolumePreparation(spacing=(0.4, 0.5, 0.6)).labels(values, grid)
    assert tuple(working.shape) != grid.size
    write_nifti(tmp_path / "out.nii.gz", resize_labels(working, grid.size).numpy(), grid)

    came, went = nibabel.load(path), nibabel.load(tmp_path / "out.nii.gz")
    assert type(went) is kind and went.shape == SHAPE and went.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(went.affine, came.affine)
    for form in ("get_qform", "get_sform"):
        (one, code), (other, same) = getattr(came, form)(coded=True), getattr(went, form)(coded=True)
        np.testing.assert_array_equal(one, other)
        assert code == same
    assert went.header.get_zooms() == came.header.get_zooms()
    assert went.header.get_xyzt_units() == came.header.get_xyzt_units()
    assert bytes(went.header["descrip"]) == bytes(came.header["descrip"])
    np.testing.assert_array_equal(np.asanyarray(went.dataobj), labels)


def test_a_labelled_voxel_stays_where_it_is_in_the_world(save, tmp_path):
    labels = np.zeros(SHAPE, np.uint8)
    labels[11, 2, 7] = 3
    path = save(labels)
    place = nibabel.load(path).affine @ [11, 2, 7, 1]
    values, grid = read_label_nifti(path)
    [[x, y, z]] = np.argwhere(values == 3)
    assert grid.size == SHAPE  # left and posterior are flipped, no axis is swapped
    assert (x, y, z) == (SHAPE[0] - 12, SHAPE[1] - 3, 7)
    write_nifti(tmp_path / "out.nii", values.astype(np.uint8), grid)
    went = nibabel.load(tmp_path / "out.nii")
    [voxel] = np.argwhere(np.asanyarray(went.dataobj) == 3)
    np.testing.assert_allclose(went.affine @ [*voxel, 1], place)


def test_axes_are_turned_to_right_anterior_superior(save):
    voxels = ramp()
    swapped = np.array([[0, 0, 2.5, 0], [-0.8, 0, 0, 0], [0, 0.7, 0, 0], [0, 0, 0, 1]])  # posterior, superior, right
    values, grid = read_nifti(save(voxels, swapped))
    assert grid.size == values.shape == (9, 14, 11)
    assert grid.spacing == pytest.approx((2.5, 0.8, 0.7)) and grid.voxel_volume == pytest.approx(2.5 * 0.8 * 0.7)
    np.testing.assert_array_equal(values, voxels[::-1].transpose(2, 0, 1))
    np.testing.assert_array_equal(grid.from_ras(values), voxels)


def test_the_turn_is_that_of_nibabel(save):
    path = save(ramp(), oblique(angle=0.6)[[2, 0, 1, 3]])
    values, grid = read_nifti(path)
    expected = nibabel.as_closest_canonical(nibabel.load(path))
    np.testing.assert_array_equal(values, np.asanyarray(expected.dataobj))
    assert grid.spacing == pytest.approx(nibabel.affines.voxel_sizes(expected.affine))


@pytest.mark.parametrize(("units", "factor"), [("mm", 1), ("meter", 1000), ("micron", 0.001), (0, 1)])
def test_spacing_is_in_millimetres(save, units, factor):
    grid = read_grid(save(ramp(), units=units))
    assert grid.spacing == pytest.approx([factor * zoom for zoom in ZOOMS])
    assert grid.voxel_volume == pytest.approx(factor**3 * 1.6)


def test_channels_come_first(save):
    values, grid = read_nifti(save(ramp((*SHAPE, 2))))
    assert values.shape == (2, *SHAPE) and grid.shape == SHAPE
    np.testing.assert_array_equal(values[1], ramp((*SHAPE, 2))[::-1, ::-1, :, 1])
    for behind, channels in (((1,), ()), ((1, 1), ()), ((1, 2), (2,))):  # axes of one are dropped
        assert read_nifti(save(ramp((*SHAPE, *behind))))[0].shape == (*channels, *SHAPE)


def test_scaled_values_are_read_scaled_and_written_unscaled(save, tmp_path):
    path = save(ramp())
    header = nibabel.load(path).header.copy()
    header.set_slope_inter(2, -1024)
    header["cal_max"] = 1000
    header["vox_offset"] = header.single_vox_offset
    plain = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(header.binaryblock + plain[len(header.binaryblock) :]))
    values, grid = read_nifti(path)
    assert values[-1, -1, :3].tolist() == [-1024, -1022, -1020]  # of the stored 0, 1, 2
    write_nifti(tmp_path / "map.nii.gz", np.full(grid.size, 0.25), grid)
    written = nibabel.load(tmp_path / "map.nii.gz")
    assert written.get_data_dtype() == np.float32 and written.dataobj.slope == 1 and written.dataobj.inter == 0
    assert np.unique(np.asanyarray(written.dataobj)).tolist() == [0.25]
    assert float(written.header["cal_max"]) == 0 and float(grid.header["cal_max"]) == 1000  # the range of display


@pytest.mark.parametrize(
    ("values", "stored"), [([True], "uint8"), ([0, 255], "uint8"), ([0, 256], "int16"), ([-1, 40000], "int32")]
)
def test_whole_numbers_are_stored_small_where_they_fit(tmp_path, values, stored):
    grid = Grid.of(SHAPE, oblique())
    filled = np.resize(np.array(values), SHAPE)
    write_nifti(tmp_path / "sub" / "out.nii", filled, grid)
    written = nibabel.load(tmp_path / "sub" / "out.nii")
    assert written.get_data_dtype() == stored
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), filled[::-1, ::-1])
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["out.nii"]


def test_a_new_grid_has_its_affine(tmp_path):
    grid = Grid.of(SHAPE, oblique())
    write_nifti(tmp_path / "new.nii.gz", np.zeros(grid.size, np.uint8), grid)
    written = nibabel.load(tmp_path / "new.nii.gz")
    np.testing.assert_allclose(written.affine, oblique(), atol=1e-5)
    assert written.header.get_zooms() == pytest.approx(ZOOMS) and written.header.get_xyzt_units()[0] == "mm"


def test_what_cannot_be_written_is_named(tmp_path, fails):
    grid = Grid.of(SHAPE, oblique())
    with fails("(3, 4, 5)", "(14, 11, 9)", error=ShapeError):
        write_nifti(tmp_path / "out.nii.gz", np.zeros((3, 4, 5)), grid)
    (tmp_path / "file").write_text("")
    with fails("file/out.nii.gz cannot be written", error=InputError):
        write_nifti(tmp_path / "file" / "out.nii.gz", np.zeros(SHAPE), grid)


@pytest.mark.parametrize(
    ("voxels", "texts"),
    [
        (np.zeros((20, 30), np.uint8), ("is flat (20x30)", "3 axes")),
        (np.zeros((20, 30, 1), np.uint8), ("is flat (20x30x1)",)),
        (np.zeros((4, 5, 6, 2, 3), np.uint8), ("has the shape 4x5x6x2x3", "4 with channels last")),
        (np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")]), ("colours", "one number per voxel")),
        (np.zeros((4, 5, 6), np.complex64), ("complex64", "one number per voxel")),
        (np.resize(np.float32([0, np.nan, np.inf, 1, 2]), (2, 2, 2)), ("holds 4 voxels that are NaN or infinite",)),
        (np.resize(np.float64([1e308, 0, -1e308, 1]), (2, 2, 2)), ("holds 4 voxels", "beyond 1e+37", "write it again")),
    ],
)
def test_what_is_no_volume_is_refused(save, fails, voxels, texts):
    with fails("x.nii.gz", *texts, error=DataError):
        read_nifti(save(voxels))


def test_damaged_files_are_refused(save, tmp_path, fails):
    whole = save(np.random.default_rng(0).integers(0, 999, SHAPE).astype(np.int16)).read_bytes()
    plain = gzip.decompress(whole)
    for name, content in {
        "cut.nii.gz": whole[: len(whole) // 2],
        "crooked.nii.gz": whole[:900] + bytes(8) + whole[908:],
        "cut.nii": plain[:-9],
        "header.nii": plain[:200],
        "empty.nii.gz": b"",
        "text.nii": b"no volume " * 99,
    }.items():
        (tmp_path / name).write_bytes(content)
        with fails(name, "cannot be read", "again", error=DataError):
            read_nifti(tmp_path / name)


def test_missing_files_and_other_formats_are_refused(tmp_path, fails):
    with fails("none.nii.gz: no such file", error=DataError):
        read_nifti(tmp_path / "none.nii.gz")
    nibabel.save(nibabel.MGHImage(ramp(), np.eye(4)), tmp_path / "x.mgz")
    with fails("x.mgz is MGHImage, no NIfTI", error=DataError):
        read_nifti(tmp_path / "x.mgz")
    volume = nibabel.Nifti1Image(ramp(), None)
    volume.header.set_sform(np.diag([1.0, 1, 0, 1]), code=1)  # an affine without a way back
    nibabel.save(volume, tmp_path / "x.nii")
    with fails("x.nii has an affine", "sform", error=DataError):
        read_nifti(tmp_path / "x.nii")


def test_labels_under_a_slope_have_a_remedy_that_works(tmp_path, fails):
    stored = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) % 3
    image = nibabel.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(1 / 255, 0)
    nibabel.save(image, tmp_path / "x.nii")
    with fails("its header multiplies", "0.00392157 and adds 0", "get_unscaled()", error=DataError):
        read_label_nifti(tmp_path / "x.nii")
    image = nibabel.load(tmp_path / "x.nii")
    nibabel.save(nibabel.Nifti1Image(image.dataobj.get_unscaled(), image.affine), tmp_path / "y.nii")
    assert np.array_equal(read_label_nifti(tmp_path / "y.nii")[0], stored)


def test_labels_are_whole_numbers(save, fails):
    labels = np.zeros(SHAPE, np.float32)
    labels[3, 4, 5] = 2
    values, _ = read_label_nifti(save(labels))
    assert values.dtype == np.int64 and np.unique(values).tolist() == [0, 2]
    labels[0, 0, :3] = 0.5
    with fails("x.nii.gz holds the label 0.5 (and 2 more such voxels)", "nearest", error=DataError):
        read_label_nifti(save(labels))
    with fails("x.nii.gz has 2 channels", error=DataError):
        read_label_nifti(save(ramp((*SHAPE, 2))))


def test_an_image_and_a_mask_must_lie_on_one_grid(save, fails):
    path, close, apart = save(ramp()), oblique(), oblique()
    close[0, 3] += 5e-4
    apart[1, 1] += 5e-3
    require_same_grid(path, read_grid(path), path, read_grid(save(ramp(), close, "close.nii")))
    with fails("x.nii.gz and", "apart.nii lie apart", "0.005", error=DataError):
        require_same_grid(
            path, read_grid(path), path.with_name("apart.nii"), read_grid(save(ramp(), apart, "apart.nii"))
        )
    with fails("x.nii.gz is 14x11x9 voxels and", "small.nii 14x11x8", error=DataError):
        other = save(ramp((14, 11, 8)), name="small.nii")
        require_same_grid(path, read_grid(path), other, read_grid(other))


def test_volumes_need_nibabel(save, monkeypatch):
    path = save(ramp())
    monkeypatch.setitem(__import__("sys").modules, "nibabel", None)
    with pytest.raises(MissingExtraError, match=r'nibabel is not installed.*pip install "synthcp\[medical\]"'):
        read_nifti(path)


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
@pytest.mark.parametrize(
    ("shape", "text"),
    [((1200, 1200, 1200), "1200x1200x1200 voxels, more than 536870912"), ((700, 700, 700), "shorter than its header")],
)
def test_a_header_that_claims_more_than_is_there(tmp_path, fails, name, shape, text):
    header = nibabel.Nifti1Header()
    header.set_data_shape(shape)
    header["magic"], header["vox_offset"] = b"n+1", 352
    content = header.binaryblock + bytes(2000)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with fails(name, text, error=DataError):
        read_nifti(tmp_path / name)


@pytest.mark.parametrize("missing", [0, 1])
def test_a_packed_file_is_measured_unpacked(save, tmp_path, fails, missing):
    content = gzip.decompress(save(np.random.default_rng(0).integers(0, 999, SHAPE).astype(np.int16)).read_bytes())
    path = tmp_path / "short.nii.gz"
    path.write_bytes(gzip.compress(content[: len(content) - missing]))
    if not missing:
        assert read_nifti(path)[0].shape == SHAPE
        return
    with fails("short.nii.gz cannot be read: it is shorter than its header claims", error=DataError):
        read_nifti(path)


def test_a_header_as_long_as_memory(tmp_path, fails):
    header = nibabel.Nifti1Header()
    header.set_data_shape(SHAPE)
    header["magic"], header["vox_offset"] = b"n+1", 2e9
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(header.binaryblock + b"\1" + bytes(10**6)))
    for read in (read_nifti, read_grid):
        with fails("x.nii.gz has a header of 2000000000 bytes", "convert the file anew", error=DataError):
            read(tmp_path / "x.nii.gz")


@pytest.mark.parametrize("side", [1e30, 2e4, 1e-6])
def test_voxels_of_a_side_that_no_scanner_has(save, fails, side):
    path = save(np.zeros((4, 5, 6), np.int16), np.diag([1.0, side, 1.0, 1.0]))
    with fails(f"{path} has voxels of 1 x {side:.3g} x 1 mm", "sides are 1e-05 to 10000", error=DataError):
        read_nifti(path)
