"""What a search may choose: for every operand of every layer widths, and thresholds for each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from ..compiler.errors import DeltaloomError
from ..compiler.integer import IntegerLayer, Skip
from ..compiler.integer_network import IntegerNetwork
from ..compiler.network import Network
from ..compiler.recipe import Recipe
from .paths import ACTIVATIONS, WEIGHTS, Part, with_widths

__all__ = [
    "LEAST_SHARE",
    "Choice",
    "Dimension",
    "Place",
    "dimensions",
    "ladder",
    "recipe_of",
    "thresholds_of",
]

STEPS_AN_OCTAVE = 6
FINEST, COARSEST = 2, 1 << 6
"""Of the thresholds of 8 bits; wider formats have multiples of these."""

LEAST_SHARE = 0.01
"""Of all operations; an operand with fewer is left as it is."""

Width = str | tuple[str, str]
"""Of the weights and the operand, or of each."""

Place = tuple[int, int]
"""Of a choice: which width, and which threshold of those that belong to it."""


@dataclass(frozen=True)
class Choice:
    """What one operand may have.

    Parameters
    ----------
    theta : int
        Its threshold, in units of its last place.
    weights, activations : str, optional
        Encoding of the weights that multiply it, and its own width; None: as the recipe says.
    """

    theta: int
    weights: str | None = None
    activations: str | None = None


@dataclass(frozen=True)
class Dimension:
    """An operand of a layer, and what it may have.

    Parameters
    ----------
    layer, operand : str
        Names.
    ladders : tuple of tuple of Choice
        For each width the thresholds, the least first. The first choice of all is the recipe's.
    """

    layer: str
    operand: str
    ladders: tuple[tuple[Choice, ...], ...]

    @property
    def name(self) -> str:
        return f"{self.layer}.{self.operand}"

    @property
    def fixed(self) -> "Dimension":
        """The same operand, left as the recipe has it."""
        return replace(self, ladders=(self.ladders[0][:1],))

    def at(self, place: Place) -> Choice:
        width, step = place
        return self.ladders[width][step]


def ladder(bits: int) -> list[int]:
    """Thresholds to try for an operand of so many bits, above the exact one."""
    unit = 1 << max(0, bits - 8)
    found: list[int] = []
    value = float(FINEST)
    while round(value) <= min(COARSEST, 1 << (min(bits, 8) - 1)):
        found.append(round(value) * unit)
        value *= 2 ** (1 / STEPS_AN_OCTAVE)
    return sorted(set(found))


def dimensions(
    network: IntegerNetwork,
    thresholds: Mapping[str, Sequence[int]] | None = None,
    widths: Mapping[str, Sequence[Width]] | None = None,
) -> list[Dimension]:
    """Every operand of the layers that skip by deltas, in the network's order.

    Parameters
    ----------
    network : IntegerNetwork
        As its recipe makes it.
    thresholds : mapping of pattern to sequence of int, optional
        Candidates by ``layer.operand``, as in ``fnmatch``, later ones first: of the recipe's
        width. Operands that no pattern matches have those of :func:`ladder`.
    widths : mapping of pattern to sequence, optional
        Other widths by ``layer.operand``, as in ``fnmatch``, later ones first: ``"int16"`` for
        the operand and the weights that multiply it, or a pair of weights and activations.
    """
    names = [
        f"{layer.name}.{operand.name}"
        for layer in network.computing
        for operand in layer.operands
        if layer.skip is Skip.DELTA
    ]
    if not names:
        raise DeltaloomError("Model must skip by deltas for a search of thresholds: skip 'delta'")
    for what, patterns in (("thresholds", thresholds or {}), ("widths", widths or {})):
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise DeltaloomError(
                    f"Pattern '{pattern}' of {what} must match operands of layers that skip by "
                    f"deltas, which are {', '.join(names)}"
                )
    return [
        _dimension(layer, operand.name, thresholds or {}, widths or {})
        for layer in network.computing
        for operand in layer.operands
        if layer.skip is Skip.DELTA
    ]


def _dimension(
    layer: IntegerLayer,
    operand: str,
    thresholds: Mapping[str, Sequence[int]],
    widths: Mapping[str, Sequence[Width]],
) -> Dimension:
    found = next(o for o in layer.operands if o.name == operand)
    name = f"{layer.name}.{operand}"
    given = _matching(thresholds, name)
    tried = ladder(found.format.width) if given is None else list(given)
    for theta in tried:
        if isinstance(theta, bool) or not isinstance(theta, int) or theta < 0:
            raise DeltaloomError(
                f"Thresholds of {name} must be non-negative integers, not {theta!r}"
            )
        if theta >= 1 << found.format.width:
            raise DeltaloomError(
                f"Thresholds of {name} must be below {1 << found.format.width}, the range of its "
                f"{found.format.width}-bit values, not {theta}"
            )
    start = found.theta
    ladders = [tuple(Choice(t) for t in (start, *sorted(t for t in set(tried) if t > start)))]
    for width in _matching(widths, name) or ():
        weights, activations = (width, width) if isinstance(width, str) else width
        bits = _bits(name, activations)
        ladders.append(tuple(Choice(t, weights, activations) for t in (0, *ladder(bits))))
    return Dimension(layer.name, operand, tuple(ladders))


def _matching(patterns: Mapping[str, Sequence], name: str) -> Sequence | None:
    found = [values for pattern, values in patterns.items() if fnmatchcase(name, pattern)]
    return found[-1] if found else None


def _bits(name: str, activations: str) -> int:
    try:
        return Recipe(activations=activations).activation_bits("", "")
    except DeltaloomError as error:
        raise DeltaloomError(f"Widths of {name} are unusable: {error}") from None


def recipe_of(
    recipe: Recipe, network: Network, dimensions: Iterable[Dimension], places: Iterable[Place]
) -> Recipe:
    """The recipe with what is chosen of each dimension of a float network."""
    dimensions, places = tuple(dimensions), tuple(places)
    widths: dict[Part, str] = {}
    for dimension, place in zip(dimensions, places, strict=True):
        choice = dimension.at(place)
        given = {WEIGHTS: choice.weights, ACTIVATIONS: choice.activations}
        widths |= {Part(dimension.name, what): w for what, w in given.items() if w is not None}
    wanted = with_widths(recipe, network, widths)
    return replace(wanted, theta=thresholds_of(dimensions, places))


def thresholds_of(
    dimensions: Iterable[Dimension], places: Iterable[Place]
) -> dict[str, dict[str, int]]:
    """The chosen thresholds, by layer and operand."""
    found: dict[str, dict[str, int]] = {}
    for dimension, place in zip(dimensions, places, strict=True):
        found.setdefault(dimension.layer, {})[dimension.operand] = dimension.at(place).theta
    return found
