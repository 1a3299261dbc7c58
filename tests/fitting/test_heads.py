"""Several F of one run: real, tiny, each with files of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from synthcp.config.scales import Scale
from synthcp.config.variants import VARIANTS
from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.errors import InputError
from synthcp.fitting.config import FitConfig
from synthcp.fitting.gathering import gather
from synthcp.fitting.heads import CONTROL_HEADS, SHIPPED, SYNTHCP, Head
from synthcp.fitting.run import begin
from synthcp.fitting.stages import M
from synthcp.training.comparator import DIRECT


def test_the_monitors_own_head_lies_in_its_folder_and_all_others_beside_it() -> None:
    assert SHIPPED.path(Path("run")) == Path("run/comparator.safetensors")
    paths = [head.path(Path("run")) for head in (*CONTROL_HEADS, Head("paper", SYNTHCP))]
    assert [path.as_posix() for path in paths] == [
        f"run/controls/{name}.safetensors" for name in ("direct", "untrained", "paper")
    ]


def test_heads_differ_by_seed_and_variant_and_are_read_from_disk(smallest_scale: Scale, tmp_path: Path) -> None:
    options = FitConfig(scale=smallest_scale, device="cpu", precision="fp32")
    dataset = Scenes(ScenesConfig(count=8, height=48, width=64))
    stages = begin(dataset, tmp_path, options)
    segmenter = stages.segmenter(M)
    gathered = gather(stages.context, segmenter, {SYNTHCP: stages.generator(segmenter)})
    half = Head("half", DIRECT, replace(VARIANTS["ours"], branches=1))
    heads = (SHIPPED, Head("again", SYNTHCP, seed=1), Head("paper", SYNTHCP, VARIANTS["paper"]), half)
    fitted = {head.name: stages.comparator(head, gathered, segmenter, segmenter) for head in heads}
    biases = {name: network.quality.bias.sum().item() for name, (network, _) in fitted.items()}
    assert len(set(biases.values())) == 4
    assert [settings.variant for _, settings in fitted.values()] == [
        VARIANTS["ours"], VARIANTS["ours"], VARIANTS["paper"], half.variant
    ]  # fmt: skip
    assert fitted["paper"][1].blend is None and fitted["again"][1].blend != fitted[SYNTHCP][1].blend
    steps = (tmp_path / "metrics.jsonl").read_text()
    network, settings = stages.comparator(half, gathered, segmenter, segmenter)
    assert network.quality.bias.sum().item() == biases["half"] and settings == fitted["half"][1]
    assert (tmp_path / "metrics.jsonl").read_text() == steps
    with pytest.raises(InputError, match="paper.safetensors was fitted as another variant"):
        stages.comparator(replace(heads[2], variant=VARIANTS["official"]), gathered, segmenter, segmenter)


@pytest.mark.parametrize("early", [True, False])
def test_a_head_may_leave_half_trained_m_aside(early: bool, smallest_scale: Scale, tmp_path: Path) -> None:
    options = FitConfig(scale=smallest_scale, device="cpu", precision="fp32")
    stages = begin(Scenes(ScenesConfig(count=8, height=48, width=64)), tmp_path, options)
    segmenter = stages.segmenter(M)
    gathered = gather(stages.context, segmenter, {SYNTHCP: stages.generator(segmenter)})
    examples, aside = gathered.examples(SYNTHCP, keep_aside=True, early=early)
    assert list(examples.views) == (["early0.7", "last"] if early else ["last"]) and list(aside.views) == ["last"]
