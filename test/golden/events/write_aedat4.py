"""Write small recordings of AEDAT 4.0 with iniVation's own library: python test/golden/events/write_aedat4.py.

One file per compression (none, LZ4, Zstandard), each with events in several packets and a stream of triggers between
them; aedat4.json has what is in all of them. Needs dv-processing 2.0.4 from PyPI. The library stamps its files with the
time, so bytes differ from run to run.
"""
import json
import pathlib
import random

import dv_processing as dv

HERE = pathlib.Path(__file__).parent
WIDTH, HEIGHT, PACKETS, EVENTS = 60, 50, 3, 120


def draw():
    source = random.Random(7)
    t = 1_600_000_000_000_000
    for _ in range(PACKETS):
        packet = []
        for _ in range(EVENTS):
            packet.append((source.randrange(WIDTH), source.randrange(HEIGHT), source.randrange(2), t))
            t += source.randrange(200)
        yield packet


packets = list(draw())
for name in ('NONE', 'LZ4', 'ZSTD'):
    config = dv.io.MonoCameraWriter.Config('DVS', getattr(dv.CompressionType, name))
    config.addEventStream((WIDTH, HEIGHT))
    config.addTriggerStream()
    writer = dv.io.MonoCameraWriter(str(HERE / f'{name.lower()}.aedat4'), config)
    for packet in packets:
        store = dv.EventStore()
        for x, y, p, t in packet:
            store.push_back(t, x, y, bool(p))
        writer.writeEvents(store)
        writer.writeTrigger(dv.Trigger(packet[-1][3], dv.TriggerType.EXTERNAL_SIGNAL_RISING_EDGE))
    del writer
columns = {name: list(column) for name, column in zip('xypt', zip(*sum(packets, [])))}
expected = {'width': WIDTH, 'height': HEIGHT, 'count': PACKETS * EVENTS, **columns}
(HERE / 'aedat4.json').write_text(json.dumps(expected, separators=(',', ':')) + '\n')
