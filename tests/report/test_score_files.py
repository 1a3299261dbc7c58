from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from synthcp.errors import MissingExtraError, ShapeError
from synthcp.report.score_files import write_scores

Fails = Callable[..., AbstractContextManager[None]]
NAMES = ("ours", "AnomalyTrack-all", "validation0003")
SCORES = np.linspace(-3, 700, 42).reshape(6, 7)


def test_the_file_is_what_the_toolkit_reads(tmp_path: Path) -> None:
    path = write_scores(tmp_path, *NAMES, SCORES)
    assert path == tmp_path / "anomaly_p/ours/AnomalyTrack-all/validation0003.hdf5"
    with h5py.File(path, "r") as file:
        assert list(file) == ["value"]
        assert (file["value"].dtype, file["value"].compression) == (np.float16, "gzip")
        assert np.array_equal(file["value"][:], SCORES.astype(np.float16))
    assert [item.name for item in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_scores_are_read_back(tmp_path: Path, dtype: torch.dtype) -> None:
    scores = torch.from_numpy(SCORES).to(dtype).requires_grad_()
    with h5py.File(write_scores(tmp_path, *NAMES, scores), "r") as file:
        read = file["value"][()]
    assert read.dtype == np.float16
    assert np.array_equal(read, scores.detach().float().numpy().astype(np.float16))


def test_a_file_is_replaced(tmp_path: Path) -> None:
    write_scores(tmp_path, *NAMES, SCORES)
    with h5py.File(write_scores(tmp_path, *NAMES, SCORES[:2]), "r") as file:
        assert file["value"].shape == (2, 7)


@pytest.mark.parametrize("value", [np.nan, np.inf, -7e4])
def test_scores_that_float16_cannot_hold_are_refused(tmp_path: Path, fails: Fails, value: float) -> None:
    with fails("validation0003", "65504", "scale"):
        write_scores(tmp_path, *NAMES, np.where(SCORES > 600, value, SCORES))
    with fails("(6, 7, 1)", "(H, W)", error=ShapeError):
        write_scores(tmp_path, *NAMES, SCORES[..., None])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("frame", ["", "..", "scene/frame", "../../frame", "scene\\frame"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, fails: Fails, frame: str) -> None:
    with fails(repr(frame), "plain file name"):
        write_scores(tmp_path, "ours", "AnomalyTrack-all", frame, SCORES)


def test_a_folder_that_does_not_work_is_named(tmp_path: Path, fails: Fails) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("no HDF5")
    with fails(str(occupied), "cannot be written"):
        write_scores(occupied, *NAMES, SCORES)


def test_without_h5py_the_extra_is_named(tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with fails('pip install "synthcp[smiyc]"', error=MissingExtraError):
        write_scores(tmp_path, *NAMES, SCORES)
