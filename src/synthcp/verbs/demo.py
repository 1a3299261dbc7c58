"""The demo: fit a small monitor on drawn streets, or on drawn organs in volumes, and evaluate it on others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from synthcp.config.scales import VOLUME_SCALES, Scale
from synthcp.config.variants import VARIANTS
from synthcp.data.decathlon import Decathlon, leaning, write_decathlon
from synthcp.data.drawn.phantoms import Phantoms, PhantomsConfig
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.preparation import VolumePreparation
from synthcp.evaluation import Results
from synthcp.fitting.config import FitConfig
from synthcp.fitting.run import fit
from synthcp.system.progress import Progress, silent
from synthcp.system.provenance import command_line, commit
from synthcp.training.comparator import ComparatorConfig
from synthcp.training.gan import GanConfig
from synthcp.training.segmentation import SegmentationConfig
from synthcp.verbs.score import evaluate_run

DEMO_SCALE = Scale(
    side=72,
    depth=18,
    segmenter_width=16,
    output_stride=8,
    rates=(1, 2, 3),
    segmentation=SegmentationConfig(steps=280, zoom=(1.0, 1.3), jitter=0.1),
    spade_width=16,
    spade_hidden=16,
    multipliers=(8, 8, 4, 2, 1),
    discriminator_width=16,
    gan=GanConfig(steps=150, generator_rate=4e-4, discriminator_rate=8e-4, perceptual=20.0, average=0.98),
    fusion=16,
    comparator=ComparatorConfig(steps=450, batch=6, average=0.98),
    folds=2,
    fold_steps=0.7,
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

PHANTOMS = PhantomsConfig(count=60, size=(32, 32, 32))
PREPARATION = VolumePreparation(window="abdomen")
PHANTOM_SPACING = (1.0, 1.0, 1.5)


def demo(out: Path, seed: int = 0, progress: Progress = silent) -> tuple[Results, Path]:
    """Fit and evaluate; a demo that was broken off goes on where it stopped.

    Args:
        out: Folder of the run and of its evaluation.
        seed: Of everything random, the streets included.
        progress: Called after every step of every stage.

    Returns:
        The scores on the test scenes, and the path of the report.

    Raises:
        InputError: The folder holds another run or cannot be written.
    """
    train, test = (Scenes(replace(config, seed=seed)) for config in (TRAIN_SCENES, TEST_SCENES))
    facts = {"data": _describe(train), "command": command_line(), "commit": commit()}
    fit(train, out, FitConfig(DEMO_VARIANT, DEMO_SCALE, seed=seed, resume=True), progress=progress, facts=facts)
    results = evaluate_run(out, test, out, facts={"data": _describe(test)}, progress=progress)
    return results, out / "report.html"


def volume_demo(out: Path, seed: int = 0, progress: Progress = silent) -> tuple[Results, Path]:
    """Fit and evaluate on drawn organs, as `demo` on streets.

    The volumes are written to OUT/phantoms in the Decathlon's layout, on a grid that leans; so its NIfTI files can be
    opened beside the maps.

    Args:
        out: Folder of the run and of its evaluation.
        seed: Of everything random, the organs included.
        progress: Called after every step of every stage.

    Returns:
        The scores on the test volumes, and the path of the report.

    Raises:
        InputError: The folder holds another run or cannot be written.
        MissingExtraError: nibabel is not installed.
    """
    root = out / "phantoms"
    if not (root / "dataset.json").is_file():
        write_decathlon(root, Phantoms(replace(PHANTOMS, seed=seed)), affine=leaning(PHANTOM_SPACING))
    train, test = (Decathlon(root, split, PREPARATION) for split in ("train", "test"))
    data = f"decathlon:{root}?window={PREPARATION.window}"
    facts = {"data": data, "command": command_line(), "commit": commit()}
    options = FitConfig(DEMO_VARIANT, VOLUME_SCALE, seed=seed, resume=True, precision="fp32", model=VOLUME_MODEL)
    fit(train, out, options, progress=progress, facts=facts)
    results = evaluate_run(out, test, out, facts={"data": f"{data}&split=test"}, progress=progress)
    return results, out / "report.html"


def _describe(scenes: Scenes) -> str:
    """The SPEC of the scenes."""
    config = scenes.config
    size = f"{config.height}x{config.width}"
    return f"scenes:?split={config.split}&count={config.count}&seed={config.seed}&size={size}"
