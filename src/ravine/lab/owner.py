"""Who owns a run: a process, told apart from those of other machines and of other containers on this one."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def name(host: str = "") -> str:
    """This process as the storage knows it: where it runs, its number and when it began, separated by colons."""
    return f"{host or machine()}:{os.getpid()}:{started(os.getpid())}"


def machine() -> str:
    """Where process numbers mean the same: a host since its last start, and one of its containers. A host's name
    alone may be shared by many containers."""
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    except OSError:
        pass
    return "/".join(parts)


def is_dead(owner: str, here: str) -> bool:
    """Whether an owner ran where `here` runs, and runs no longer. Of those elsewhere only their silence tells."""
    host, pid, began = owner.rsplit(":", 2)
    return host == here.rsplit(":", 2)[0] and started(int(pid)) != began


def started(pid: int) -> str:
    """When a process of this machine began, in the kernel's ticks, or '' if there is none: numbers are used again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:
        return ""
