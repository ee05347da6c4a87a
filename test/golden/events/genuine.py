"""Read genuine recordings with other programs and note what is in them: python test/golden/events/genuine.py FOLDER.

FOLDER holds the recordings (any depth); genuine.json gets, for each, the number of events and the SHA-256 over x and y
(u16), p (u8) and t (f64), little-endian, one array after the other. Needs tonic 1.7.0, expelliarmus 1.1.12, evt3 0.4.1
and aedat 2.3.0 from PyPI.

Where those differ from the readers of the engine by intent, it is said and undone here:
  * tonic gives the address bits of a DVS128 as they are; the image as jAER shows it has x = 127 - bits 7..1, y = 127 -
    bits 14..8 and polarity 1 where the bit is 0.
  * expelliarmus is not used for EVT 3.0: it counts each turn of the low time twice (once by itself, once in the high
    time).
"""
import hashlib
import json
import pathlib
import sys

import evt3
import numpy as np
from expelliarmus import Wizard
from tonic.io import read_aedat4, read_mnist_file

ROOT = pathlib.Path(sys.argv[1])
FOUND = {}


def note(path, x, y, p, t, options=None):
    hash = hashlib.sha256()
    for column, kind in ((x, '<u2'), (y, '<u2'), (p, 'u1'), (t, '<f8')):
        hash.update(np.asarray(column).astype(kind).tobytes())
    FOUND[path.name] = {'count': len(x), 'sha256': hash.hexdigest(), **({'options': options} if options else {})}


def dvs128(path):
    """tonic.io.read_dvs_128 of this release does not run (its header reader gives one value more): its lines, on its header."""
    data = path.read_bytes()
    start = 0
    while data[start:start + 1] == b'#':
        start = data.index(b'\n', start) + 1
    events = np.frombuffer(data, [('address', '>u4'), ('timeStamp', '>u4')], offset=start)
    address = events['address']
    x, y, p = (address >> 8) & 0x7F, (address >> 1) & 0x7F, address & 1
    note(path, 127 - y, 127 - x, 1 - p, events['timeStamp'])


def wizard(encoding):
    def read(path):
        events = Wizard(encoding=encoding, fpath=path).read()
        note(path, events['x'], events['y'], events['p'], events['t'])

    return read


def raw3(path):
    events = evt3.decode_file(str(path))
    note(path, events.x, events.y, events.p, events.t)


def nmnist(path):
    kind = np.dtype([('x', int), ('y', int), ('t', int), ('p', int)])
    events = read_mnist_file(str(path), kind)
    note(path, events['x'], events['y'], events['p'], events['t'])


def aedat4(path):
    events = read_aedat4(str(path))
    note(path, events['x'], events['y'], events['on'], events['t'])


READ = {'DVS128*.aedat': dvs128, 'jaer_M*.aedat': dvs128, '*.dat': wizard('dat'), 'evt2*.raw': wizard('evt2'), 'evt3*.raw': raw3,
        '*.bin': nmnist, '*.aedat4': aedat4}
for pattern, read in READ.items():
    for path in sorted(ROOT.rglob(pattern)):
        read(path)
target = pathlib.Path(__file__).with_name('genuine.json')
target.write_text(json.dumps(FOUND, indent=2) + '\n')
print(f'{target}: {len(FOUND)} recordings')
