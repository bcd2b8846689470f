"""The rules that every integer network keeps."""

from .integer import IntegerNetwork

__all__ = ["check_network"]


def check_network(network: IntegerNetwork) -> None:
    """stub"""
