from __future__ import annotations

from synthcp.config.scales import SCALES
from synthcp.config.variants import VARIANTS


def test_official_and_paper_differ_as_the_release_differs_from_the_paper() -> None:
    paper, official = VARIANTS["paper"], VARIANTS["official"]
    assert paper.shared and not official.shared
    assert (paper.label_input, official.label_input) == ("one_hot", "squeezed")
    assert (paper.score, official.score) == ("raw", "sum")
    assert official.loss.smooth and official.loss.weighted and official.loss.present_only
    assert not (paper.loss.smooth or paper.loss.weighted or paper.loss.present_only)


def test_full_is_the_papers_size() -> None:
    full = SCALES["full"]
    assert (full.side, full.depth, full.output_stride, full.rates) == (256, 101, 8, (6, 12, 18, 24))
    assert (full.spade_width, full.spade_hidden, full.multipliers) == (64, 128, (16, 16, 16, 8, 4, 2, 1))
    assert (full.discriminator_width, full.fusion, full.folds) == (64, 64, 4)
