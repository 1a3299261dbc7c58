"""Anomaly scores in the files that the public toolkit of SegmentMeIfYouCan evaluates (and that its test sets ask for).

The toolkit (road-anomaly-benchmark) reads `OUTPUTS/anomaly_p/METHOD/DATASET/FRAME.hdf5`, one file per image, with the
scores as a float16 dataset named "value" of the size of the image, compressed with gzip. OUTPUTS is its folder
`outputs`, or where the variable DIR_OUTPUTS points; DATASET is `AnomalyTrack-all`, `ObstacleTrack-all`,
`LostAndFound-test` and so on; FRAME is the name of the image without its suffix.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from synthcp.errors import InputError, ShapeError
from synthcp.system.extras import import_extra
from synthcp.system.files import replace_whole

_LARGEST = float(np.finfo(np.float16).max)


def write_scores(outputs: Path, method: str, dataset: str, frame: str, scores: Tensor | NDArray[np.floating]) -> Path:
    """Write the anomaly scores of one image, whole or not at all.

    float16 has 11 significant bits: scores in [0, 1] stay apart, scores in 200 + [0, 1] fall together. Shift and scale
    them first where that matters; no ranking changes by it.

    Args:
        outputs: The toolkit's folder of outputs.
        method: Name of the detector.
        dataset: Name of the data set in the toolkit.
        frame: Name of the image in the toolkit.
        scores: shape (H, W), larger = more likely unknown, in [-65504, 65504].

    Returns:
        The path of the file.

    Raises:
        MissingExtraError: h5py is not installed.
        InputError: A name is no plain name, a score is NaN or beyond float16, or the file cannot be written.
        ShapeError: The scores are not of one image.
    """
    path = scores_path(outputs, method, dataset, frame)
    values = _as_float16(scores, frame)
    h5py = import_extra("h5py", "smiyc")
    with replace_whole(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("value", data=values, compression="gzip", compression_opts=9)
    return path


def scores_path(outputs: Path, method: str, dataset: str, frame: str) -> Path:
    """Where the toolkit looks for the scores of an image; raises InputError for a name that is no plain file name."""
    for what, name in {"method": method, "data set": dataset, "frame": frame}.items():
        if not name.strip(".") or name != Path(name).name or "\\" in name:
            raise InputError(f"the name {name!r} of a {what} is no plain file name; leave out folders")
    return outputs / "anomaly_p" / method / dataset / f"{frame}.hdf5"


def _as_float16(scores: Tensor | NDArray[np.floating], frame: str) -> NDArray[np.float16]:
    values = scores.detach().cpu().float().numpy() if isinstance(scores, Tensor) else np.asarray(scores)
    if values.ndim != 2:
        raise ShapeError(f"the scores of {frame} have shape {values.shape}; give one image, (H, W)")
    if not (np.abs(values) <= _LARGEST).all():
        raise InputError(f"scores of {frame} are NaN or beyond {_LARGEST:.0f}, the range of float16; scale them first")
    return values.astype(np.float16)
