"""TensorFlow's checkpoints read without TensorFlow: NAME.index, a sorted table, and NAME.data-…, the numbers.

The table is LevelDB's (tensorflow/core/lib/io/format.h): blocks of keys that share beginnings, found by a footer. An
entry is a protocol buffer (tensorflow/core/protobuf/tensor_bundle.proto): type, shape, and where the bytes are. The
slices of a partitioned variable are entries of their own, whose keys say which part each is, in an order-keeping code
(tensorflow/core/lib/strings/ordered_code.h). Everything has a checksum (CRC-32C), and every one is checked.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ravine.convert.names import Tensors

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", 14: "<u2", 19: "<f2", 23: "<u8"}
BFLOAT16 = 14
"""TensorFlow's types of numbers (tensorflow/core/framework/types.proto); strings, the graph of objects, are passed."""


Slice = tuple[tuple[int, int], ...]
"""Where a part of a tensor begins along each axis, and how long it is; −1 for all of the axis."""


@dataclass(frozen=True)
class _Entry:
    dtype: int
    shape: tuple[int, ...]
    slices: tuple[Slice, ...]
    shard: int
    offset: int
    size: int
    checksum: int


def load(prefix: Path) -> Tensors:
    """The arrays of a checkpoint by name; `prefix` is its path without ".index". Raises ValueError if it is damaged."""
    index = prefix.with_name(f"{prefix.name}.index")
    try:
        entries = dict(_table(index.read_bytes()))
        header = dict(_fields(entries.pop(b"")))
        count = int(header[1])
        shards = [prefix.with_name(f"{prefix.name}.data-{i:05d}-of-{count:05d}") for i in range(count)]
        found: Tensors = {}
        for name, value in entries.items():
            entry = _entry(value)
            if entry.dtype not in TYPES or name.startswith(b"\0"):  # the graph of objects, or a slice
                continue
            if entry.slices:
                found[name.decode()] = _joined(name, entry, entries, shards)
            else:
                found[name.decode()] = _numbers(shards[entry.shard], entry)
        return found
    except (OSError, KeyError, IndexError, ValueError, struct.error, OverflowError) as error:
        words = str(error) if isinstance(error, ValueError | OSError) else "it is cut off"
        raise ValueError(f"{index} is damaged, or no checkpoint of TensorFlow's: {words}") from error


def _numbers(shard: Path, entry: _Entry) -> np.ndarray:
    dtype = np.dtype(TYPES[entry.dtype])
    if entry.size != math.prod(entry.shape) * dtype.itemsize:
        raise ValueError(f"{entry.size} bytes for the shape {entry.shape}")
    with shard.open("rb") as file:
        if shard.stat().st_size < entry.offset + entry.size:
            raise ValueError(f"{shard.name} is cut off")
        file.seek(entry.offset)
        data = file.read(entry.size)
    if masked(crc32c(data)) != entry.checksum:
        raise ValueError(f"{shard.name} has a wrong checksum")
    array = np.frombuffer(data, dtype).reshape(entry.shape).copy()
    return (array.astype("<u4") << 16).view("<f4") if entry.dtype == BFLOAT16 else array


def _joined(name: bytes, whole: _Entry, entries: Mapping[bytes, bytes], shards: Sequence[Path]) -> np.ndarray:
    """A partitioned variable. Raises ValueError for slices that are missing, overlap or don't fill it."""
    keys = {part: _key(name, part) for part in whole.slices}
    if not set(keys.values()) <= entries.keys():
        raise ValueError(f"slices of {name.decode()!r} are missing")
    parts = [(part, _entry(entries[key])) for part, key in keys.items()]
    if sum(p.size for _, p in parts) != math.prod(whole.shape) * np.dtype(TYPES[whole.dtype]).itemsize:
        raise ValueError(f"the slices of {name.decode()!r} don't fill its shape {whole.shape}")
    result = np.empty(whole.shape, "<f4" if whole.dtype == BFLOAT16 else TYPES[whole.dtype])
    is_filled = np.zeros(whole.shape, bool)
    for part, entry in parts:
        where = tuple(slice(start, start + length) if length >= 0 else slice(None) for start, length in part)
        if result[where].shape != entry.shape or entry.dtype != whole.dtype:
            raise ValueError(f"a slice of {name.decode()!r} has shape {entry.shape}, not {result[where].shape}")
        result[where], is_filled[where] = _numbers(shards[entry.shard], entry), True
    if not is_filled.all():
        raise ValueError(f"slices of {name.decode()!r} lie on each other")
    return result


