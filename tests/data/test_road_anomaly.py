from __future__ import annotations

import pytest

from synthcp.data.images import read_image
from synthcp.data.road_anomaly import RoadAnomaly
from synthcp.data.specs import open_dataset
from synthcp.errors import DataError, InputError

SCENES = {"animals10": "street", "animals2_cow": "paved", "tires03": "other"}


@pytest.fixture
def released(tmp_path, write_pair):
    """The original release: labels beside the images, 2 = anomaly."""
    for row, name in enumerate(SCENES):
        label = tmp_path / "frames" / f"{name}.labels" / "labels_semantic.png"
        write_pair(tmp_path / "frames" / f"{name}.jpg", label, *[0] * row, 2)
    (tmp_path / "frame_list.json").write_text("[]")
    return tmp_path


@pytest.fixture
def listed(tmp_path, write_pair):
    """Images, labels and a manifest, 1 = anomaly."""
    for row, name in enumerate(SCENES):
        write_pair(tmp_path / "images" / f"{name}.jpg", tmp_path / "labels" / f"{name}.png", *[0] * row, 1)
    lines = ["name,object,scene", *(f"{name},thing,{scene}" for name, scene in SCENES.items())]
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return tmp_path


@pytest.mark.parametrize("layout", ["released", "listed"])
def test_both_layouts(request, layout):
    root = request.getfixturevalue(layout)
    dataset = RoadAnomaly(root)
    assert dataset.ids == ["animals2_cow", "animals10", "tires03"]
    for sample, row in zip(dataset, (1, 0, 2), strict=True):
        assert sample.anomaly_mask.nonzero()[:, 0].unique().tolist() == [row]
        assert sample.label_map is None and sample.roi.all()
    folder = "frames" if layout == "released" else "images"
    assert dataset[2].image.equal(read_image(root / folder / "tires03.jpg"))


def test_scenes(listed, fails):
    spec = f"road_anomaly:{listed}?split=test&scene="
    assert open_dataset(f"{spec}street").ids == ["animals10"]
    assert open_dataset(f"{spec}street,other").ids == ["animals10", "tires03"]
    with fails("scene=stret", "did you mean street?", "other, paved, street", error=InputError):
        open_dataset(f"{spec}stret")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"name,kind\nanimals10,street\n", "has no column 'scene'"),
        (b"name,scene\nanimals10,street\n", ".jpg is not in"),
        (b"name,scene\nanimals10,street\ntires03\n", ".jpg is not in"),
        (b"name,scene\n\xff\xfe,street\n", "is not readable as CSV"),
        (b"name,scene\nanimals10,street\nanimals10,paved\n", "puts animals10 in several scenes"),
    ],
)
def test_a_manifest_that_will_not_do(listed, fails, content, text):
    (listed / "manifest.csv").write_bytes(content)
    with fails("manifest.csv", text, error=DataError):
        RoadAnomaly(listed, scene=["street"])


def test_scenes_need_a_manifest(released, fails):
    with fails("manifest.csv: no such file", "name and scene", error=DataError):
        RoadAnomaly(released, scene=["street"])


def test_missing_parts(released, fails):
    with fails("no split 'train'", "choose one of test", error=DataError):
        RoadAnomaly(released, "train")
    (released / "frames/tires03.labels/labels_semantic.png").unlink()
    with fails("labels_semantic.png is missing", "tires03.jpg", "NAME.labels", error=DataError):
        RoadAnomaly(released)
    (released / "frames").rename(released / "elsewhere")
    with fails("holds no frame", "frames/NAME.jpg", "images/NAME.jpg", error=DataError):
        RoadAnomaly(released)


def test_a_value_of_the_other_layout(listed, fails, write_label):
    write_label(listed / "labels" / "tires03.png", 2)
    with fails("tires03.png holds the value 2", "anomaly 1", error=DataError):
        RoadAnomaly(listed)[2]
