"""preds:DIR, predictions that another program left on disk, found by the id of their image."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthcp.data.images import read_label_map
from synthcp.data.nifti import MAX_VOXELS, Grid, read_grid, read_label_nifti, require_same_grid
from synthcp.errors import DataError, InputError
from synthcp.nn.spatial import SpatialDims
from synthcp.records import Classes, Prediction
from synthcp.segmentation.base import certain, log_probabilities
from synthcp.segmentation.class_mapping import ClassMapping, read_mapping
from synthcp.segmentation.pairing import agree, pair
from synthcp.system.npz import Shape, read_npz
from synthcp.system.spec import path_of
from synthcp.system.walk import walk

SUFFIXES = (".npz", ".nii.gz", ".nii", ".png")
"""What is read; where one image has several files, the earliest of these wins."""

FOLD = re.compile(r"(?:.*/)?fold_\w+/validation/(?P<id>.*)")
"""Where nnU-Net leaves the predictions of the images that a fold has not seen."""

PROBABILITIES = ("probabilities", "softmax")
KEYS = (*PROBABILITIES, "logits")
"""Under which class scores lie in an NPZ file."""

SUM_TOLERANCE = 1e-2
"""By which the probabilities of a pixel may miss 1, as those that were computed and stored in half precision do."""

MOST_CLASSES = 4096
LARGEST = 2
"""How many times longer the sides of a flat prediction may be than those of its image."""


class SavedPredictions:
    """A folder of predictions: label maps (PNG, NIfTI) or probabilities (NPZ), in any sub-folders.

    A file belongs to the image whose id is its path without the suffix; below "fold_0/validation/" and the like, where
    nnU-Net leaves them, the path begins there. Otherwise the longest end that both paths share decides, if no other
    file and no other image ends so (see `pairing.pair`): a file serves one image. nnU-Net's channel number at the end
    of an image's name ("_0000") need not be there.

    Args:
        folder: Of the predictions.
        classes: The label set of the data.
        spatial_dims: 2 or 3.
        mapping: JSON file from the classes of the predictions (by index) to those of the data.

    Raises:
        InputError: There is no such folder, or no prediction in it, or the mapping is unusable.
    """

    def __init__(self, folder: Path, classes: Classes, spatial_dims: SpatialDims, mapping: Path | None = None) -> None:
        self.folder = path_of(folder)
        self.classes = classes
        self.spatial_dims = spatial_dims
        self.mapping = None if mapping is None else read_mapping(mapping, classes)
        self.files = _found(self.folder)
        self._pairs: dict[str, str] = {}

    def of_folder(self, folder: Path) -> SavedPredictions:
        """Return the predictions of another folder, read as these are; errors as of a new one."""
        other = SavedPredictions(folder, self.classes, self.spatial_dims)
        other.mapping = self.mapping
        return other

    @property
    def are_label_maps(self) -> bool:
        """Whether some of them are label maps, which do not say how sure M was."""
        return any(path.suffix != ".npz" for path in self.files.values())

    def stamp(self) -> str:
        """Size and time of every file: another text once a prediction is written again."""
        states = ((key, path.stat()) for key, path in sorted(self.files.items()))
        return ", ".join(f"{key} {state.st_size} {state.st_mtime_ns}" for key, state in states)

    def require(self, ids: Sequence[str]) -> None:
        """Pair the images with the files, and check that every image has a prediction.

        Args:
            ids: Of all images that will be asked for; only then is it known whose a name without its folder is.

        Raises:
            InputError: Some have none, or it is not clear which file is theirs.
        """
        self._pairs = pair(ids, self.files)
        missing = [sample_id for sample_id in ids if sample_id not in self._pairs]
        if missing:
            raise InputError(
                f"{self.folder} has no prediction of {len(missing)} of the {len(ids)} images (first: {missing[0]}); "
                f"write one for each, named after its image with its folder, such as {missing[0]}.png"
            )

    @property
    def unused(self) -> list[Path]:
        """The files that belong to no image of those that were required last."""
        return [self.files[key] for key in sorted(self.files.keys() - set(self._pairs.values()))]

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
            prediction = certain(self._label_map(path, tuple(image.shape[2:]))[None], len(self.classes))
        return Prediction(prediction.logits.to(image.device))

    def _file(self, sample_id: str) -> Path | None:
        """The file of an image; None when there is none. One that was not required may not contradict the folders."""
        if sample_id not in self._pairs:
            key = pair([*self._pairs, sample_id], self.files).get(sample_id, "")
            return self.files[key] if key and agree(sample_id, key) else None
        return self.files[self._pairs[sample_id]]

    def _label_map(self, path: Path, size: tuple[int, ...]) -> Tensor:
        if path.name.endswith(".png"):
            if self.spatial_dims != 2:
                raise DataError(f"{path} is flat, but the data are volumes; write .nii.gz or .npz files")
            labels = read_label_map(path, self.classes.colors)
            _check_size(path, tuple(labels.shape), size)
        else:
            if self.spatial_dims != 3:
                raise DataError(f"{path} is a volume, but the data are flat images; write .png or .npz files")
            labels = torch.from_numpy(read_label_nifti(path)[0]).long()
        self._check_labels(path, labels)
        self._check_void(path, labels)
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
                f"(and {self.classes.ignore_index} for none), in the order of their names whatever "
                '"values" in classes.json says; add ?mapping=FILE.json from its labels to these'
            )

    def _check_void(self, path: Path, labels: Tensor) -> None:
        """Refuse 0 and 255 alone of two classes: a mask of the second class, or pixels without a class?"""
        names, void = self.classes.names, labels == 255
        if self.mapping is None and len(names) == 2 and bool(void.any()) and not bool((labels[~void] > 0).any()):
            one, none = {"0": names[0], "255": names[1]}, {"0": names[0], "1": names[1], "255": None}
            raise DataError(
                f"{path} holds 0 and 255 alone, and of two classes 255 may be {names[1]!r} or none; say which by "
                f"?mapping=FILE.json, {json.dumps(one)} or {json.dumps(none)}"
            )

    def _logits(self, path: Path, size: tuple[int, ...]) -> Tensor:
        key, array = read_npz(path, KEYS, partial(self._require_shape, path, size))
        scores = _spatial(path, array.astype(np.float32), size)
        if not bool(scores.isfinite().all()):
            raise DataError(f"{path} holds values that are NaN or infinite; write it again")
        if key in PROBABILITIES:
            if scores.min() < -1e-3 or scores.max() > 1 + 1e-3:
                raise DataError(f"{path} holds {key} outside [0, 1]; if they are logits, store them under 'logits'")
            _require_sums(path, key, scores)
            scores = log_probabilities(scores.clamp(0, 1))
        return scores if self.mapping is None else ClassMapping(len(scores), self.mapping).logits(scores[None])[0]

    def _require_shape(self, path: Path, size: tuple[int, ...], shape: Shape) -> None:
        """Judge the shape of class scores before they are read."""
        spatial = shape[2:] if _is_flat(shape, size) else shape[1:]
        if len(spatial) != len(size) or 0 in shape:
            raise DataError(f"{path} has the shape {shape}; class scores have one axis more than the image")
        self._require_classes(path, shape[0])
        if self.spatial_dims == 2:
            _check_size(path, spatial, size)
        elif math.prod(spatial) > MAX_VOXELS:
            raise DataError(
                f"{path} has the shape {shape}; volumes have up to {MAX_VOXELS:.1e} voxels; make it coarser"
            )

    def _require_classes(self, path: Path, came: int) -> None:
        highest = 0 if self.mapping is None else max(map(max, self.mapping))
        if self.mapping is not None and not highest < came <= MOST_CLASSES:
            raise DataError(
                f"{path} holds {came} classes, but the mapping names class {highest}, and {MOST_CLASSES} are read at "
                "most; correct it"
            )
        if self.mapping is None and came != len(self.classes):
            raise DataError(
                f"{path} holds {came} classes, the data has {len(self.classes)}; add ?mapping=FILE.json from its "
                "classes to the data's"
            )


def _found(folder: Path) -> Mapping[str, Path]:
    """The files by their path without suffix; those of folds without what comes before, unless it tells them apart."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; check the path of the predictions")
    walked, files = walk(folder, results=True), dict[str, Path]()
    for suffix in SUFFIXES:
        for path in walked.files:
            if path.name.endswith(suffix):
                files.setdefault(_stem(path.relative_to(folder).as_posix()), path)
    if not files:
        raise InputError(f"{folder} holds no prediction; put files in it that end in {', '.join(SUFFIXES)}")
    short = {key: match["id"] if (match := FOLD.fullmatch(key)) else key for key in files}
    times = Counter(short.values())
    return {short[key] if times[short[key]] == 1 else key: path for key, path in files.items()}


