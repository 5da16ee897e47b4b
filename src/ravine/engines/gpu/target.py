"""What PTX is written for: the oldest processor it must run on, and the oldest driver."""

from __future__ import annotations

from dataclasses import dataclass

THREADS = 128
"""Threads of a block of the grid."""

SPACE = 1
"""LLVM's number for the memory of a device."""

OLDEST_CARD = (7, 0)
"""The compute capability from which on the engine works: Volta."""

OLDEST_DRIVER = (11, 0)
"""The CUDA version whose driver reads the engine's PTX."""

SMALL, LARGE = 4352, 32764
"""Bytes of a kernel's parameters: what every driver takes, and what those from CUDA 12.1 on take."""


@dataclass(frozen=True)
class Target:
    """A processor's and a PTX version's names in LLVM, and how many bytes of parameters a launch may have.

    One text serves all later processors too: the driver translates it.
    """

    processor: str
    ptx: str
    parameter_bytes: int

    @property
    def has_bfloat(self) -> bool:
        """Whether the processor rounds to bfloat16 by itself."""
        return self.processor != "sm_70"


def target(card: tuple[int, int], driver: tuple[int, int]) -> Target:
    """The target for a card's compute capability and the CUDA version of its driver, both as (major, minor)."""
    processor = "sm_80" if card >= (8, 0) else "sm_70"
    is_large = driver >= (12, 1)
    return Target(processor, "+ptx81" if is_large else "+ptx70", LARGE if is_large else SMALL)


TARGETS = tuple(target(card, driver) for card in (OLDEST_CARD, (8, 0)) for driver in (OLDEST_DRIVER, (12, 1)))
"""Every target that there is."""


def why_not(card: tuple[int, int], driver: tuple[int, int]) -> str:
    """Why the engine can't work on a card with a driver; empty if it can."""
    if driver < OLDEST_DRIVER:
        return (
            f"the driver knows CUDA up to {_dotted(driver)}, and a driver for CUDA {_dotted(OLDEST_DRIVER)} is needed"
        )
    if card < OLDEST_CARD:
        return f"the card has compute capability {_dotted(card)}, and {_dotted(OLDEST_CARD)} (Volta) is needed"
    return ""


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
