"""What was said of one image of an evaluation, written down so that an interrupted one goes on from it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import torch
from torch import Tensor

from synthcp.evaluation.judgement import Judged, Said
from synthcp.evaluation.results import Row
from synthcp.records import Detection, Sample
from synthcp.report.rows import ResultRow, row_from_json, row_to_json
from synthcp.system.kept import Done

_LABEL_MAP = "label_map"


def digest_of_sample(sample: Sample) -> str:
    """Return a digest of all that the scores depend on."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (sample.image, sample.label_map, sample.anomaly_mask, sample.roi):
        if part is not None:
            digest.update(f"{part.dtype} {tuple(part.shape)}".encode())
            digest.update(part.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def done_of(judged: Judged, row: ResultRow) -> Done:
    """Return what is to be kept of an image: its row, y_hat, and those maps of every detector that are scored."""
    tensors, rows = {_LABEL_MAP: judged.label_map}, list(judged.detections)
    for number, detection in enumerate(judged.detections.values()):
        for name, part in _scored(detection, judged.sample).items():
            tensors[f"{number}/{name}"] = part
    text = json.dumps({"row": row_to_json(row), "rows": [asdict(row) for row in rows]})
    return Done(digest_of_sample(judged.original), text, tensors)


def said_of(done: Done) -> tuple[Said, ResultRow]:
    """Return what was said, and the row of the image."""
    about, parts = json.loads(done.text), dict[str, dict[str, Tensor]]()
    for key, tensor in done.tensors.items():
        number, _, name = key.rpartition("/")
        parts.setdefault(number, {})[name] = tensor
    rows = [Row(**row) for row in about["rows"]]
    detections = {row: Detection(**parts.get(str(number), {})) for number, row in enumerate(rows)}
    return Said(done.tensors[_LABEL_MAP], detections), row_from_json(about["row"])


def _scored(detection: Detection, sample: Sample) -> dict[str, Tensor]:
    """The parts of a detection that are scored by what is known of an image."""
    parts = {"class_quality": detection.class_quality}
    parts["error_map"] = None if sample.label_map is None else detection.error_map
    parts["anomaly_map"] = None if sample.anomaly_mask is None else detection.anomaly_map
    return {name: part.clone() for name, part in parts.items() if part is not None}  # two may share their memory
