"""Is the promise still valid? A test of whether new images are like those of the calibration.

A conformal test martingale: each new score is ranked among those before it, calibration images included. While all are
exchangeable the ranks are independent and uniform, whatever the scores are (Vovk, Gammerman, Shafer: Algorithmic
Learning in a Random World, 2005). Bets against uniformity then win nothing on average; a capital that ever reaches
1 / rate is an alarm, false in at most a share `rate` of all streams, however long they are (Ville's inequality). The
bets are those of the Simple Jumper (Vovk et al., Retrain or not retrain, COPA 2021), and some twice as bold.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthcp.errors import InputError

COLUMNS = ("error_share", "anomaly_share", "mean_quality")
"""Of results.csv: what is watched."""
RATE = 0.01
"""Of false alarms."""
SLOPES = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
"""Of the bets: 1 + slope (p - 1/2) is what a unit of capital becomes."""
JUMP = 0.01
"""Share of the capital that is dealt out anew before each bet."""
DIGITS = 3
"""Behind the point, to which scores are compared: less is how a file was coded, not what it shows."""


@dataclass(frozen=True)
class Drift:
    """What a stream of one score tells.

    Attributes:
        column: Of results.csv.
        images: How many were seen.
        evidence: The largest capital that bets of one unit against "nothing has changed" ever had.
        needed: From which on it is an alarm.
        since: Number of the image, from 1, that raised it; None without an alarm.
    """

    column: str
    images: int
    evidence: float
    needed: float
    since: int | None

    def in_words(self) -> str:
        """Say it in one line."""
        told = f"{self.column}: evidence {self.evidence:.3g} of {self.needed:g} needed, over {self.images} images"
        return told if self.since is None else f"{told}; drift, told at image {self.since}"


def watch(usual: Mapping[str, Sequence[float]], seen: Mapping[str, Sequence[float]], rate: float = RATE) -> list[Drift]:
    """Test every score of a stream; all of them together raise a false alarm in at most a share `rate` of all streams.

    Args:
        usual: Scores of the calibration images, by column.
        seen: Scores of the new images in the order in which they came, by column; undefined ones (NaN) are left out.
        rate: Of false alarms, in (0, 1).

    Raises:
        InputError: The rate is not in (0, 1).
    """
    if not 0 < rate < 1:
        raise InputError(f"rate {rate:g} of false alarms must lie between 0 and 1; 0.01 is usual")
    streams = {name: _defined(seen[name]) for name in usual if len(usual[name]) and name in seen}
    needed = len(streams) / rate
    return [_tested(name, _defined(usual[name]), values, needed) for name, values in streams.items() if len(values)]


def _defined(values: Sequence[float]) -> list[float]:
    return [round(value, DIGITS) for value in values if not math.isnan(value)]


def _tested(column: str, usual: Sequence[float], stream: Sequence[float], needed: float) -> Drift:
    capital = log_capital(p_values(usual, stream))
    above = np.flatnonzero(capital >= math.log(needed))
    largest = math.exp(min(700.0, float(capital.max())))
    return Drift(column, len(stream), largest, needed, int(above[0]) + 1 if len(above) else None)


def p_values(usual: Sequence[float], stream: Sequence[float], seed: int = 0) -> NDArray[np.float64]:
    """Return the share of all scores so far that lie above each new one, ties split at random, shape (N,)."""
    bag, chances = sorted(usual), np.random.default_rng(seed).random(len(stream))
    found = np.empty(len(stream))
    for number, score in enumerate(stream):
        above = len(bag) - bisect.bisect_right(bag, score)
        equal = 1 + len(bag) - above - bisect.bisect_left(bag, score)
        found[number] = (above + chances[number] * equal) / (len(bag) + 1)
        bisect.insort(bag, score)
    return found


def log_capital(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of the capital after each bet, shape (N,); it begins with one unit."""
    shares, grown, found = np.full(len(SLOPES), 1 / len(SLOPES)), 0.0, np.empty(len(p))
    for number, value in enumerate(p):
        shares = (1 - JUMP) * shares + JUMP / len(SLOPES)
        shares = shares * (1 + SLOPES * (value - 0.5))
        factor = float(shares.sum())
        shares, grown = shares / factor, grown + math.log(factor)
        found[number] = grown
    return found
