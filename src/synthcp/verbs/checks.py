"""What a verb refuses before it writes anything: data, predictions and score files that do not fit the monitor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast, get_args

from torch import Tensor

from synthcp.data.base import Dataset
from synthcp.data.check import check_labels, check_range
from synthcp.data.finding import Input
from synthcp.data.nifti import Grid
from synthcp.data.readable import Readable
from synthcp.errors import DataError, InputError, shortened
from synthcp.monitor.monitor import Monitor
from synthcp.report.maps import MapFiles
from synthcp.report.outputs import RUN, read_settings
from synthcp.report.score_files import scores_path
from synthcp.segmentation.saved import SavedPredictions
from synthcp.system.failures import Failures

METHOD = "synthcp"
"""Under which name score files are found by the SegmentMeIfYouCan toolkit."""


def require_match(dataset: Dataset, monitor: Monitor) -> None:
    """Read every sample once, but for those that cannot be read, of which the row of each will tell.

    Raises:
        InputError: Classes or channels are not those of the monitor, a label map is missing or wrong, or a prediction
            is missing.
    """
    known, names = monitor.classes.names, dataset.classes.names
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"class {unknown[0]!r} of the data is unknown to the monitor; it has {', '.join(known)}")
    if names != known:
        raise InputError(f"the data's classes are {', '.join(names)}; the monitor's are {', '.join(known)}; match them")
    readable = Readable(dataset)
    _require_channels(readable, monitor)
    check_labels(readable)
    require_predictions(dataset.ids, monitor)


def require_masks(dataset: Dataset, monitor: Monitor) -> None:
    """Read every sample without label map once, but for those that cannot be read; their classes do not matter.

    Raises:
        DataError: The channels are not those of the monitor, an image lies outside [0, 1], an anomaly mask is missing,
            or none shows an anomaly.
        InputError: A prediction is missing.
    """
    readable = Readable(dataset)
    _require_channels(readable, monitor)
    masks = dict[str, Tensor | None]()
    for sample in readable:
        check_range(sample)
        masks[sample.id] = sample.anomaly_mask
    missing = [sample_id for sample_id, mask in masks.items() if mask is None]
    if missing:
        raise DataError(f"{missing[0]} has neither label map nor anomaly mask; to score images use synthcp score")
    if not any(mask is not None and mask.any() for mask in masks.values()):
        came = f"no pixel of these {len(masks)} images is anomalous"
        raise DataError(f"{came}; no detector can be judged by them; name a split with anomalies, or add label maps")
    require_predictions(dataset.ids, monitor)


def _require_channels(dataset: Dataset, monitor: Monitor) -> None:
    channels, fitted = len(dataset[0].image), monitor.settings.channels
    if channels != fitted:
        raise DataError(f"{dataset.ids[0]} has {channels} channels; the monitor was fitted on {fitted}; convert it")


def require_predictions(ids: Sequence[str], monitor: Monitor) -> None:
    """Refuse images of which some have no prediction, when M's predictions are on disk."""
    if isinstance(monitor.predictor, SavedPredictions):
        monitor.predictor.require(ids)


def require_grid(file: Input, grid: Grid | None, monitor: Monitor) -> None:
    """Refuse a volume whose prediction on disk lies on another grid than the volume itself."""
    if grid is not None and isinstance(monitor.predictor, SavedPredictions):
        monitor.predictor.require_grid(file.id, file.source, grid)


def require_score_files(files: Sequence[Input], monitor: Monitor, out: Path, dataset: str) -> None:
    """Refuse what would give no score files of a data set of the toolkit, or one file for two images."""
    if monitor.segmenter is None:
        raise InputError("predictions on disk give no anomaly scores, so no score files; fit a monitor of a live model")
    if monitor.settings.spatial_dims == 3:
        raise InputError("that toolkit judges flat images; for volumes leave --smiyc out")
    first = dict[Path, Input]()
    for file in files:
        path = scores_path(out, METHOD, dataset, frame_of(file))
        if path in first:
            raise InputError(f"{first[path].source} and {file.source} would both go to {path}; score them apart")
        first[path] = file


def require_own_folder(out: Path, shard: str) -> None:
    """Refuse to put one shard in the place of another: rows would be lost."""
    held = read_settings(out).shard if shard and (out / RUN).is_file() else ""
    if held and held != shard:
        raise InputError(
            f"{out} holds shard {held}; give shard {shard} a folder of its own, and put them together by synthcp merge"
        )


def require_maps(maps: str) -> MapFiles:
    """Return how maps are written; raises InputError for a kind that there is not."""
    for kind in get_args(MapFiles):
        if kind == maps:
            return cast(MapFiles, kind)
    raise InputError(f"kind of maps {shortened(maps)} is unknown; choose one of {', '.join(get_args(MapFiles))}")


def require_apart(out: Path, monitor: Monitor, read: Iterable[Path]) -> None:
    """Refuse an output folder in which the monitor, a prediction or another file lies that is read.

    It is replaced as a whole.
    """
    whole, predictor = out.resolve(), monitor.predictor
    held = {"the monitor": [monitor.folder] if monitor.folder else []}
    held |= {"an input": [*read, *(predictor.files.values() if isinstance(predictor, SavedPredictions) else ())]}
    for what, paths in held.items():
        for path in paths:
            if Path(path).resolve().is_relative_to(whole):
                came = f"{out} holds {what}, {path}, and would be replaced as a whole"
                raise InputError(f"{came}; choose another output folder")


def frame_of(file: Input) -> str:
    """Return the name of an image in the toolkit."""
    return Path(file.id).name


def require_some(failures: Failures, count: int, did: str) -> None:
    """Refuse a run in which not one input came out well, with the reason of the first."""
    if len(failures.messages) == count:
        others = f" (and none of the {count - 1} others could be {did})" if count > 1 else ""
        raise DataError(next(iter(failures.messages.values())) + others)


def require_unseen(dataset: Dataset, monitor: Monitor) -> None:
    """Refuse images of which the fit saw one."""
    seen = sorted(set(dataset.ids) & set(monitor.settings.training_ids))
    if seen:
        raise InputError(
            f"the fit saw {len(seen)} of the {len(dataset)} calibration images, such as {seen[0]}; a promise needs "
            "images that the monitor has never seen; give another split"
        )


def seen_in_fitting(dataset: Dataset, training_ids: Sequence[str]) -> int:
    """Return how many images of a data set share their id with an image the monitor was fitted on."""
    return len(set(dataset.ids) & set(training_ids))
