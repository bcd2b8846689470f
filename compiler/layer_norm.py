"""Layer normalisation in operations that integers can do exactly."""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add

from .cell import Value, absolute, inverse

__all__ = ["FORMS", "layer_norm"]

FORMS = ("variance", "mad")


def layer_norm(
    values: Sequence[Value],
    constant: Callable[[str, Value], Value],
    name: str,
    form: str = "variance",
    epsilon: float = 1e-5,
) -> list[Value]:
    """Vectors normalised together, as the parts of one long vector (Ba et al. 2016).

    In integers the vectors are rounded first, and all sums over them are exact. With N elements in
    all and their sum T, an element v becomes d = N v - T, which is N times its
    distance from the mean, and N sum(v^2) - T^2 is N^2 times the variance: no division, no
    rounding. The form ``mad`` divides by the mean absolute deviation instead, sum |d| / N^2, which
    is known a pass later (Sari et al. 2021).

    Parameters
    ----------
    values : sequence of Value
        Vectors of one size.
    constant : callable
        Gives a learned vector by its name: ``<name>_gain_<n>`` and ``<name>_bias_<n>``.
    name : str
        Of the parameters.
    form : str
        ``variance`` or ``mad``.
    epsilon : float
        Added to the variance, or to the mean absolute deviation.
    """
    if form not in FORMS:
        raise ValueError(f"Form must be one of {', '.join(FORMS)}, not {form!r}")
    values = [value.rounded() for value in values]
    count = len(values) * values[0].node.size
    total = reduce(add, values).sum()
    if form == "variance":
        squares = reduce(add, [value * value for value in values]).sum()
        spread = squares.scaled(count) - total * total
        divisor = inverse(spread, "root", epsilon * count**2)
    distances = [value.scaled(count) - total for value in values]
    if form == "mad":
        spread = reduce(add, [absolute(distance) for distance in distances]).sum()
        divisor = inverse(spread, "reciprocal", epsilon * count**2).scaled(count)
    return [
        constant(f"{name}_gain_{n}", distance) * (distance * divisor)
        + constant(f"{name}_bias_{n}", distance)
        for n, distance in enumerate(distances)
    ]
