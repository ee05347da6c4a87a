#!/usr/bin/env python3
"""CIFAR's Python files in small: python test/golden/cifar/make.py (Python 3.11, numpy 1 or 2, below a second).

Two images a file, byte i of image n being (31 n + 7 i) mod 256. `python3-*` are what Python 3 pickles; `python2-*` have
the same opcodes as the distributed files, which Python 2 pickled: plain strings, the array's bytes as one string.
"""
import pickle
import struct
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
PIXELS = (31 * np.arange(2)[:, None] + 7 * np.arange(3072)[None]).astype(np.uint8)


def content(names: list[bytes]) -> dict:
    lists = {b"labels": [9, 3]} if names == [b"labels"] else {b"fine_labels": [99, 0], b"coarse_labels": [1, 2]}
    return {b"batch_label": b"training batch 1 of 5", **lists, b"data": PIXELS, b"filenames": [b"a.png", b"b.png"]}


def text(value: bytes) -> bytes:
    return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value


def python2(value) -> bytes:
    """Opcodes of cPickle's protocol 2, without the memo that nobody reads."""
    if isinstance(value, bytes):
        return text(value)
    if isinstance(value, int):
        return b"K" + bytes([value])
    if isinstance(value, list):
        return b"](" + b"".join(python2(item) for item in value) + b"e"
    if isinstance(value, dict):
        return b"}q\x01(" + b"".join(python2(part) for item in value.items() for part in item) + b"u"
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87Rq\x04"
    dtype = b"cnumpy\ndtype\nq\x05U\x02u1K\x00K\x01\x87Rq\x06(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"".join(b"M" + struct.pack("<H", size) for size in value.shape) + b"\x86"
    return array + b"(K\x01" + shape + dtype + b"\x89" + text(value.tobytes()) + b"tb"


for name, keys in {"10": [b"labels"], "100": [b"fine_labels", b"coarse_labels"]}.items():
    (HERE / f"python3-{name}").write_bytes(pickle.dumps(content(keys), protocol=2))
    made = b"\x80\x02" + python2(content(keys)) + b"."
    assert pickle.loads(made, encoding="bytes")[b"data"].tolist() == PIXELS.tolist()
    (HERE / f"python2-{name}").write_bytes(made)
fortran = {**content([b"labels"]), b"data": np.asfortranarray(PIXELS)}
(HERE / "python3-fortran").write_bytes(pickle.dumps(fortran, protocol=2))
