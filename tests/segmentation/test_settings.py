from __future__ import annotations

import pytest

from synthcp.segmentation.settings import ModelSettings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (ModelSettings(), "M: deeplab; f_M is the input of its classifier"),
        (ModelSettings("pspnet", layers=6), "M: pspnet; f_M is the input of its classifier"),
        (ModelSettings("hf:a", "decode_head.classifier", 1), "M: hf:a; f_M is the input of decode_head.classifier"),
        (
            ModelSettings("a.py:b", "logits", 1, note="sky is its 3"),
            "M: a.py:b; f_M is the logits themselves; sky is its 3",
        ),
        (
            ModelSettings("preds:c", "", 0),
            "M: preds:c; predictions on disk: error map and class quality, but no anomaly map",
        ),
    ],
)
def test_a_model_is_told_in_one_line(settings: ModelSettings, words: str) -> None:
    assert settings.in_words().startswith(words) and "\n" not in settings.in_words()
    assert settings.is_built_in == (settings.spec in ("deeplab", "pspnet"))


def test_m_compares_in_one_way_more_than_it_has_layers_and_in_none_without() -> None:
    assert [ModelSettings(layers=layers).feature_distances for layers in (0, 1, 4)] == [0, 2, 5]
