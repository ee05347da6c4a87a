"""Write small recordings in every flat format from its published description: python test/golden/events/write.py [FOLDER].

Only the standard library is used, and nothing of the engine: what the readers must find stands in expected.json. Each
file holds the awkward parts of its format (clocks that run over, what is no event, packets of other types). Equal bytes
on every machine.
"""
import json
import pathlib
import random
import struct
import sys

HERE = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
EXPECTED = {}


def draw(seed, count, width, height, first, longest):
    """Events (x, y, p, t) in the order of their times."""
    source = random.Random(seed)
    events, t = [], first
    for _ in range(count):
        events.append((source.randrange(width), source.randrange(height), source.randrange(2), t))
        t += source.randrange(longest)
    return events


def save(name, data, events, width, height):
    (HERE / name).write_bytes(data)
    columns = dict(zip('xypt', (list(column) for column in zip(*events))))
    EXPECTED[name] = {'width': width, 'height': height, 'count': len(events), **columns}


def nmnist():
    """Times of 23 bits; an event in row 240 adds 2^13 to all later ones."""
    data, events, added = bytearray(), [], 0
    for i, (x, y, p, t) in enumerate(draw(1, 150, 34, 34, 0, 3000)):
        if i in (40, 41, 100):
            data += bytes([i, 240, 0, 0, 0])
            added += 2**13
        data += bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255])
        events.append((x, y, p, t + added))
    save('nmnist.bs2', data, events, 34, 34)


def aedat2():
    """DVS128: polarity 0 is brighter, columns count from the right, rows from the bottom; the clock runs over."""
    header = b'#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# Timestamps tick is 1 us\r\n'
    data, events = bytearray(header), draw(2, 150, 128, 128, 2**32 - 40000, 600)
    for i, (x, y, p, t) in enumerate(events):
        if i in (3, 77):
            data += struct.pack('>II', (0x8000, 0x80000000)[i == 77], t % 2**32)  # not events of pixels
        data += struct.pack('>II', (127 - y) << 8 | (127 - x) << 1 | 1 - p, t % 2**32)
    save('dvs128.aedat', data, events, 128, 128)


def packet(kind, size, time_at, overflow, bodies, capacity=None, valid=None):
    number = len(bodies)
    valid = number if valid is None else valid
    capacity = number if capacity is None else capacity
    head = struct.pack('<hhiiiiii', kind, 1, size, time_at, overflow, capacity, number, valid)
    return head + b''.join(bodies) + bytes(size * (capacity - number))


def aedat3():
    """Packets of polarity events, between packets of other types; invalid events, spare capacity, the clock's overflow."""
    header = b'#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#Start-Time: 2016-01-01 00:00:00 (TZ+0000)\r\n#!END-HEADER\r\n'
    data, events = bytearray(header), []
    drawn = draw(3, 160, 128, 128, 2**31 - 30000, 700)
    for start in range(0, 160, 40):
        part = drawn[start:start + 40]
        for overflow in sorted({t >> 31 for *_, t in part}):
            here = [event for event in part if event[3] >> 31 == overflow]
            bodies = []
            for i, (x, y, p, t) in enumerate(here):
                keep = (start + i) % 9 != 4
                bodies.append(struct.pack('<Ii', x << 17 | y << 2 | p << 1 | keep, t & 0x7fffffff))
                if keep:
                    events.append((x, y, p, t))
            spare = len(bodies) + (3 if start == 80 else 0)
            valid = sum(body[0] & 1 for body in bodies)
            data += packet(1, 8, 4, overflow, bodies, spare, valid)
        data += packet(0, 8, 4, 0, [struct.pack('<Ii', 1 | 2 << 1, start)])  # special
        data += packet(3, 36, 4, 0, [bytes(36)] * 2)  # inertial
        data += packet(1, 8, 4, 0, [])
    save('gesture.aedat', data, events, 128, 128)


def dat():
    """Two words; the clock runs over."""
    header = b'% Data file containing CD events.\n% Version 2\n% Date 2020-01-01 00:00:00\n% Height 100\n% Width 120\n'
    data, events = bytearray(header + bytes([12, 8])), draw(4, 150, 120, 100, 2**32 - 40000, 600)
    for x, y, p, t in events:
        data += struct.pack('<II', t % 2**32, p << 28 | y << 14 | x)
    save('cars.dat', data, events, 120, 100)


def evt2():
    """Words of time whenever its upper 28 bits change, and now and then without need; triggers; the clock runs over."""
    header = b'% Date 2020-01-01 00:00:00\n% evt 2.0\n% geometry 640x480\n% end\n'
    data, events = bytearray(header), draw(5, 150, 640, 480, 2**34 - 20000, 300)
    data += struct.pack('<I', 1 << 28 | 5 << 11 | 5)  # before any time: not an event
    last = None
    for i, (x, y, p, t) in enumerate(events):
        if t >> 6 != last or i % 7 == 0:
            last = t >> 6
            data += struct.pack('<I', 8 << 28 | last % 2**28)
        if i % 31 == 5:
            data += struct.pack('<III', 10 << 28 | 1, 14 << 28 | 12345, 15 << 28 | 99)  # trigger, vendor's data
        data += struct.pack('<I', p << 28 | (t & 63) << 22 | x << 11 | y)
    save('evt2.raw', data, events, 640, 480)


def evt3():
    """Single events and vectors of 8 and 12; words are written only where something changes; both times run over."""
    header = b'% Date 2020-01-01 00:00:00\n% evt 3.0\n% format EVT3;height=720;width=1280\n% end\n'
    source = random.Random(6)
    words, events = [2 << 12 | 7], []  # the first is an event before any time: not one
    t, high, low, row = 2**24 - 9000, None, None, None
    for i in range(60):
        if t >> 12 != high or i % 9 == 0:
            high = t >> 12
            words.append(8 << 12 | high % 2**12)
        if t & 4095 != low:
            low = t & 4095
            words.append(6 << 12 | low)
        y = source.randrange(720)
        if y != row:
            row = y
            words.append(source.randrange(2) << 11 | row)
        p = source.randrange(2)
        if i % 3 < 2:
            x = source.randrange(1280)
            words.append(2 << 12 | p << 11 | x)
            events.append((x, row, p, t))
        else:
            x = source.randrange(1280 - 32)
            words.append(3 << 12 | p << 11 | x)
            for bits in (12, 12, 8):
                mask = source.randrange(2**bits) if i % 4 else 2**bits - 1
                words.append((4 if bits == 12 else 5) << 12 | mask)
                events += [(x + bit, row, p, t) for bit in range(bits) if mask >> bit & 1]
                x += bits
        if i % 20 == 7:
            words += [10 << 12 | 1, 14 << 12 | 5, 15 << 12 | 7, 7 << 12 | 3]  # trigger, vendor's data
        t += source.randrange(900)
    save('evt3.raw', header + struct.pack(f'<{len(words)}H', *words), events, 1280, 720)


for write in (nmnist, aedat2, aedat3, dat, evt2, evt3):
    write()
(HERE / 'expected.json').write_text(json.dumps(EXPECTED, separators=(',', ':')).replace('},', '},\n') + '\n')
