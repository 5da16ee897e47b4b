"""The memory of this process as a GPU's would be: what may be touched is said, and every access is checked."""

from __future__ import annotations

import ctypes

import numpy as np

BASE = 4096
EVERYTHING = np.ctypeslib.as_array((ctypes.c_uint8 * (1 << 47)).from_address(BASE))
"""All addresses from BASE on; only what somebody owns is ever read."""

WORDS = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}
VIEWS = {bits: EVERYTHING.view(word) for bits, word in WORDS.items()}


class Memory:
    """Stretches of memory that a kernel may read, and those that it may write."""

    def __init__(self) -> None:
        self._owned: dict[tuple[int, int], bool] = {}
        self.forget()

    def forget(self) -> None:
        """Own nothing."""
        self._owned.clear()
        self._sorted: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def own(self, address: int, size: int, *, is_written: bool = True) -> None:
        """Let kernels touch some bytes; those that they only read are for reading alone."""
        if size:  # what lay there before has been given back
            gone = [(a, b) for a, b in self._owned if a < address + size and address < b]
            for key in gone:
                del self._owned[key]
            self._owned[address, address + size] = is_written
            self._sorted = None

    def own_array(self, array: np.ndarray, *, is_written: bool = True) -> None:
        """Let kernels touch an array of NumPy's."""
        self.own(array.ctypes.data, array.nbytes, is_written=is_written)

    def load(self, addresses: np.ndarray, bits: int, count: int, text: str) -> list[np.ndarray]:
        """`count` neighbouring words at each address."""
        self._check(addresses, bits // 8 * count, text, is_store=False)
        at = ((addresses - np.uint64(BASE)) // np.uint64(bits // 8)).astype(np.int64)
        return [VIEWS[bits][at + k] for k in range(count)]

    def store(self, addresses: np.ndarray, bits: int, values: list[np.ndarray], text: str) -> None:
        """Neighbouring words to each address."""
        self._check(addresses, bits // 8 * len(values), text, is_store=True)
        assert len(np.unique(addresses)) == len(addresses), f"two threads write to one place: {text}"
        at = ((addresses - np.uint64(BASE)) // np.uint64(bits // 8)).astype(np.int64)
        for k, value in enumerate(values):
            VIEWS[bits][at + k] = value

    def _check(self, addresses: np.ndarray, size: int, text: str, *, is_store: bool) -> None:
        assert not np.any(addresses % np.uint64(size)), f"misaligned by {addresses % np.uint64(size)}: {text}"
        if self._sorted is None:
            ranges = sorted(self._owned)
            pairs = np.array(ranges, np.uint64).reshape(-1, 2)
            self._sorted = pairs[:, 0].copy(), pairs[:, 1].copy(), np.array([self._owned[r] for r in ranges], bool)
        starts, ends, are_written = self._sorted
        which = np.searchsorted(starts, addresses, side="right") - 1
        inside = (which >= 0) & (addresses + np.uint64(size) <= ends[which])
        assert inside.all(), f"{'write to' if is_store else 'read of'} memory that belongs to nobody: {text}"
        assert not is_store or are_written[which].all(), f"write to memory that is for reading alone: {text}"
