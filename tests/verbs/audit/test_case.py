"""What speaks for and against a given label, against the formulas."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from synthcp.comparison.feature_distance import feature_distance
from synthcp.nn.spatial import resize
from synthcp.verbs.audit.case import case_of


@pytest.fixture(scope="module")
def case(monitor, mislabelled):
    return case_of(monitor, mislabelled[2])


def test_everything_has_the_working_size(case, monitor):
    assert min(case.given.shape) == monitor.settings.scale.side
    for part in (case.loss, case.misfit, case.disputed, case.suggested, case.predicted):
        assert part.shape == case.given.shape
    assert case.synthesis_of_given.shape == case.synthesis_of_suggested.shape == case.image.shape


def test_the_loss_is_the_cross_entropy_and_nothing_where_no_label_is(case, monitor):
    ignore_index = monitor.classes.ignore_index
    given = case.given.clone()
    given[:3] = ignore_index
    loss = replace(case, given=given).loss
    expected = F.cross_entropy(case.prediction.logits, given[None], ignore_index=ignore_index, reduction="none")[0]
    assert torch.allclose(loss, expected, atol=1e-5) and (loss[:3] == 0).all()


def test_the_suggested_label_is_that_of_m_in_the_disputed_regions_alone(case):
    assert 0 < case.disputed.sum() < case.disputed.numel()
    assert torch.equal(case.suggested[case.disputed], case.predicted[case.disputed])
    assert torch.equal(case.suggested[~case.disputed], case.given[~case.disputed])
    assert (case.suggested != case.given)[case.disputed].all()


@torch.no_grad()
def test_the_misfit_is_the_difference_of_eq_9_over_the_layers(case, monitor):
    size = case.image.shape[2:]

    def unlike(label_map):
        synthesis = monitor.generator(label_map[None], case.image)
        drawn = monitor.segmenter.predict("", resize(synthesis, case.prediction.seen_size))
        layers = zip(case.prediction.layers, drawn.layers, strict=True)
        return torch.stack([resize(feature_distance(a, b)[:, None], size)[0, 0] for a, b in layers]).mean(dim=0)

    expected = unlike(case.given) - unlike(case.suggested)
    scale = float(expected.abs().max())  # G of the tiny run draws nearly the same from all
    assert scale > 1e-5 and torch.allclose(case.misfit, expected, atol=scale / 1000)


def test_a_label_map_that_m_agrees_with_fits_as_well_as_itself(case):
    undisputed = replace(case, given=case.predicted)
    assert not undisputed.regions and not undisputed.disputed.any() and not undisputed.misfit.any()


def test_without_a_live_m_colours_are_compared(knowing, mislabelled):
    case = case_of(knowing, mislabelled[2])
    difference = (case.image - case.synthesis_of_given).abs() - (case.image - case.synthesis_of_suggested).abs()
    row, column = 15, 20
    square = difference.mean(dim=1)[0, row - 3 : row + 4, column - 3 : column + 4]
    assert case.misfit[row, column] == pytest.approx(float(square.mean()), abs=1e-6)
