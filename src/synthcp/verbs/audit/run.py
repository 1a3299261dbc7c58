"""audit_run(run, dataset, out): the audit of a data set into an output folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from synthcp.data.base import Dataset
from synthcp.errors import InputError
from synthcp.monitor.monitor import Monitor
from synthcp.report.outputs import write_text
from synthcp.system.progress import Progress, silent
from synthcp.system.provenance import command_line, commit, hardware, now, versions
from synthcp.verbs.audit.case import case_of
from synthcp.verbs.audit.outputs import Exhibit, exhibit, write_page, write_table
from synthcp.verbs.audit.suspects import Suspect, audit
from synthcp.verbs.score import require_match, seen_in_fitting

FACTS = "audit.json"


def audit_run(
    run: Path,
    dataset: Dataset,
    out: Path,
    most: int = 200,
    seed: int = 0,
    facts: Mapping[str, str] | None = None,
    device: str = "auto",
    precision: str = "fp32",
    progress: Progress = silent,
    model: str | None = None,
) -> list[Suspect]:
    """Audit the labels of a data set by a monitor: suspects.csv, audit.html, and audit.json, which says how.

    Args:
        run: Folder of the monitor.
        dataset: Labelled images with the classes of the monitor.
        out: Output folder.
        most: Number of suspects at most.
        seed: Of the mistakes from which the audit learns.
        facts: What else the page must say, such as the data's name.
        device: "auto", "cpu", "cuda", ...
        precision: "auto", "fp32" or "bf16".
        progress: Called after every image of every stage.
        model: SPEC of an M in place of the monitor's own.

    Raises:
        InputError: The monitor or the data is unusable, or the folder cannot be written.
    """
    monitor = Monitor.load(run, device, precision, model)
    if monitor.settings.spatial_dims == 3:
        raise InputError(f"{run} is a monitor of volumes; an audit shows flat images; find bad volumes by synthcp eval")
    require_match(dataset, monitor)
    facts = dict(facts or {}) | _provenance(run, monitor, dataset)
    write_text(out / FACTS, json.dumps(facts, indent=2))  # a folder that is not writable is found before the work
    suspects = audit(monitor, dataset, most, seed=seed, progress=progress)
    write_page(out, _exhibits(suspects, dataset, monitor, progress), monitor.classes, len(dataset), facts)
    write_table(out, suspects)
    return suspects


def _exhibits(suspects: list[Suspect], dataset: Dataset, monitor: Monitor, progress: Progress) -> list[Exhibit]:
    """The pictures of every suspect; each image is drawn once."""
    index_of = {sample_id: index for index, sample_id in enumerate(dataset.ids)}
    pictured: dict[int, Exhibit] = {}
    ids = list(dict.fromkeys(suspect.id for suspect in suspects))
    for number, sample_id in enumerate(ids):
        sample = dataset[index_of[sample_id]]
        case = case_of(monitor, sample)
        for rank, suspect in enumerate(suspects):
            if suspect.id == sample_id:
                pictured[rank] = exhibit(suspect, sample, case)
        progress("pictures", number + 1, len(ids), {})
    return [pictured[rank] for rank in range(len(suspects))]


def _provenance(run: Path, monitor: Monitor, dataset: Dataset) -> dict[str, str]:
    fitted, seen = monitor.settings.facts, seen_in_fitting(dataset, monitor.settings.training_ids)
    return {
        "images that the fit saw": f"{seen} of {len(dataset)}",
        "monitor": str(run),
        **{f"fit: {name}": fitted[name] for name in ("data", "variant", "scale", "seed", "commit") if name in fitted},
        "command": command_line(),
        "created": now(),
        "commit": commit(),
        "hardware": hardware(monitor.runtime.device),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }
