"""Write small HDF5 recordings with h5py: python test/golden/events/write_hdf5.py.

shd.h5 has the layout of the Spiking Heidelberg Digits (lists of 16-bit floats and units, labels), shd32.h5 the same
with 32-bit floats, events.h5 one recording as AERTB (seconds) and one as Prophesee (microseconds) lay it out; hdf5.json
has what is in them. Needs h5py 3.16 from PyPI.
"""
import json
import pathlib

import h5py
import numpy as np

HERE = pathlib.Path(__file__).parent
LENGTHS = [5, 0, 40, 1, 17]
rng = np.random.RandomState(8)
units = [rng.randint(0, 700, n).astype('u2') for n in LENGTHS]
labels = rng.randint(0, 20, len(LENGTHS)).astype('u2')
expected = {}
for name, kind in (('shd.h5', 'f2'), ('shd32.h5', 'f4')):
    times = [np.sort(rng.rand(n)).astype(kind) for n in LENGTHS]
    with h5py.File(HERE / name, 'w') as file:
        spikes = file.create_group('spikes')
        for dataset, rows, element in (('times', times, kind), ('units', units, 'u2')):
            made = spikes.create_dataset(dataset, (len(LENGTHS),), dtype=h5py.vlen_dtype(np.dtype(element)))
            for i, row in enumerate(rows):
                made[i] = row
        file['labels'] = labels
    seconds = [row.astype('f8') for row in times]
    expected[name] = {'units': [row.tolist() for row in units], 'seconds': [row.tolist() for row in seconds], 'labels': labels.tolist()}

count = 200
x, y, p = rng.randint(0, 34, count), rng.randint(0, 30, count), rng.randint(0, 2, count)
t = np.cumsum(rng.randint(0, 900, count))
with h5py.File(HERE / 'events.h5', 'w') as file:
    aertb = np.zeros(count, [('x', '<u2'), ('y', '<u2'), ('ts', '<f4'), ('p', 'i1')])
    aertb['x'], aertb['y'], aertb['ts'], aertb['p'] = x, y, t / 1e6, p
    file.create_dataset('3/00001', data=aertb, compression='gzip')
    prophesee = np.zeros(count, [('x', '<u2'), ('y', '<u2'), ('p', '<i2'), ('t', '<i8')])
    prophesee['x'], prophesee['y'], prophesee['p'], prophesee['t'] = x, y, p, t
    file.create_dataset('CD/events', data=prophesee)
expected['events.h5'] = {'x': x.tolist(), 'y': y.tolist(), 'p': p.tolist(), 't': t.tolist()}
(HERE / 'hdf5.json').write_text(json.dumps(expected, separators=(',', ':')) + '\n')
