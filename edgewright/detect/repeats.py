"""How often a picture is shown for the rare classes on it: repeat factors. Pure.

Decides a class's frequency: the geometric mean of its share of the pictures and of its share of the objects (Yaman et
al. 2023, arXiv 2305.08069); shares of pictures alone (Gupta, Dollar & Girshick 2019, arXiv 1908.03195, §4.2) miss a
class that is on most pictures and still few among many. The commonest class stands for their threshold: its factor is
1.

>>> repeat_factors([[0, 0, 0, 0], [0, 0, 0, 1]], most=4.0)
[1.0, 1.93]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def repeat_factors(classes: Sequence[Sequence[int]], *, most: float) -> list[float]:
    """Class ids of the objects on each picture => its factor in [1, most]: that of its rarest class.

    r_c = sqrt(f / f_c), f_c the frequency of the class and f the largest one; a picture without objects has 1.
    """
    objects = Counter(one for picture in classes for one in picture)
    pictures = Counter(one for picture in classes for one in set(picture))
    n_objects, n_pictures = max(1, objects.total()), max(1, len(classes))
    frequency = {one: (pictures[one] / n_pictures * objects[one] / n_objects) ** 0.5 for one in objects}
    largest = max(frequency.values(), default=1.0)
    factor = {one: min(most, (largest / own) ** 0.5) for one, own in frequency.items()}
    return [round(max((factor[one] for one in picture), default=1.0), 2) for picture in classes]
