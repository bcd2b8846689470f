"""Operations of ONNX on constants alone: weights put together, and computed shapes."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import UnsupportedError
from .onnx_file import array_of
from .onnx_values import Filled, index_of

__all__ = ["MAX_ELEMENTS", "axes_of", "fold", "slices_of"]

MAX_ELEMENTS = 1 << 26
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
}
SAME = ("Identity", "Dropout", "Cast")
TYPES = {1: np.float32, 6: np.int32, 7: np.int64, 10: np.float16, 11: np.float64}


def fold(
    kind: str,
    attributes: dict[str, Any],
    arguments: Sequence[np.ndarray | Filled | None],
    subject: str,
) -> np.ndarray | Filled | None:
    """The constant that an operation makes of constants; ``None`` if it is not one of these.

    Raises
    ------
    UnsupportedError
        For operands that do not fit the operation, and results that are too large.
    """
    values = arguments[0]
    if kind == "ConstantOfShape":
        tensor = attributes.get("value")
        return Filled(0.0 if tensor is None else float(array_of(tensor, subject).ravel()[0]))
    if isinstance(values, Filled) and kind == "Concat":
        return values if all(other == values for other in arguments) else None
    if isinstance(values, Filled):
        shaped = ("Expand", "Gather", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
        return values if kind in (*SAME, *shaped) else None
    if not all(isinstance(value, np.ndarray | None) for value in arguments) or values is None:
        return None
    try:
        found = _compute(kind, attributes, values, arguments, subject)
    except (IndexError, TypeError, ValueError) as error:
        raise UnsupportedError(f"{subject} cannot be computed from its constants") from error
    return found


def _compute(
    kind: str, attributes: dict[str, Any], values: Any, arguments: Sequence[Any], subject: str
) -> np.ndarray | Filled | None:
    match kind:
        case "Cast":
            return _cast(values, attributes["to"], subject)
        case "Identity" | "Dropout":
            return values
        case "Expand":
            same = values.size and all(value == values.flat[0] for value in values.flat)
            return Filled(float(values.flat[0])) if same else None
        case "Add" | "Sub" | "Mul":
            _require_small(np.broadcast_shapes(values.shape, arguments[1].shape), subject)
            return np.asarray(ARITHMETIC[kind](values, arguments[1]))
        case "Div" | "Sqrt" if values.dtype.kind == "f":
            with np.errstate(all="ignore"):  # what is not finite is refused where it is used
                return np.sqrt(values) if kind == "Sqrt" else np.divide(values, arguments[1])
        case "Gather":
            axis = attributes.get("axis", 0)
            indices = np.array(index_of(arguments[1], "indices", subject), dtype=np.int64)
            _require_small((indices.size, values.size // max(values.shape[axis], 1)), subject)
            found = np.take(values, indices.reshape(arguments[1].shape), axis=axis)
            return np.asarray(found, dtype=values.dtype)
        case "Slice":
            items = [slice(None)] * values.ndim
            for axis, item in slices_of(attributes, arguments, subject).items():
                items[axis] = item
            return values[tuple(items)]
        case "Concat":
            _require_small((sum(value.size for value in arguments),), subject)
            return np.concatenate(arguments, axis=attributes["axis"])
        case "Reshape":
            shape = index_of(arguments[1], "lengths", subject)
            zero = attributes.get("allowzero", 0)
            return values.reshape(
                [values.shape[i] if n == 0 and not zero else n for i, n in enumerate(shape)]
            )
        case "Transpose":
            return values.transpose(attributes.get("perm"))
        case "Squeeze":
            axes = axes_of(attributes, arguments, subject)
            return values.squeeze(None if axes is None else tuple(axes))
        case "Unsqueeze":
            return np.expand_dims(values, tuple(axes_of(attributes, arguments, subject) or ()))
    return None


def axes_of(attributes: dict[str, Any], arguments: Sequence[Any], subject: str) -> list[int] | None:
    """Axes of an operation, which are an attribute of older files; ``None`` if left out."""
    if "axes" in attributes:
        return list(attributes["axes"])
    if len(arguments) < 2 or arguments[1] is None:
        return None
    return index_of(arguments[1], "axes", subject)


def slices_of(
    attributes: dict[str, Any], arguments: Sequence[Any], subject: str
) -> dict[int, slice]:
    """By axis, what a ``Slice`` takes; bounds beyond both ends are ``None``, as Python has them."""
    parts: list[list[int] | None] = []
    for place, name in enumerate(("starts", "ends", "axes", "steps"), start=1):
        if name in attributes:
            parts.append(list(attributes[name]))
        elif len(arguments) > place and arguments[place] is not None:
            parts.append(index_of(arguments[place], name, subject))
        else:
            parts.append(None)
    starts, ends, axes, steps = parts
    if starts is None or ends is None:
        raise UnsupportedError(f"{subject} must have starts and ends")
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise UnsupportedError(f"{subject} must have one start, end and step for each axis")
    far = 1 << 30
    found = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        bounds: list[int | None] = [None if abs(bound) >= far else bound for bound in (start, end)]
        bounds[0] = None if bounds[0] == 0 and step > 0 else bounds[0]
        found[axis] = slice(bounds[0], bounds[1], step)
    return found


def _cast(values: np.ndarray, kind: int, subject: str) -> np.ndarray:
    if values.dtype == object and not all(isinstance(value, int) for value in values.flat):
        return values  # lengths that are not known
    if kind not in TYPES:
        raise UnsupportedError(
            f"{subject} casts to the type numbered {kind}; supported are floats and int32, int64"
        )
    return values.astype(TYPES[kind])


def _require_small(shape: Sequence[int], subject: str) -> None:
    if int(np.prod([int(n) for n in shape], dtype=object)) > MAX_ELEMENTS:
        raise UnsupportedError(
            f"{subject} makes a constant of more than {MAX_ELEMENTS} elements, which are supported"
        )
