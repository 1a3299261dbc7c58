"""An output folder that holds what is read is refused before anything is written."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image

from synthcp.data.degradation import Degraded
from synthcp.data.folder import Folder
from synthcp.monitor.monitor import Monitor
from synthcp.segmentation.saved import SavedPredictions
from synthcp.verbs.audit.run import audit
from synthcp.verbs.evaluate import evaluate
from synthcp.verbs.score import score


@pytest.fixture
def labelled(scenes, images, tmp_path):
    """A data set on disk."""
    root = tmp_path / "out" / "data"
    shutil.copytree(images, root / "images" / "test")
    (root / "labels" / "test").mkdir(parents=True)
    for number, sample in enumerate(scenes):
        label_map = sample.label_map[:, : 64 - number].to(torch.uint8)
        Image.fromarray(label_map.numpy()).save(root / "labels" / "test" / f"{sample.id}.png")
    (root / "classes.json").write_text(f'{{"names": {list(scenes.classes.names)}}}'.replace("'", '"'))
    return root


@pytest.fixture
def refuses(tmp_path, fails):
    """Expect a refusal that names what came, and nothing lost."""
    before = set(tmp_path.rglob("*"))

    def expect(what, run):
        with fails(f"{tmp_path / 'out'} holds an input, {what}", "would be replaced as a whole; choose another output"):
            run(tmp_path / "out")
        assert before <= set(tmp_path.rglob("*"))

    return expect


def test_images_in_the_output_folder_are_refused(monitor, images, tmp_path, refuses):
    inside = shutil.copytree(images, tmp_path / "out" / "maps")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "a.png").symlink_to(inside / "test-0000.png")
    refuses(inside, lambda out: score(monitor, inside, out))
    refuses(inside, lambda out: score(monitor, [images, inside / "test-0001.png"], out))
    refuses(tmp_path / "links" / "a.png", lambda out: score(monitor, tmp_path / "links", out))


def test_a_data_set_in_the_output_folder_is_refused(monitor, labelled, refuses):
    for verb in (evaluate, audit):
        refuses(labelled, lambda out, verb=verb: verb(monitor, Folder(labelled, "test"), out))
        refuses(labelled, lambda out, verb=verb: verb(monitor, f"degraded:folder:{labelled}?split=test", out))
    assert len(Degraded(Folder(labelled, "test"), (0, 0)).read_from) == 2 * 5


def test_predictions_in_the_output_folder_are_refused(monitor, labelled, images, scenes, refuses):
    saved = SavedPredictions(labelled / "labels", scenes.classes, 2)
    other = Monitor(replace(monitor.settings), saved, monitor.generator, monitor.network, monitor.runtime)
    refuses(labelled / "labels", lambda out: score(other, images, out))
    refuses(labelled / "labels", lambda out: audit(other, scenes, out))
