"""What can be wrong with a user's model, data, board or machine, by kind."""

__all__ = [
    "DeltaloomError",
    "DoesNotFitError",
    "MismatchError",
    "ModelFileError",
    "ToolMissingError",
    "UnsupportedError",
]


class DeltaloomError(Exception):
    """Base of every error that a user's input can cause; its text is one clear sentence."""


class UnsupportedError(DeltaloomError):
    """A model asks for something that Deltaloom does not do; the sentence says what it does."""


class ModelFileError(DeltaloomError):
    """A model file is truncated, altered, or not a Deltaloom model at all."""


class DoesNotFitError(DeltaloomError):
    """A design needs more of a resource than its board has."""


class MismatchError(DeltaloomError):
    """Hardware and model differ: in a bit, a marker or a cycle."""


class ToolMissingError(DeltaloomError):
    """A program that a step needs is not installed; the sentence says how to get it."""
