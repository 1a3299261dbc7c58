"""Score maps set aside on disk, for metrics that need a threshold which is known only after the last image."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthcp.errors import InputError

Maps = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]


class MapSpool:
    """Scores, anomalies and judged pixels of many images in a temporary folder; one image at a time is in memory.

    An image costs 5 bytes a pixel of disk. The folder lies where `tempfile` puts it (the variable TMPDIR moves it), and
    goes with the last spool that needs it.
    """

    def __init__(self) -> None:
        self._folder: _Folder | None = None
        self._maps: list[tuple[_Folder, Path]] = []

    def add(self, scores: NDArray[np.floating], anomaly: NDArray[np.bool_], judged: NDArray[np.bool_]) -> None:
        """Set aside the maps of one more image, shape (*S) each, scores at float32 precision.

        Raises:
            InputError: The temporary folder cannot be written or is full.
        """
        with np.errstate(over="ignore"):
            kept = np.where(judged, scores.astype(np.float32, copy=False), np.float32(np.nan))
        try:
            self._folder = self._folder or _Folder()
            path = self._folder.path / f"{len(self._maps)}.npz"
            np.savez(path, scores=kept, anomaly=anomaly & judged)
        except OSError as error:
            raise InputError(
                f"the score maps cannot be set aside in {tempfile.gettempdir()} ({error.strerror}); "
                "set TMPDIR to a folder with room for 5 bytes a pixel"
            ) from error
        self._maps.append((self._folder, path))

    def merge(self, other: MapSpool) -> None:
        """Share the maps that another one has set aside so far."""
        self._maps += other._maps

    def __iter__(self) -> Iterator[Maps]:
        """Scores, NaN where nothing is judged, anomalies and judged pixels of each image."""
        for _, path in self._maps:
            with np.load(path) as maps:
                scores, anomaly = maps["scores"], maps["anomaly"]
            yield scores, anomaly, ~np.isnan(scores)


class _Folder:
    """A temporary folder that is removed when nothing refers to it any more, or when the program ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="synthcp-maps-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
