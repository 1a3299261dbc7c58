"""Several F of one run: real, tiny, each with files of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from synthcp.config.scales import Scale
from synthcp.config.variants import VARIANTS
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.data.working_size import Prepared
from synthcp.fitting.config import FitConfig
from synthcp.fitting.gathering import LAST, Gathered, View, gather
from synthcp.fitting.heads import CONTROL_HEADS, SHIPPED, SYNTHCP, Head
from synthcp.fitting.run import begin
from synthcp.fitting.stages import M, Stages
from synthcp.monitor.fitted_comparator import FittedComparator
from synthcp.system.files import load_json
from synthcp.system.run_folder import STEPS, learnt_path
from synthcp.training.comparator import DIRECT
from synthcp.training.imperfect_predictions import ImperfectPredictions


def test_the_monitors_own_head_lies_in_its_folder_and_all_others_beside_it() -> None:
    assert SHIPPED.path(Path("run")) == Path("run/comparator.safetensors")
    paths = [head.path(Path("run")) for head in (*CONTROL_HEADS, Head("paper", SYNTHCP))]
    assert [path.as_posix() for path in paths] == [
        f"run/controls/{name}.safetensors" for name in ("direct", "untrained", "paper")
    ]


OURS = replace(VARIANTS["ours"], comparator="siamese")


def learnt(fitted: FittedComparator) -> Tensor:
    """What is trained of any F, in one row."""
    return torch.cat([value.flatten() for name, value in fitted.network.named_parameters() if "trunk" not in name])


@pytest.fixture
def stages(smallest_scale: Scale, tmp_path: Path) -> Stages:
    config = FitConfig(scale=smallest_scale, device="cpu", precision="fp32")
    return begin(Scenes(ScenesConfig(count=8, height=48, width=64)), tmp_path, config)


def test_heads_differ_by_seed_and_variant_and_are_read_from_disk(stages: Stages, fails: Any) -> None:
    segmenter = stages.segmenter(M)
    gathered = gather(stages.context, segmenter, {SYNTHCP: stages.generator(segmenter)}, lambda fold, held_out: {})
    half = Head("half", DIRECT, lambda ours: replace(ours, branches=1))
    heads = (SHIPPED, Head("again", SYNTHCP, seed=1), Head("paper", SYNTHCP, lambda _: VARIANTS["paper"]), half)
    fitted = {head.name: stages.comparator(head, gathered, segmenter, segmenter) for head in heads}
    weights = {name: learnt(one) for name, one in fitted.items()}
    assert len({value.sum().item() for value in weights.values()}) == 4
    variants = [one.variant for one in fitted.values()]
    assert variants == [OURS, OURS, VARIANTS["paper"], replace(OURS, branches=1)]
    assert fitted["paper"].learnt.blend is None
    assert fitted["again"].learnt.blend != fitted[SYNTHCP].learnt.blend
    assert load_json(half.path(stages.out).with_suffix(".json")).keys() == {"variant", "learnt"}
    steps = (stages.out / STEPS).read_text()
    again = stages.comparator(half, gathered, segmenter, segmenter)
    assert learnt(again).equal(weights["half"]) and again.learnt == fitted["half"].learnt
    learnt_path(SHIPPED.path(stages.out)).unlink()  # as of a run that was killed between the two files
    assert stages.comparator(SHIPPED, gathered, segmenter, segmenter).learnt == fitted[SYNTHCP].learnt
    assert (stages.out / STEPS).read_text() == steps
    with fails("paper.safetensors was fitted as another variant"):
        stages.comparator(replace(heads[2], change=lambda _: VARIANTS["official"]), gathered, segmenter, segmenter)


@pytest.mark.parametrize("early", [True, False])
def test_a_head_may_leave_half_trained_m_aside(early: bool, tmp_path: Path) -> None:
    scenes = Prepared(Scenes(ScenesConfig(count=8, height=48, width=64)), 0)
    gathered = Gathered(
        scenes, ImperfectPredictions(tmp_path), (View("early0.7", 0.7), View("worn", degraded=True), LAST)
    )
    examples, aside = gathered.examples(SYNTHCP, keep_aside=True, early=early)
    assert list(examples.views) == ["early0.7"] * early + ["worn", "last"] and list(aside.views) == ["last"]
