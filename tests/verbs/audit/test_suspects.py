"""The ranking: a planted error comes first, where it is, as what it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from synthcp.data.drawn.scenes import Scenes, ScenesConfig
from synthcp.errors import DataError
from synthcp.verbs.audit.case import case_of
from synthcp.verbs.audit.suspects import suspects_of, worst_first, worst_suspects
from synthcp.verbs.audit.suspicion import Suspicion, fit_suspicion

LOSS = Suspicion(lambda case: (case.loss,), (1.0,), 0.0)


def test_the_planted_error_comes_first_with_box_and_classes(knowing, mislabelled, box):
    suspects = worst_suspects(knowing, mislabelled, fit_suspicion(knowing, mislabelled), most=200)
    sample, true = mislabelled[2], mislabelled.true(2)
    names = mislabelled.classes.names
    first = suspects[0]
    assert first.id == sample.id and first.score > 0
    assert first.given == names[int(sample.label_map[18, 29])]
    assert np.abs(np.subtract(first.box, box)).max() <= 2  # the working size is smaller by a third
    x0, y0, x1, y1 = first.box
    assert first.mask.shape == (y1 - y0, x1 - x0) and first.area == first.mask.sum() > 100
    inside = true[y0:y1, x0:x1][first.mask]
    assert first.suggested == names[int(inside.mode().values)]
    moved = inside == sample.label_map[y0:y1, x0:x1][first.mask]  # a border, by the nearest pixel
    assert moved.float().mean() < 0.2


def test_suspects_are_ranked_and_no_more_than_wanted(monitor, mislabelled):
    suspects = worst_suspects(monitor, mislabelled, LOSS, most=200)
    assert len(suspects) > 8 and suspects == worst_first(suspects)
    few = worst_suspects(monitor, mislabelled, LOSS, most=3)
    assert [(suspect.id, suspect.box) for suspect in few] == [(suspect.id, suspect.box) for suspect in suspects[:3]]


def test_the_score_is_the_mean_times_the_radius(monitor, mislabelled):
    case = case_of(monitor, mislabelled[1])
    suspects = list(suspects_of("a", case, LOSS, tuple(case.given.shape)))
    loss = case.loss.numpy()
    for suspect, region in zip(suspects, case.regions, strict=True):
        x0, y0, x1, y1 = suspect.box
        assert (slice(y0, y1), slice(x0, x1)) == region.window and (suspect.mask == region.mask).all()
        total = sum(float(loss[y0 + row, x0 + column]) for row, column in np.argwhere(suspect.mask))
        assert suspect.score == pytest.approx(total / suspect.area * region.radius, rel=1e-5)


def test_at_another_size_a_region_keeps_its_share(monitor, mislabelled):
    case = case_of(monitor, mislabelled[1])
    height, width = case.given.shape
    small = list(suspects_of("a", case, LOSS, (height, width)))
    large = list(suspects_of("a", case, LOSS, (3 * height, 3 * width)))
    assert [suspect.area for suspect in large] == [9 * suspect.area for suspect in small]
    assert [suspect.box for suspect in large] == [tuple(3 * edge for edge in suspect.box) for suspect in small]
    assert [suspect.score for suspect in large] == [suspect.score for suspect in small]


def test_ignored_pixels_are_never_suspects(monitor, mislabelled):
    class Blank(Scenes):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            label_map = sample.label_map.clone()
            label_map[:, :40] = self.classes.ignore_index
            return replace(sample, label_map=label_map)

    suspects = worst_suspects(monitor, Blank(ScenesConfig(count=2, height=48, width=64)), LOSS, most=200)
    assert suspects and min(suspect.box[0] for suspect in suspects) >= 39


def test_right_labels_that_m_knows_give_no_suspects(knowing, mislabelled):
    suspects = worst_suspects(knowing, mislabelled, LOSS, most=200)
    assert {suspect.id for suspect in suspects} == {mislabelled.ids[2]}


def long_sample(mislabelled, width):
    label_map = torch.randint(len(mislabelled.classes), (16, width))
    return replace(mislabelled[1], image=torch.rand(3, 16, width), label_map=label_map)


def test_a_very_long_image_is_audited_as_a_whole_and_a_longer_one_refused(monitor, mislabelled, fails):
    case = case_of(monitor, long_sample(mislabelled, 200))
    assert case.misfit.shape == case.loss.shape == (32, 400)
    with fails(mislabelled[1].id, "(16, 513), more than 32 times", "cut it", error=DataError):
        case_of(monitor, long_sample(mislabelled, 513))
