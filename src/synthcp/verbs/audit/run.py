"""audit(monitor, data, out): likely label errors of a data set, worst first, into an output folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from synthcp.data.base import Dataset
from synthcp.errors import InputError
from synthcp.monitor.monitor import Monitor
from synthcp.system.failures import LOG, Costing, Failures
from synthcp.system.files import save_text
from synthcp.system.output_folder import output_folder
from synthcp.system.progress import Progress, silent
from synthcp.system.provenance import now
from synthcp.verbs.audit.case import case_of
from synthcp.verbs.audit.outputs import SHOWN, Exhibit, exhibit, write_page, write_table
from synthcp.verbs.audit.suspects import Suspect, worst_suspects
from synthcp.verbs.audit.suspicion import fit_suspicion
from synthcp.verbs.checks import require_apart, require_match, require_some, seen_in_fitting
from synthcp.verbs.facts import FAILED, provenance
from synthcp.verbs.given import AnyData, AnyMonitor, open_data, open_monitor

FACTS = "audit.json"


def audit(
    monitor: AnyMonitor,
    data: AnyData,
    out: str | Path,
    *,
    most: int = 200,
    seed: int = 0,
    facts: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> list[Suspect]:
    """Rank the regions of a labelled data set by how likely their label is wrong: suspects.csv and audit.html.

    A label is suspect where M says another class, the more so the less M expects the given one and the worse the
    synthesis of the given label fits the image, compared with the synthesis of M's. Ignored pixels are never suspects.
    How the evidence is weighed is learnt from mistakes that are drawn into copies of some label maps.

    Args:
        monitor: A monitor of images, or the folder of one.
        data: Labelled images with the classes of the monitor, or their SPEC, whose split is "train" unless it names
            another.
        out: Output folder: new, empty, or that of an older run, which is replaced as a whole; audit.json in it says how
            the suspects were found, and how many images could not be judged.
        most: Number of suspects at most.
        seed: Of the mistakes from which the audit learns.
        facts: What else the page must say, such as the name of the data; a SPEC is told without it.
        progress: Called after every image of every stage.

    Returns:
        The suspects, worst first.

    Raises:
        InputError: The monitor or the data is unusable, the monitor draws nothing, the folder cannot be written or
            replaced, another run is at work on it, or not one image can be audited.
    """
    monitor = open_monitor(monitor)
    dataset, named = open_data(data, "train")
    if monitor.settings.spatial_dims == 3:
        came = f"{monitor.folder or 'this'} is a monitor of volumes"
        raise InputError(f"{came}; an audit shows flat images; find bad volumes by synthcp eval")
    if monitor.generator is None:
        raise InputError("the monitor draws nothing, and an audit compares drawings; fit one with --generator spade")
    require_match(dataset, monitor)
    require_apart(Path(out), monitor, dataset.read_from)
    facts, out = named | dict(facts or {}) | _provenance(monitor, dataset), Path(out)
    with output_folder(out) as work:
        failures = Failures(work.new / LOG)
        costing = failures.costing
        suspicion = fit_suspicion(monitor, dataset, seed=seed, costing=costing, progress=progress)
        suspects = worst_suspects(monitor, dataset, suspicion, most=most, costing=costing, progress=progress)
        exhibits = _exhibits(work.new, suspects[:SHOWN], dataset, monitor, costing, progress)
        if failures.messages:
            facts[FAILED] = failures.told(len(dataset))
        save_text(work.new / FACTS, json.dumps(facts, indent=2))
        count = len(suspects)
        write_page(work.new, exhibits, suspects=count, classes=monitor.classes, images=len(dataset), facts=facts)
        write_table(work.new, suspects)
    require_some(failures, len(dataset), "audited")
    return suspects


def _exhibits(
    out: Path,
    suspects: Sequence[Suspect],
    dataset: Dataset,
    monitor: Monitor,
    costing: Costing,
    progress: Progress,
) -> list[Exhibit]:
    """The pictures of every suspect; G sees each image once."""
    index_of = {sample_id: index for index, sample_id in enumerate(dataset.ids)}
    exhibits: dict[Suspect, Exhibit] = {}
    ids = list(dict.fromkeys(suspect.id for suspect in suspects))
    for number, sample_id in enumerate(ids, start=1):
        with costing(sample_id):
            sample = dataset[index_of[sample_id]]
            case = case_of(monitor, sample)
            of_image = [(rank, one) for rank, one in enumerate(suspects, start=1) if one.id == sample_id]
            exhibits |= {one: exhibit(out, rank, one, sample, case) for rank, one in of_image}
        progress("pictures", number, len(ids), {})
    return [exhibits[suspect] for suspect in suspects if suspect in exhibits]


def _provenance(monitor: Monitor, dataset: Dataset) -> dict[str, str]:
    seen = seen_in_fitting(dataset, monitor.settings.training_ids)
    return {
        "images that the fit saw": f"{seen} of {len(dataset)}",
        "monitor": str(monitor.folder or ""),
        "created": now(),
        **provenance(monitor),
    }
