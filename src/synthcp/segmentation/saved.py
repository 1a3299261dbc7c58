"""preds:DIR, predictions that another program left on disk, found by the id of their image."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthcp.data.images import read_label_map
from synthcp.data.nifti import Grid, read_grid, read_label_nifti, require_same_grid
from synthcp.errors import DataError, InputError
from synthcp.nn.spatial import SpatialDims
from synthcp.records import Classes, Prediction
from synthcp.segmentation.base import certain, log_probabilities
from synthcp.segmentation.class_mapping import ClassMapping, read_mapping
from synthcp.system.walk import walk

SUFFIXES = (".npz", ".nii.gz", ".nii", ".png")
"""What is read; where one image has several files, the earliest of these wins."""

FOLD = re.compile(r"(?:.*/)?fold_\w+/validation/(?P<id>.*)")
"""Where nnU-Net leaves the predictions of the images that a fold has not seen."""

PROBABILITIES = ("probabilities", "softmax")


class SavedPredictions:
    """A folder of predictions: label maps (PNG, NIfTI) or probabilities (NPZ), in any sub-folders.

    A file belongs to the image whose id is its path without the suffix; below "fold_0/validation/" and the like, where
    nnU-Net leaves them, the path begins there. Otherwise the file is taken that shares the last part of the id and most
    of the parts before. nnU-Net's channel number at the end of an image's name ("_0000") need not be there.

    Args:
        folder: Of the predictions.
        classes: The label set of the data.
        spatial_dims: 2 or 3.
        mapping: JSON file from the classes of the predictions (by index) to those of the data.

    Raises:
        InputError: There is no such folder, or no prediction in it, or the mapping is unusable.
    """

    def __init__(self, folder: Path, classes: Classes, spatial_dims: SpatialDims, mapping: Path | None = None) -> None:
        self.folder = folder.expanduser()
        self.classes = classes
        self.spatial_dims = spatial_dims
        self.mapping = None if mapping is None else read_mapping(mapping, classes)
        self.files, self.by_name = _found(self.folder)

    @property
    def are_label_maps(self) -> bool:
        """Whether some of them are label maps, which do not say how sure M was."""
        return any(path.suffix != ".npz" for path in self.files.values())

    def require(self, ids: Sequence[str]) -> None:
        """Check that every image has a prediction.

        Raises:
            InputError: Some have none, or it is not clear which file is theirs.
        """
        missing = [sample_id for sample_id in ids if self._file(sample_id) is None]
        if missing:
            raise InputError(
                f"{self.folder} has no prediction of {len(missing)} of the {len(ids)} images (first: {missing[0]}); "
                f"write one for each, named after its image, such as {missing[0]}.png"
            )

    def require_grid(self, sample_id: str, source: str, grid: Grid) -> None:
        """Check that the prediction of a volume lies on the grid of its file, as far as a NIfTI file tells.

        Raises:
            DataError: It does not; the message names both.
        """
        path = self._file(sample_id)
        volume = None if path is None else _nifti_beside(path)
        if volume is not None:
            require_same_grid(volume, read_grid(volume), Path(source), grid)

    def predict(self, sample_id: str, image: Tensor) -> Prediction:
        """Read the prediction of one image, at its own size (shapes: see Predictor).

        Volumes are worked on at another spacing than that of their files, so their aspect tells nothing.

        Raises:
            DataError: There is none, the file cannot be read, or it is of another image or of other classes.
        """
        path = self._file(sample_id)
        if path is None:
            raise DataError(f"{self.folder} has no prediction of {sample_id}; write {sample_id}.png or .npz")
        if path.name.endswith(".npz"):
            prediction = Prediction(self._logits(path, tuple(image.shape[2:]))[None])
        else:
            prediction = certain(self._label_map(path)[None], len(self.classes))
        if self.spatial_dims == 2:
            _check_aspect(path, tuple(prediction.logits.shape[2:]), tuple(image.shape[2:]))
        return Prediction(prediction.logits.to(image.device))

    def _file(self, sample_id: str) -> Path | None:
        """The file of an image; None when there is none."""
        for key in dict.fromkeys((sample_id, sample_id.removesuffix("_0000"))):
            if key in self.files:
                return self.files[key]
            found = self.by_name.get(key.rpartition("/")[2], [])
            nearest = max((_shared(path, key) for path in found), default=0)
            close = [path for path in found if _shared(path, key) == nearest]
            if len(close) > 1:
                raise DataError(f"{close[0]} and {close[1]} could both be the prediction of {sample_id}; keep one")
            if close:
                return close[0]
        return None

    def _label_map(self, path: Path) -> Tensor:
        if path.name.endswith(".png"):
            if self.spatial_dims != 2:
                raise DataError(f"{path} is flat, but the data are volumes; write .nii.gz or .npz files")
            labels = read_label_map(path, self.classes.colors)
        else:
            if self.spatial_dims != 3:
                raise DataError(f"{path} is a volume, but the data are flat images; write .png or .npz files")
            labels = torch.from_numpy(read_label_nifti(path)[0]).long()
        self._check_labels(path, labels)
        if self.mapping is None:
            return labels
        return ClassMapping(0, self.mapping).label_map(labels, self.classes.ignore_index)

    def _check_labels(self, path: Path, labels: Tensor) -> None:
        wrong = labels < 0
        if self.mapping is None:
            wrong = (wrong | (labels >= len(self.classes))) & (labels != self.classes.ignore_index)
        if bool(wrong.any()):
            raise DataError(
                f"{path} holds the label {int(labels[wrong][0])}, but the classes are 0 to {len(self.classes) - 1} "
                f"(and {self.classes.ignore_index} for none); add ?mapping=FILE.json from its labels to these"
            )

    def _logits(self, path: Path, size: tuple[int, ...]) -> Tensor:
        key, array = _read_arrays(path)
        scores = _spatial(path, array, size)
        if not bool(scores.isfinite().all()):
            raise DataError(f"{path} holds values that are NaN or infinite; write it again")
        if key in PROBABILITIES:
            if scores.min() < -1e-3 or scores.max() > 1 + 1e-3:
                raise DataError(f"{path} holds {key} outside [0, 1]; if they are logits, store them under 'logits'")
            scores = log_probabilities(scores.clamp(0, 1))
        if self.mapping is not None:
            highest = max(map(max, self.mapping))
            if highest >= len(scores):
                raise DataError(
                    f"{path} holds {len(scores)} classes, but the mapping names class {highest}; correct it"
                )
            return ClassMapping(len(scores), self.mapping).logits(scores[None])[0]
        if len(scores) != len(self.classes):
            raise DataError(
                f"{path} holds {len(scores)} classes, the data has {len(self.classes)}; add ?mapping=FILE.json from "
                "its classes to the data's"
            )
        return scores


def _found(folder: Path) -> tuple[Mapping[str, Path], Mapping[str, list[Path]]]:
    """The files by their path without suffix, and by the last part of it."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; check the path of the predictions")
    walked, files = walk(folder, results=True), dict[str, Path]()
    for suffix in SUFFIXES:
        for path in walked.files:
            if path.name.endswith(suffix):
                files.setdefault(_stem(path.relative_to(folder).as_posix()), path)
    if not files:
        raise InputError(f"{folder} holds no prediction; put files in it that end in {', '.join(SUFFIXES)}")
    by_name: dict[str, list[Path]] = {}
    for key, path in files.items():
        by_name.setdefault(key.rpartition("/")[2], []).append(path)
    of_folds = [(match["id"], path) for key, path in files.items() if (match := FOLD.fullmatch(key))]
    once = Counter(key for key, _ in of_folds)
    return {key: path for key, path in of_folds if once[key] == 1} | files, by_name


