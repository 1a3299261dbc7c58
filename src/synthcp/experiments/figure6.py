"""Figure 6: predicted against true Dice of every structure, by the VAE alarm, SynthCP, and their mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synthcp.experiments.quality_cases import QualityCases
from synthcp.report.figures import quality_scatter, save_figure


def figure6(target: Path, cases: QualityCases, rows: Sequence[str]) -> None:
    """Draw one scatter plot for each row of the table and each structure.

    Args:
        target: The PNG file.
        cases: Of one seed.
        rows: Of the table.

    Raises:
        InputError: The target cannot be written.
    """
    true = np.array(cases.true)
    pairs = {
        f"{row}: {structure}": list(zip(true[:, column], np.array(cases.predicted[row])[:, column], strict=True))
        for column, structure in enumerate(cases.structures)
        for row in rows
    }
    save_figure(target, quality_scatter(pairs, "Dice", most_columns=len(rows)))
