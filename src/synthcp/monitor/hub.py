"""A monitor on the Hugging Face hub: the folder that is uploaded, and what of one is fetched."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from synthcp.errors import InputError
from synthcp.monitor.card import model_card
from synthcp.system.files import save_text
from synthcp.system.hub import upload
from synthcp.system.run_folder import MONITOR_FILES

if TYPE_CHECKING:
    from synthcp.monitor.monitor import Monitor

CARD = "README.md"


def push(monitor: Monitor, repo: str, *, private: bool, evaluation: str | Path | None) -> str:
    """Upload a monitor; arguments, result and errors as Monitor.push_to_hub."""
    with TemporaryDirectory() as folder:
        export(monitor, Path(folder), repo, evaluation)
        told = f"Monitor of {monitor.settings.model.spec}"
        return upload(Path(folder), repo, stale=MONITOR_FILES, private=private, message=told)


def export(monitor: Monitor, folder: Path, repo: str, evaluation: str | Path | None = None) -> None:
    """Write what is uploaded into an empty folder: settings, weights and card, and nothing else of the run."""
    tables = "" if evaluation is None else _read(Path(evaluation))
    before = monitor.folder
    monitor.save(folder)
    monitor.folder = before
    save_text(folder / CARD, model_card(monitor.settings, repo, tables))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no text ({error}); give the file that synthcp eval --markdown wrote") from error
