"""An accelerator's registers by their names, through the bridge of a board."""

import numpy as np

from ..compiler.address_map import WORD_BITS, AddressMap, Status
from ..compiler.errors import DeltaloomError
from ..compiler.states import States

__all__ = ["HostRegisters"]


class HostRegisters:
    """Loads and reads states, and reads counters.

    Parameters
    ----------
    host : Host
        Speaks to the board.
    addresses : AddressMap
        Of the design that the board was configured with.
    """

    def __init__(self, host, addresses):
        if not isinstance(addresses, AddressMap):
            raise TypeError(f"Addresses must be an AddressMap, not {addresses!r}")
        self._host = host
        self._map = addresses

    def load(self, states: States) -> None:
        """Give the next sequence states to start from: between sequences.

        Parameters
        ----------
        states : mapping of str to mapping of str to numpy.ndarray
            By layer and state, all states of each layer that is named: integers (size,).

        Raises
        ------
        DeltaloomError
            If the values of a state are not as many integers of its format.
        """
        regions = {region.name: region for region in self._map.states}
        for layer, given in states.items():
            for state, values in given.items():
                region = regions[f"{layer}.{state}"]
                integers = values.dtype.kind in "iu" and region.format.holds(values)
                if values.shape != (region.size,) or not integers:
                    raise DeltaloomError(
                        f"State {region.name} must be {region.size} integers within {region.format}"
                    )
                self._host.write(region.address, values)
            self._host.write(self._map.addresses[f"{layer}.load"], [1])

    def states(self) -> dict[str, dict[str, np.ndarray]]:
        """By layer and state, what the last sequence left: int64 (size,). Between sequences."""
        found: dict[str, dict[str, np.ndarray]] = {}
        for region in self._map.states:
            words = self._host.read(region.address, region.size)
            signed = words - (words >> WORD_BITS - 1 << WORD_BITS)
            found.setdefault(region.layer, {})[region.state] = signed
        return found

    def counters(self) -> dict[str, int]:
        """By register: clock cycles, timesteps, columns; modulo 2**32, since the last reset."""
        found: dict[str, int] = {}
        following: list[str] = []  # read together, as they lie side by side
        for register in (*self._map.registers, None):
            if register is not None and not register.writable:
                following.append(register.name)
                continue
            if following:
                words = self._host.read(self._map.addresses[following[0]], len(following))
                found |= zip(following, words.tolist(), strict=True)
            following = []
        del found["status"]
        return found

    def broken(self) -> bool:
        """Whether a sequence broke a rule of the accelerator since the last reset."""
        return bool(self._host.read(self._map.addresses["status"])[0] & Status.ERROR)
