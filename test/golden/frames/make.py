"""Write changes.json and resized.json: python test/golden/frames/make.py (PyTorch 2, in float64).

Frames resized by interpolate(mode='bilinear', align_corners=False), and moved by affine_grid and
grid_sample(mode='nearest', padding_mode='zeros', align_corners=False) with matrices made here: the forward map of an
image, whose y points down, inverted by torch.
"""
import json
import math
import pathlib

import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).parent
torch.manual_seed(3407)


def forward_map(change):
    """Where a point (x, y) from the centre goes, as a 3x3 matrix."""
    angle, kind = change.get('angle', 0.0), change['kind']
    matrix = torch.eye(3, dtype=torch.float64)
    if kind == 'rotate':  # against the clock, as seen
        cos, sin = math.cos(angle), math.sin(angle)
        matrix[:2, :2] = torch.tensor([[cos, sin], [-sin, cos]])
    if kind == 'shear':
        matrix[0, 1] = -math.tan(angle)
    if kind == 'translate':
        matrix[0, 2], matrix[1, 2] = change['x'], change['y']
    return matrix


def moved(frame, change):
    height, width = frame.shape
    inverse = torch.linalg.inv(forward_map(change))
    to_pixels = torch.diag(torch.tensor([width / 2, height / 2, 1.0], dtype=torch.float64))
    theta = (torch.linalg.inv(to_pixels) @ inverse @ to_pixels)[:2]
    grid = F.affine_grid(theta[None], (1, 1, height, width), align_corners=False)
    places = ((grid[0] + 1) * torch.tensor([width, height], dtype=torch.float64) - 1) / 2
    if (((places - places.floor()) - 0.5).abs() < 1e-6).any():
        raise ArithmeticError(f'{change} on {height}x{width} lies between two pixels: choose another angle')
    return F.grid_sample(frame[None, None], grid, mode='nearest', padding_mode='zeros', align_corners=False)[0, 0]


def changes():
    asked = [{'kind': 'rotate', 'angle': a} for a in (0.52, -0.52, 0.1, -0.42)]
    asked += [{'kind': 'shear', 'angle': a} for a in (0.3, -0.3, 0.14)]
    asked += [{'kind': 'translate', 'x': x, 'y': y} for x, y in ((5, 0), (-3, 0), (0, 2), (0, -5), (0, 0))]
    for height, width in ((8, 8), (7, 9), (16, 12), (24, 20)):
        for change in asked:
            frame = torch.arange(1, height * width + 1, dtype=torch.float64).view(height, width)
            pixels = moved(frame, change).long() - 1  # which pixel is seen; -1: none
            yield {'change': change, 'height': height, 'width': width, 'pixels': pixels.flatten().tolist()}


def resized():
    sizes = [((8, 12), (4, 6)), ((7, 9), (5, 4)), ((5, 6), (13, 17)), ((1, 3), (2, 2)), ((9, 9), (3, 3)), ((4, 4), (1, 1))]
    for (rows, columns), (height, width) in sizes:
        counts = torch.randint(0, 6, (2, rows, columns))
        frame = F.interpolate(counts[None].double(), (height, width), mode='bilinear', align_corners=False)[0]
        numbers = {'counts': counts.flatten().tolist(), 'frame': frame.flatten().tolist()}
        yield {'window': [rows, columns], 'size': [height, width], **numbers}


for name, cases in (('changes', changes()), ('resized', resized())):
    text = ',\n'.join(json.dumps(case, separators=(',', ':')) for case in cases)
    (HERE / f'{name}.json').write_text(f'[\n{text}\n]\n')