def _key(name: bytes, part: Slice) -> bytes:
    """The key of a slice (tensorflow/core/util/saved_tensor_slice_util.cc)."""
    escaped = name.replace(b"\xff", b"\xff\0").replace(b"\0", b"\0\xff") + b"\0\1"
    numbers = b"".join(_ordered(n) for pair in part for n in pair)
    return b"\0" + escaped + bytes([1, len(part)]) + numbers


def _ordered(n: int) -> bytes:
    """A number so that the order of bytes is that of numbers: the leading bits of the first byte count the bytes."""
    size = ((n if n >= 0 else ~n).bit_length() + 1 + 6) // 7
    if size > 7:
        raise ValueError(f"a slice begins at {n}")
    return (n % (1 << 8 * size) ^ ((0xFF00 >> size) & 0xFF) << 8 * (size - 1)).to_bytes(size, "big")


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a table."""
    footer = data[-FOOTER:]
    if len(footer) < FOOTER or struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise ValueError("its end is not a table's")
    _, at = _handle(footer, 0)
    blocks, _ = _handle(footer, at)
    for _, value in _block(data, *blocks):
        yield from _block(data, *_handle(value, 0)[0])


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    block = data[offset : offset + size]
    kind, checksum = struct.unpack_from("<BI", data, offset + size)
    if kind:
        raise ValueError("its table is compressed")
    if masked(crc32c(data[offset : offset + size + 1])) != checksum:
        raise ValueError("its table has a wrong checksum")
    (restarts,) = struct.unpack("<I", block[-4:])
    end, at, key = size - 4 * (restarts + 1), 0, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + length]
        at += own + length


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[at]
        result |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return result, at


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The numbered fields of a protocol buffer."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
        elif kind == 2:
            size, at = _varint(data, at)
            yield tag >> 3, data[at : at + size]
            at += size
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            yield tag >> 3, int.from_bytes(data[at : at + width], "little")
            at += width
        else:
            raise ValueError(f"a field of kind {kind}")


def _entry(data: bytes) -> _Entry:
    fields: dict[int, int] = {}
    shape: tuple[int, ...] = ()
    slices: list[Slice] = []
    for number, value in _fields(data):
        if isinstance(value, int):
            fields[number] = value
        elif number == 2:
            dims = [dict(_fields(own)) for n, own in _fields(value) if n == 2 and isinstance(own, bytes)]
            shape = tuple(int(d.get(1, 0)) for d in dims)
        elif number == 7:
            extents = [dict(_fields(own)) for n, own in _fields(value) if n == 1 and isinstance(own, bytes)]
            slices.append(tuple((int(e.get(1, 0)), int(e.get(2, -1))) for e in extents))
    return _Entry(fields[1], shape, tuple(slices), *(fields.get(n, 0) for n in (3, 4, 5, 6)))


def _steps() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    return table


STEP = _steps()
"""CRC-32C by the byte."""

DOUBLE = STEP[np.arange(65536) & 255]
DOUBLE = STEP[((DOUBLE ^ (np.arange(65536, dtype=np.uint32) >> 8)) & 255)] ^ (DOUBLE >> 8)
"""And by two."""


def crc32c(data: bytes) -> int:
    """The checksum of some bytes.

    It is linear, so rows of the bytes are done side by side, and each is joined to what came before it by a table that
    says what a row of zeros makes of a state.
    """
    rows = max(1, math.isqrt(len(data)))
    pairs = len(data) // rows // 2
    body = np.frombuffer(data, "<u2", rows * pairs).reshape(rows, pairs)
    start = np.arange(256, dtype=np.uint32) << (8 * np.arange(4, dtype=np.uint32))[:, None]
    after_zeros = _run(start, np.zeros((pairs, 1, 1), np.uint16))
    own = _run(np.zeros(rows, np.uint32), np.ascontiguousarray(body.T))
    state = 0xFFFFFFFF
    for crc in own.tolist():
        passed = [int(after_zeros[i, state >> (8 * i) & 255]) for i in range(4)]
        state = passed[0] ^ passed[1] ^ passed[2] ^ passed[3] ^ crc
    for byte in data[2 * rows * pairs :]:
        state = int(STEP[(state ^ byte) & 255]) ^ (state >> 8)
    return state ^ 0xFFFFFFFF


def _run(states: np.ndarray, data: np.ndarray) -> np.ndarray:
    for column in data:
        states = DOUBLE[(states ^ column) & 65535] ^ (states >> 16)
    return states


def masked(checksum: int) -> int:
    """As checksums are stored, so that one of data with checksums in it is none of chance."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF
