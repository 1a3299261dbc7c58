"""The files below a folder, and what of it is left out: by reason, named and counted."""

from __future__ import annotations

import os
import stat
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from synthcp.system.telling import tell

RESULTS: Sequence[tuple[set[str], set[str]]] = (
    ({"run.json", "results.csv"}, {"maps", "report_files", "anomaly_p"}),
    ({"audit.json"}, {"audit_files"}),
    ({"config.json", "monitor.json"}, {"pictures", "imperfect", "folds"}),
    ({"config.json", "metrics.jsonl"}, {"pictures", "imperfect", "folds"}),
)
"""Files by which a folder of ours is known, and its sub-folders that hold results, which are nobody's input."""

_NO_FILES = {
    0: "broken link",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}
_NAMED, _REASONS = 3, 12
"""How many names are told of a reason, and how many reasons."""


@dataclass
class Walk:
    """What a folder holds.

    Attributes:
        folder: Where the walk began.
        files: Every file below it, sorted.
        left_out: Everything else, by the reason why.
    """

    folder: Path
    files: list[Path] = field(default_factory=list)
    left_out: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))

    def keep(self, suffixes: tuple[str, ...]) -> list[Path]:
        """Leave out the files that do not end in one of the suffixes, and return the others."""
        for path in self.files:
            if not path.name.lower().endswith(suffixes):
                self.left_out[path.suffix.lower() or "without suffix"].append(path)
        self.files = [path for path in self.files if path.name.lower().endswith(suffixes)]
        return self.files

    def tell(self) -> None:
        """Tell in one line what was left out, if anything was."""
        if any(self.left_out.values()):
            tell(f"left out of {self.folder}: {', '.join(self._reasons())}")

    def _reasons(self) -> list[str]:
        reasons = sorted(((len(paths), reason) for reason, paths in self.left_out.items()), reverse=True)
        told = [f"{count} {reason} ({self._names(reason)})" for count, reason in reasons[:_REASONS]]
        rest = sum(count for count, _ in reasons[_REASONS:])
        return [*told, f"{rest} of other kinds"] if rest else told

    def _names(self, reason: str) -> str:
        paths = self.left_out[reason]
        names = [path.relative_to(self.folder).as_posix() for path in paths[:_NAMED]]
        return ", ".join([*names, "..."] if len(paths) > _NAMED else names)


def walk(folder: Path, *, results: bool = False, deep: bool = True) -> Walk:
    """Find every file below a folder, those behind links too, and no real folder twice.

    Real folders are read before links to folders, so a file behind both is found at its own place. A link to a folder
    above it is not followed. Hidden files and folders, such as "._name" of macOS, are left out.

    Args:
        folder: Where to begin; an existing folder.
        results: Whether folders of earlier results (`RESULTS`) are read as well.
        deep: Whether sub-folders are read.
    """
    walked, known = Walk(folder), set[tuple[int, int]]()
    folders, links = deque([folder]), deque[Path]()
    while folders or links:
        place = folders.popleft() if folders else links.popleft()
        status = place.stat()
        if (status.st_dev, status.st_ino) in known:
            walked.left_out["folder that is read already"].append(place)
            continue
        known.add((status.st_dev, status.st_ino))
        found, linked = _read(place, walked, results)
        folders.extend(found if deep else ())
        links.extend(linked if deep else ())
    walked.files.sort()
    return walked


def _read(folder: Path, walked: Walk, results: bool) -> tuple[list[Path], list[Path]]:
    """Take the files of one folder; return its folders, and the links to folders that may be followed."""
    folders, links = list[Path](), list[Path]()
    ours = set[str]() if results else _ours(folder)
    for path, mode in _entries(folder, walked):
        if path.name.startswith("."):
            walked.left_out["hidden"].append(path)
        elif stat.S_ISREG(mode):
            walked.files.append(path)
        elif not stat.S_ISDIR(mode):
            walked.left_out[_NO_FILES.get(stat.S_IFMT(mode), "unreadable")].append(path)
        elif path.name in ours:
            walked.left_out["folder of earlier results"].append(path)
        elif not path.is_symlink():
            folders.append(path)
        elif folder.resolve().is_relative_to(path.resolve()):
            walked.left_out["link to a folder above it"].append(path)
        else:
            links.append(path)
    return folders, links


def _entries(folder: Path, walked: Walk) -> list[tuple[Path, int]]:
    """What lies directly in a folder, sorted, with its mode; of a link that leads nowhere the mode is 0."""
    try:
        return [(path, _mode(path)) for path in sorted(folder.iterdir())]
    except OSError:
        walked.left_out["unreadable folder"].append(folder)
        return []


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _ours(folder: Path) -> set[str]:
    """The sub-folders of results, where a folder is one of ours."""
    return {
        name
        for markers, names in RESULTS
        if all(os.path.isfile(folder / marker) for marker in markers)
        for name in names
    }
