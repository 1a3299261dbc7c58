"""The demo: fit a small monitor on drawn streets, or on drawn organs in volumes, and evaluate it on others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from synthcp.config.scales import VOLUME_SCALES, Scale
from synthcp.config.values import choose
from synthcp.config.variants import VARIANTS
from synthcp.data.decathlon import leaning, write_decathlon
from synthcp.data.drawn.phantoms import Phantoms, PhantomsConfig
from synthcp.data.drawn.scenes import ScenesConfig
from synthcp.data.specs import open_dataset
from synthcp.data.volume_preparation import VolumePreparation
from synthcp.evaluation.results import Results
from synthcp.fitting.config import FitConfig
from synthcp.fitting.run import fit
from synthcp.monitor.monitor import Monitor
from synthcp.rivals.catalogue import load_detectors
from synthcp.system.kept import Work, was_interrupted
from synthcp.system.output_folder import output_folder
from synthcp.system.progress import Progress, silent
from synthcp.system.provenance import command_line, commit
from synthcp.training.comparator import ComparatorConfig
from synthcp.training.gan import GanConfig
from synthcp.training.segmentation import SegmentationConfig
from synthcp.verbs.evaluate import evaluate_into
from synthcp.verbs.facts import run_settings

DemoScale = Literal["small", "tiny"]
DEMO_SCALE = Scale(
    side=72,
    depth=18,
    segmenter_width=16,
    output_stride=8,
    rates=(1, 2, 3),
    segmentation=SegmentationConfig(steps=250, zoom=(1.0, 1.3), jitter=0.1),
    spade_width=16,
    spade_hidden=16,
    multipliers=(8, 8, 4, 2, 1),
    discriminator_width=16,
    gan=GanConfig(steps=105, generator_rate=4e-4, discriminator_rate=8e-4, perceptual=20.0, average=0.98),
    fusion=16,
    comparator=ComparatorConfig(steps=260, batch=6, average=0.98),
    folds=2,
    fold_steps=0.5,
)
DEMO_VARIANT = replace(VARIANTS["ours"], early_views=())  # one view of each scene saves time
TRAIN_SCENES = ScenesConfig(count=160, height=72, width=96, split="train")
TEST_SCENES = ScenesConfig(count=40, height=72, width=96, split="test")
VOLUME_SCALE = replace(
    VOLUME_SCALES["tiny"],
    patch=(32, 32, 32),
    segmentation=SegmentationConfig(steps=400, batch=4, dice=1.0),
    gan=GanConfig(steps=60, batch=2, generator_rate=4e-4, discriminator_rate=8e-4, perceptual=20.0, average=0.95),
    comparator=ComparatorConfig(steps=150, batch=4, average=0.95),
    folds=2,
    fold_steps=0.7,
    degraded_views=0,
)
VOLUME_MODEL = "deeplab"
"""The built-in M that needs no further library."""

FEW, FEW_SCENES, FEW_PHANTOMS = 2, (12, 3), 10
"""Steps of every training, and how much is drawn, where a demo shall only show that everything runs."""
MEANINGLESS = "mean nothing: a demo of scale tiny shows that everything runs, and learns nothing"

PHANTOMS = PhantomsConfig(count=60, size=(32, 32, 32))
PREPARATION = VolumePreparation(window="abdomen")
PHANTOM_SPACING = (1.0, 1.0, 1.5)


def demo(
    out: Path, *, volumes: bool = False, scale: DemoScale = "small", seed: int = 0, progress: Progress = silent
) -> tuple[Results, Path]:
    """Fit and evaluate; a demo that was broken off goes on where it stopped.

    Args:
        out: Folder of the run and of its evaluation: new, empty, or that of an older demo, which is replaced.
        volumes: On organs instead of streets. They are written to OUT/phantoms in the Decathlon's layout, on a grid
            that leans; so its NIfTI files can be opened beside the maps.
        scale: "small", or "tiny" for a few seconds of which the numbers mean nothing, as the results say.
        seed: Of everything random, the data included.
        progress: Called after every step of every stage.

    Returns:
        The scores on the test images, and the path of the report.

    Raises:
        InputError: There is no such scale, or the folder holds what no demo wrote, is in use by another one, or cannot
            be written.
        MissingExtraError: nibabel, which volumes need, is not installed.
    """
    out = Path(out)
    choose(dict.fromkeys(get_args(DemoScale)), scale, "scale")
    asked = {"verb": "demo", "volumes": str(volumes), "scale": scale, "seed": str(seed)}
    tiny = scale == "tiny"
    with output_folder(out, asked, resume=was_interrupted(out, asked)) as work:
        train, test, options = _volumes(work.new, seed, tiny) if volumes else _streets(seed, tiny)
        told = {"data": train.replace(str(work.new), str(out)), "command": command_line(), "commit": commit()}
        fit(open_dataset(train), work.new, options, progress=progress, facts=told)
        results = _evaluated(work, out, test, progress, {"numbers": MEANINGLESS} if tiny else {})
    return results, out / "report.html"


def _evaluated(work: Work, out: Path, test: str, progress: Progress, told: dict[str, str]) -> Results:
    """Evaluate the monitor where it was fitted, told of as what it is going to be."""
    monitor, data = Monitor.load(work.new), test.replace(str(work.new), str(out))
    settings = replace(run_settings(monitor, "Evaluation", data), monitor=str(out))
    detectors, facts = load_detectors(work.new, monitor), {"data": data} | told
    dataset = open_dataset(test)
    return evaluate_into(work, monitor, dataset, detectors, settings=settings, facts=facts, progress=progress)[0]


def _streets(seed: int, tiny: bool) -> tuple[str, str, FitConfig]:
    """The SPECs of the training and test images, and how to fit."""
    counts = FEW_SCENES if tiny else (TRAIN_SCENES.count, TEST_SCENES.count)
    train, test = (
        f"scenes:?split={config.split}&count={count}&seed={seed}&size={config.height}x{config.width}"
        for config, count in zip((TRAIN_SCENES, TEST_SCENES), counts, strict=True)
    )
    scale = _in_few_steps(DEMO_SCALE) if tiny else DEMO_SCALE
    return train, test, FitConfig(DEMO_VARIANT, scale, seed=seed, resume=True, generator=DEMO_VARIANT.generator)


def _volumes(out: Path, seed: int, tiny: bool) -> tuple[str, str, FitConfig]:
    """The same of volumes, which are written first."""
    root = out / "phantoms"
    if not (root / "dataset.json").is_file():
        write_decathlon(
            root,
            Phantoms(replace(PHANTOMS, seed=seed, count=FEW_PHANTOMS if tiny else PHANTOMS.count)),
            affine=leaning(PHANTOM_SPACING),
        )
    data = f"decathlon:{root}?window={PREPARATION.window}"
    generator = DEMO_VARIANT.generator  # a demo shows what is drawn
    scale = _in_few_steps(VOLUME_SCALE) if tiny else VOLUME_SCALE
    options = FitConfig(
        DEMO_VARIANT, scale, seed=seed, resume=True, precision="fp32", model=VOLUME_MODEL, generator=generator
    )
    return data, f"{data}&split=test", options


def _in_few_steps(scale: Scale) -> Scale:
    """A scale of which every training ends at once."""
    short = {name: replace(getattr(scale, name), steps=FEW) for name in ("segmentation", "gan", "comparator")}
    return replace(scale, **short)
