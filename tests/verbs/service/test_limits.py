from __future__ import annotations

import pytest

from synthcp.data.finding import IMAGE_SUFFIXES
from synthcp.data.nifti import SUFFIXES
from synthcp.errors import InputError
from synthcp.segmentation.saved import SUFFIXES as SAVED
from synthcp.verbs.service.limits import IMAGES, PREDICTIONS, VOLUMES, Limits, Refused, Types, suffix_of


@pytest.mark.parametrize(("types", "read"), [(IMAGES, IMAGE_SUFFIXES), (VOLUMES, SUFFIXES), (PREDICTIONS, SAVED)])
def test_what_is_taken_is_what_is_read(types: Types, read: tuple[str, ...]) -> None:
    assert {ending for endings in types.values() for ending in endings} == set(read)


@pytest.mark.parametrize(
    ("kind", "name", "types", "suffix"),
    [
        ("image/png", "", IMAGES, ".png"),
        ("Image/JPEG; q=1", "photo.png", IMAGES, ".jpg"),
        ("application/octet-stream", "../A/PHOTO.TIFF", IMAGES, ".tiff"),
        ("", "a.webp", IMAGES, ".webp"),
        ("application/gzip", "", VOLUMES, ".nii.gz"),
        ("", "case.nii.gz", VOLUMES, ".nii.gz"),
        ("", "case.nii", VOLUMES, ".nii"),
        ("", "scores.npz", PREDICTIONS, ".npz"),
    ],
)
def test_the_type_tells_how_a_file_ends_and_else_its_name(kind, name, types, suffix):
    assert suffix_of(kind, name, types) == suffix


@pytest.mark.parametrize(
    ("kind", "name", "types"),
    [
        ("text/html", "a.png", IMAGES),
        ("image/svg+xml", "a.svg", IMAGES),
        ("image/png", "a.png", VOLUMES),
        ("application/gzip", "", IMAGES),
        ("", "", IMAGES),
        ("", "a.png.exe", IMAGES),
        ("", "a.nii.gz", IMAGES),
        ("x" * 5000, "", IMAGES),
    ],
)
def test_another_type_is_415(kind, name, types):
    with pytest.raises(Refused) as refused:
        suffix_of(kind, name, types)
    told = str(refused.value)
    assert refused.value.code == 415 and "is not taken; send one of type " in told and len(told) < 400
    assert next(iter(types)) in told


def test_limits_have_limits(fails):
    with fails("queue of Limits is 0", error=InputError):
        Limits(queue=0)
    with fails("megapixels of Limits is 501"):
        Limits(megapixels=501)
