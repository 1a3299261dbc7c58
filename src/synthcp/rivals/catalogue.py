"""Every detector by name: how it is fitted on a run, once and kept, and how it is found in one that is finished."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from synthcp.comparison.base import Detector
from synthcp.comparison.logit_scores import LOGIT_SCORES, LogitDetector
from synthcp.config.values import choose, from_dict, load_record
from synthcp.data.specs import open_dataset
from synthcp.errors import InputError
from synthcp.fitting.begun import Begun
from synthcp.fitting.config import FitConfig, Labels
from synthcp.fitting.fit_data import FitData
from synthcp.fitting.heads import SYNTHCP, UNTRAINED, UNTRAINED_GENERATOR, control_path
from synthcp.fitting.imperfect_sources import Imperfect, KFold, parse_imperfect
from synthcp.fitting.run import begin
from synthcp.fitting.stages import Stages
from synthcp.monitor.monitor import Monitor
from synthcp.monitor.networks import build_generator
from synthcp.monitor.settings import load_settings
from synthcp.rivals.autoencoder import fit_autoencoder
from synthcp.rivals.class_gaussians import fit_mahalanobis
from synthcp.rivals.constant import ConstantError, fit_constant_quality, fit_volume
from synthcp.rivals.crf import fit_crf
from synthcp.rivals.dropout import fit_dropout, fit_dropout_quality
from synthcp.rivals.nearest_neighbors import fit_knn
from synthcp.rivals.pairwise_dice import fit_pairwise_dice
from synthcp.rivals.standardized_max_logits import fit_standardized_max_logits
from synthcp.rivals.synthcp import HEADS, fit_head
from synthcp.rivals.synthcp_anomaly import fit_distance, fit_fused, fit_official_distance
from synthcp.rivals.true_class_probability import fit_true_class_probability
from synthcp.rivals.trunk_features import fit_surprise, fit_trunk_density, fit_trunk_knn
from synthcp.rivals.vae_alarm import fit_vae_alarm
from synthcp.rivals.voxel_uncertainty import fit_entropy_quality, fit_variance_quality
from synthcp.segmentation.specs import AnyModel, OpenedModel
from synthcp.synthesis.base import Generator
from synthcp.system.files import load_network
from synthcp.system.output_folder import listing
from synthcp.system.progress import Progress, silent
from synthcp.system.run_folder import CONFIG

KEPT = "rivals"
"""Folder in that of a run: what was fitted when a detector was first asked for."""


def _logits(name: str) -> Callable[[FitData], Detector]:
    return lambda data: LogitDetector(LOGIT_SCORES[name])


DETECTORS: dict[str, Callable[[FitData], Detector]] = {
    **{name: _logits(name) for name in LOGIT_SCORES},
    "chance": lambda data: ConstantError(),
    "constant": fit_constant_quality,
    "volume": fit_volume,
    "standardized-max-logit": fit_standardized_max_logits,
    "msp-crf": fit_crf,
    "dropout": fit_dropout,
    "dropout-quality": fit_dropout_quality,
    "entropy-quality": fit_entropy_quality,
    "variance-quality": fit_variance_quality,
    "pairwise-dice": fit_pairwise_dice,
    "tcp": fit_true_class_probability,
    "vae-alarm": fit_vae_alarm,
    "autoencoder": fit_autoencoder,
    "mahalanobis": fit_mahalanobis,
    "knn": fit_knn,
    "distance": fit_distance,
    "distance-untrained": partial(fit_distance, kind=UNTRAINED),
    "distance-official": fit_official_distance,
    "distance-0.8": partial(fit_distance, threshold=0.8),
    "distance-0.9": partial(fit_distance, threshold=0.9),
    "distance-0.99": partial(fit_distance, threshold=0.99),
    "distance-1": partial(fit_distance, threshold=1.0),
    "fused": fit_fused,
    "fused-untrained": partial(fit_fused, kind=UNTRAINED),
    "fused-blind": partial(fit_fused, blind=True),
    "surprise": fit_surprise,
    "trunk-density": fit_trunk_density,
    "trunk-knn": fit_trunk_knn,
    **{name: fit_head(head) for name, head in HEADS.items()},
}
"""How each detector is fitted; in a table of several SynthCP stands last."""


def load_detectors(
    folder: Path, monitor: Monitor, names: Sequence[str] | None = None, *, progress: Progress = silent
) -> dict[str, Detector]:
    """Return detectors of a finished run; what must be fitted is fitted to its training images and kept in the folder.

    Args:
        folder: Of the run.
        monitor: Of the run.
        names: Which ones; None takes the scores of the logits, the learned controls if the run has them, and SynthCP.
        progress: Called after every step of every training.

    Raises:
        InputError: A name is unknown, or a detector must be fitted and the training images are unknown.
    """
    for name in names or []:
        choose(DETECTORS, name, "detector")
    chosen = _at_hand(folder, monitor) if names is None else names
    data = fit_data_of(folder, monitor, progress)
    with listing(folder):
        return {name: fit(data) for name, fit in DETECTORS.items() if name in chosen}


def _at_hand(folder: Path, monitor: Monitor) -> list[str]:
    """What the folder of a run holds; the F that draws has a row of its own beside a monitor that does not."""
    names = ("untrained", "drawn") if monitor.settings.learnt.direct else ("direct", "untrained")
    controls = [name for name in names if HEADS[name].path(folder).exists()]
    return [*LOGIT_SCORES, *controls, SYNTHCP]


def fit_data_of(folder: Path, monitor: Monitor, progress: Progress = silent) -> FitData:
    """Return what further detectors of a finished run are fitted on; nothing is read until it is needed."""
    return FitData(
        begin=partial(_reopened, folder, monitor, progress),
        run=folder,
        folder=folder / KEPT,
        runtime=monitor.runtime,
        live=monitor.segmenter,
        generators=_generators(folder, monitor),
        monitor=monitor,
    )


def _generators(folder: Path, monitor: Monitor) -> dict[str, Generator]:
    """G, and that of the control, if the run has them."""
    path = control_path(folder, UNTRAINED_GENERATOR)
    trained = {} if monitor.generator is None else {SYNTHCP: monitor.generator}
    if not path.exists():
        return trained
    generator = load_network(path, partial(build_generator, monitor.settings))
    return {**trained, UNTRAINED: monitor.runtime.place(generator).eval().requires_grad_(False)}


def _imperfect(facts: Mapping[str, str], built_in: bool) -> Imperfect:
    """Where the imperfect predictions of a fit came from; k folds where it is not said."""
    told = facts.get("imperfect", "")
    return parse_imperfect(told, facts["data"], built_in) if told else KFold()


def _reopened(folder: Path, monitor: Monitor, progress: Progress) -> Stages:
    """The stages of a finished run, with the options of its fit."""
    stored = load_settings(folder)
    facts, model = stored.facts, stored.model
    if "data" not in facts:
        remedy = 'fit it with synthcp fit, or with facts={"data": SPEC}'
        raise InputError(f"{folder} does not say on which images it was fitted, which this detector needs; {remedy}")
    if monitor.settings.model != model:
        raise InputError(f"{folder} was fitted to {model.spec}, and so would be this detector; leave the other M out")
    source = _imperfect(facts, model.is_built_in)
    meant = facts.get("imperfect predictions", "not told")
    if str(source) != meant:
        told = f"{folder} does not name its imperfect predictions ({meant})"
        raise InputError(f'{told}; fit it with synthcp fit, or with facts={{"imperfect": SOURCE}}')
    chosen: AnyModel = model.spec if model.is_built_in else OpenedModel(monitor.predictor, model)
    config = FitConfig(
        variant=stored.variant,
        scale=stored.scale,
        resume=True,
        device=str(monitor.runtime.device),
        model=chosen,
        imperfect=source,
        **vars(_asked(folder)),
    )
    return begin(open_dataset(facts["data"]), folder, config, progress=progress)


@dataclass(frozen=True)
class _Asked:
    """Options of a fit that its settings do not hold."""

    seed: int
    controls: bool
    labels: Labels
    generator: str
    features: str
    trunk: str
    weights: str | None
    comparator_trunk: str
    comparator_weights: str | None
    perceptual: str
    perceptual_weights: str | None


def _asked(folder: Path) -> _Asked:
    """What was asked of a fit; raises InputError, naming the option, where it is missing or of another type."""
    asked = load_record(folder / CONFIG, Begun).asked
    names = {field.name for field in fields(_Asked)}
    return from_dict(_Asked, {name: value for name, value in asked.items() if name in names})