def _stem(name: str) -> str:
    """A path without the suffix by which it was found."""
    return next(name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix))


def _shared(path: Path, key: str) -> int:
    """How many parts, from the last, the path of a file and the id of an image have in common."""
    pairs = zip(reversed(_stem(path.as_posix()).split("/")), reversed(key.split("/")), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _read_arrays(path: Path) -> tuple[str, Any]:
    """The class scores of an NPZ file, and the key under which they lie."""
    keys = (*PROBABILITIES, "logits")
    try:
        with path.open("rb") as stream, np.load(stream) as arrays:
            key = next((key for key in keys if key in arrays), None)
            if key is None:
                raise DataError(f"{path} has the keys {', '.join(arrays) or 'none'}; one of {', '.join(keys)} is read")
            return key, arrays[key].astype(np.float32)
    except DataError:
        raise
    except Exception as error:  # damaged bytes make zipfile, zlib and NumPy raise nearly anything
        raise DataError(f"{path} cannot be read ({' '.join(str(error).split())}); write it again") from error


def _spatial(path: Path, array: Any, size: tuple[int, ...]) -> Tensor:
    """Class scores on the axes of the image: nnU-Net gives flat images an axis of 1, and stores volumes as z, y, x."""
    if array.ndim == 4 and len(size) == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != len(size) + 1 or 0 in array.shape:
        raise DataError(f"{path} has the shape {array.shape}; class scores have one axis more than the image")
    volume = _nifti_beside(path)
    if len(size) == 3 and volume is not None:
        grid = read_grid(volume)
        array = np.stack([grid.to_ras(scores.T) for scores in array])
    return torch.from_numpy(np.ascontiguousarray(array))


def _nifti_beside(path: Path) -> Path | None:
    """The file itself, if it is NIfTI, or the NIfTI file of the same name, which says how an NPZ file lies."""
    stem = _stem(path.as_posix())
    return next((other for other in (Path(stem + end) for end in (".nii.gz", ".nii")) if other.is_file()), None)


def _check_aspect(path: Path, came: tuple[int, ...], image: tuple[int, ...]) -> None:
    """Predictions may be smaller than the image, but must cover the same view."""
    scale = max(side / whole for side, whole in zip(came, image, strict=True))
    off = [abs(side - scale * whole) for side, whole in zip(came, image, strict=True)]
    if any(gap > max(1.0, 0.02 * scale * whole) for gap, whole in zip(off, image, strict=True)):
        sizes = "x".join(map(str, came)), "x".join(map(str, image))
        raise DataError(f"{path} is {sizes[0]} and its image {sizes[1]}; a prediction has the aspect of its image")