def _stem(name: str) -> str:
    """A path without the suffix by which it was found."""
    return next(name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix))


def _spatial(path: Path, array: Any, size: tuple[int, ...]) -> Tensor:
    """Class scores on the axes of the image: nnU-Net gives flat images an axis of 1, and stores volumes as z, y, x."""
    if _is_flat(array.shape, size):
        array = array[:, 0]
    volume = _nifti_beside(path)
    if len(size) == 3 and volume is not None:
        grid = read_grid(volume)
        array = np.stack([grid.to_ras(scores.T) for scores in array])
    return torch.from_numpy(np.ascontiguousarray(array))


def _require_sums(path: Path, key: str, probabilities: Tensor) -> None:
    sums = probabilities.sum(dim=0).flatten()
    worst = float(sums[(sums - 1).abs().argmax()])
    if abs(worst - 1) > SUM_TOLERANCE:
        raise DataError(
            f"{path} holds {key} of a pixel whose sum is {worst:.4g}; those of all classes sum to 1; divide them by "
            "their sum, or store what was before softmax or sigmoid under 'logits'"
        )


def _is_flat(shape: Shape, size: Shape) -> bool:
    return len(shape) == 4 and len(size) == 2 and shape[1] == 1


def _nifti_beside(path: Path) -> Path | None:
    """The file itself, if it is NIfTI, or the NIfTI file of the same name, which says how an NPZ file lies."""
    stem = _stem(path.as_posix())
    return next((other for other in (Path(stem + end) for end in (".nii.gz", ".nii")) if other.is_file()), None)


def _check_size(path: Path, came: Shape, image: Shape) -> None:
    """Predictions may be smaller than the image, or a little larger, but must cover the same view."""
    scale = max(side / whole for side, whole in zip(came, image, strict=True))
    off = [abs(side - scale * whole) for side, whole in zip(came, image, strict=True)]
    sizes = "x".join(map(str, came)), "x".join(map(str, image))
    if scale > LARGEST:
        raise DataError(f"{path} is {sizes[0]}, more than {LARGEST} times its image of {sizes[1]}; write it as large")
    if any(gap > max(1.0, 0.02 * scale * whole) for gap, whole in zip(off, image, strict=True)):
        raise DataError(f"{path} is {sizes[0]} and its image {sizes[1]}; a prediction has the aspect of its image")
