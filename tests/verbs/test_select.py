"""The choice of images to annotate: laws, and a slow loop that says the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

from synthcp.errors import ShapeError
from synthcp.verbs.select import select


@pytest.fixture
def items():
    """Badness (30,) and embeddings (30, 4), all different."""
    chance = np.random.default_rng(3)
    return chance.uniform(0.05, 0.9, 30), chance.normal(size=(30, 4))


def slow(badness, embeddings, budget):
    """The rule, word by word."""
    chosen = [max(range(len(badness)), key=lambda item: badness[item])]
    while len(chosen) < budget:
        values = {
            item: badness[item] * min(math.dist(embeddings[item], embeddings[other]) for other in chosen)
            for item in range(len(badness))
            if item not in chosen
        }
        chosen.append(max(values, key=values.__getitem__))
    return chosen


@pytest.mark.parametrize("budget", [1, 2, 7, 30])
def test_a_slow_loop_chooses_the_same(items, budget):
    assert select(*items, budget) == slow(*items, budget)


def test_the_chosen_are_different_and_a_small_budget_is_the_beginning_of_a_large_one(items):
    whole = select(*items, 30)
    assert sorted(whole) == list(range(30))
    assert [select(*items, budget) for budget in (0, 3, 12, 99)] == [whole[:0], whole[:3], whole[:12], whole]


def test_equal_embeddings_leave_the_ranking_by_badness(items):
    badness, _ = items
    assert select(badness, np.full((30, 4), 0.7), 30) == np.argsort(-badness).tolist()


def test_equal_badness_leaves_the_farthest_first(items):
    _, embeddings = items
    assert select(np.full(30, 0.25), embeddings, 9) == slow([1.0] * 30, embeddings, 9)
    for badness in (0.5, 0):  # also where nothing is expected to be wrong
        assert select([badness] * 4, [[0.0], [1.0], [7.0], [4.0]], 4) == [0, 2, 3, 1]
    assert select([], np.empty((0, 4)), 5) == []


def test_a_duplicate_is_chosen_after_all_others(items):
    badness, embeddings = items
    worst = int(np.argmax(badness))
    twice = np.append(badness, badness[worst] - 1e-3), np.vstack([embeddings, embeddings[worst]])
    assert select(*twice, 31) == [*select(*items, 30), 30]


def test_badness_and_distance_both_count():
    embeddings = [[0.0], [0.1], [1.0], [3.0]]
    assert select([0.9, 0.8, 0.6, 0.1], embeddings, 4) == [0, 2, 3, 1]  # 0.08 < 0.6 > 0.3; then 0.08 < 0.2
    assert select([0.9, 0.8, 0.1, 0.3], embeddings, 2) == [0, 3]


def test_the_order_of_the_items_does_not_matter(items):
    order = np.random.default_rng(5).permutation(30)
    shuffled = select(items[0][order], items[1][order], 12)
    assert [int(order[item]) for item in shuffled] == select(*items, 12)


def test_other_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"badness \(3,\) and embeddings \(2, 4\)"):
        select([1, 2, 3], np.zeros((2, 4)), 2)
