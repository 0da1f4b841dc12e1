"""How fast something grows, and how sure that is.

Theil and Sen: the median of the slopes between all pairs of points, which a few odd samples do not
move. Its confidence interval comes from Kendall's statistic. Neighbouring samples of memory are
alike, and would make it too narrow: so samples are averaged in blocks first, and the variance is
widened by what correlation is left between neighbouring blocks.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import sqrt

#: Into so many blocks samples are averaged; fewer than the least say nothing.
BLOCKS, _LEAST = 30, 4
#: Of the interval.
CONFIDENCE = 0.95
#: Correlation above which blocks would say nothing new at all.
_MOST_CORRELATION = 0.9

Point = tuple[float, float]


@dataclass(frozen=True)
class Slope:
    """Growth per unit of x: the estimate, and the interval in which it is with `CONFIDENCE`."""

    estimate: float
    low: float
    high: float

    @property
    def flat(self) -> bool:
        """Whether it may well be none."""
        return self.low <= 0 <= self.high


def slope(samples: Sequence[Point], blocks: int = BLOCKS) -> Slope:
    """The slope of samples in the order of their x.

    :raises ValueError: when they are too few.
    """
    points = _averaged(samples, blocks)
    count = len(points)
    if count < _LEAST:
        raise ValueError(f"{len(samples)} samples are too few for a slope")
    slopes = sorted((y - v) / (x - u) for (u, v), (x, y) in combinations(points, 2))
    middle = statistics.median(slopes)
    variance = count * (count - 1) * (2 * count + 5) / 18 * _widening(points, middle)
    reach = statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * sqrt(variance)
    low = max(0, int((len(slopes) - reach) / 2))
    high = min(len(slopes) - 1, int((len(slopes) + reach) / 2) + 1)
    return Slope(middle, slopes[low], slopes[high])


def _averaged(samples: Sequence[Point], blocks: int) -> list[Point]:
    """The means of consecutive samples, in at most so many blocks of one size."""
    size = max(1, len(samples) // blocks)
    starts = range(0, len(samples) - size + 1, size)
    chunks = [samples[start : start + size] for start in starts]
    return [
        (statistics.fmean(x for x, _ in chunk), statistics.fmean(y for _, y in chunk))
        for chunk in chunks
    ]


def _widening(points: Sequence[Point], estimate: float) -> float:
    """What the variance is to be multiplied with: (1 + r) / (1 - r) for the correlation r of
    neighbours, as far as they have one."""
    rest = [y - estimate * x for x, y in points]
    centre = statistics.fmean(rest)
    rest = [value - centre for value in rest]
    power = sum(value * value for value in rest)
    if power < 1e-12 * (1 + centre * centre):
        return 1.0
    correlation = sum(first * second for first, second in pairwise(rest)) / power
    correlation = min(max(correlation, 0.0), _MOST_CORRELATION)
    return (1 + correlation) / (1 - correlation)
