"""The weights of the evidence: learnt from drawn mistakes, never negative."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from synthcp.comparison.blend import logistic_regression
from synthcp.verbs.audit.case import case_of
from synthcp.verbs.audit.suspicion import Suspicion, fit_suspicion, loss_and_misfit


def test_the_suspicion_is_the_weighted_sum(monitor, mislabelled):
    case = case_of(monitor, mislabelled[2])
    suspicion = Suspicion(loss_and_misfit, (0.5, 3.0), -0.25)
    assert torch.allclose(suspicion(case), 0.5 * case.loss + 3.0 * case.misfit - 0.25)


def test_weights_depend_on_the_seed_alone(monitor, mislabelled):
    first, again, other = (fit_suspicion(monitor, mislabelled, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_evidence_that_knows_the_mistakes_gets_the_weight(monitor, mislabelled):
    cases = [case_of(monitor, sample) for sample in mislabelled]

    def knowing(case):
        true = next(other.given for other in cases if other.image.equal(case.image))
        return (case.given != true).float(), torch.zeros_like(case.loss)

    suspicion = fit_suspicion(monitor, mislabelled, knowing)
    assert suspicion.bias < 0 < suspicion.weights[0] + suspicion.bias
    assert suspicion.weights[0] > 5 and suspicion.weights[1] == pytest.approx(0)


def test_evidence_that_would_count_for_the_label_is_left_out(monitor, mislabelled):
    cases = [case_of(monitor, sample) for sample in mislabelled]

    def turned(case):
        true = next(other.given for other in cases if other.image.equal(case.image))
        return case.loss, (case.given == true).float()

    alone = fit_suspicion(monitor, mislabelled, lambda case: (case.loss,))
    suspicion = fit_suspicion(monitor, mislabelled, turned)
    assert suspicion.weights == pytest.approx((*alone.weights, 0.0)) and suspicion.bias == pytest.approx(alone.bias)


def test_scikit_learn_finds_the_same_weights(monitor, mislabelled, monkeypatch):
    seen = {}

    def spy(inputs, target, ridge):
        seen.update(inputs=torch.stack(list(inputs), dim=1).numpy(), target=target.numpy())
        return logistic_regression(inputs, target, ridge)

    monkeypatch.setattr("synthcp.verbs.audit.suspicion.logistic_regression", spy)
    suspicion = fit_suspicion(monitor, mislabelled, lambda case: (case.loss,))
    oracle = LogisticRegression(C=1e6).fit(seen["inputs"], seen["target"])
    assert suspicion.weights == pytest.approx(oracle.coef_[0].tolist(), rel=3e-2)  # but for the ridge
    assert suspicion.bias == pytest.approx(oracle.intercept_[0], rel=3e-2)
