"""The model card of a monitor: what it is, what it was fitted to, its numbers, its promise, and what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping

from synthcp.errors import shown
from synthcp.monitor.settings import MonitorSettings

HEAD = """---
library_name: synthcp
pipeline_tag: image-segmentation
tags:
- semantic-segmentation
- failure-detection
- anomaly-segmentation
---
"""
FACTS = ("variant", "scale", "seed", "imperfect predictions", "labels", "commit", "versions", "precision")
"""What the card tells of the fit, in this order, as far as it is known."""
LIMITS = (
    "It watches this one M. Of another one, or of one that is trained anew, its error map and class quality are a "
    "guess until they are judged on it (`synthcp eval --model`).",
    "It knows images like those of the fit. Another camera, place or season moves its scores, which only a calibrated "
    "one notices (`synthcp watch-drift`).",
    "It does not know what an unknown object is, and does not see one that M and G take for a known class in every "
    "pixel: no alarm is no proof that nothing is wrong.",
    "It predicts the quality of M against labels like those of the fit; errors of these labels it has learnt, too.",
    "It is a monitor beside a model, and no safety device: decide yourself what an alarm stops.",
)


def model_card(settings: MonitorSettings, repo: str, evaluation: str = "") -> str:
    """Return the model card of a monitor in Markdown.

    Args:
        settings: Of the monitor.
        repo: OWNER/NAME, by which it is loaded.
        evaluation: Tables in Markdown, as `synthcp eval --markdown` writes them.
    """
    parts = {
        "": f"An alarm system for semantic segmentation, fitted by SynthCP. Of {settings.scored} it tells where the "
        "segmenter M is wrong, how good each class is, and what M has never seen anything like.",
        "How to load it": _loading(settings, repo),
        "What it was fitted to": _table(_fitted(settings)),
        "Numbers": "\n\n".join(filter(None, ("Thresholds of the alarms:", _table(_thresholds(settings)), evaluation))),
        "What it promises": _promise(settings),
        "What it does not know": "\n".join(f"- {limit}" for limit in LIMITS),
    }
    sections = [f"## {title}\n\n{text}" if title else text for title, text in parts.items()]
    return "\n\n".join([f"{HEAD}\n# {repo}", *sections]) + "\n"


def _loading(settings: MonitorSettings, repo: str) -> str:
    own = settings.model.is_built_in
    model = "" if own else ', model="SPEC of M"'
    option = "" if own else " --model SPEC"
    note = "" if own else f"\n\nM, {_cell(settings.model.spec)}, is not part of it: bring the same one."
    return (
        f'    pip install "synthcp[hub]"\n    synthcp score IMAGES --monitor hub:{repo}{option} --out out\n\n'
        f'```python\nfrom synthcp import Monitor\n\nmonitor = Monitor.from_pretrained("{repo}"{model})\n'
        f'assessment = monitor.assess("image.png")\n```\n\n'
        f"Weights are safetensors and settings JSON: loading it runs no code and reads no pickle.{note}"
    )


def _fitted(settings: MonitorSettings) -> dict[str, str]:
    facts, model = settings.facts, settings.model
    return {
        "data": facts.get("data", "unknown"),
        settings.scored: f"{len(settings.training_ids)} of {settings.channels} channels",
        "classes": ", ".join(settings.classes.names),
        "M": "; ".join(filter(None, (facts.get("model", model.spec), model.fingerprint))),
        **{name: facts[name] for name in FACTS if facts.get(name)},
    }


def _thresholds(settings: MonitorSettings) -> dict[str, str]:
    usual, floors = settings.thresholds, settings.thresholds.class_quality
    return {
        "a pixel counts as wrong above": f"{usual.error:.3g}",
        "an image alarms above this share of wrong pixels": f"{usual.error_share:.3g}",
        "a pixel counts as unknown above": f"{usual.anomaly:.3g}",
        "an image alarms above this share of unknown pixels": f"{usual.anomaly_share:.3g}",
        **{
            f"{name} alarms below a predicted {settings.measure} of": f"{floor:.2f}"
            for name, floor in zip(settings.classes.names, floors, strict=False)
        },
    }


def _promise(settings: MonitorSettings) -> str:
    if settings.calibration is None:
        return "Nothing: it is not calibrated. Its alarms say what was unusual in the fit (`synthcp calibrate`)."
    return _table(settings.calibration.in_words())


def _table(rows: Mapping[str, str]) -> str:
    lines = [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def _cell(text: str) -> str:
    """A text as a table shows it, whatever it holds."""
    escaped = shown(text).replace("\\", "\\\\")
    for mark in "|`*_<[":
        escaped = escaped.replace(mark, f"\\{mark}")
    return escaped
