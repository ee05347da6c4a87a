"""Makes image-changes.safetensors: changes of small synthetic pictures as Pillow makes them, byte for byte.

    python test/golden/image-changes/make.py [--check]

Python 3.11, Pillow 13.0, numpy 2.4. Pictures are [C,H,W] of uint8. Three lists of cases, in the metadata `config`:
  changes  single changes and rows of them, in the words of lib/ops/image-program.ts: {name, set, index, changes}
  policy   every pair of AutoAugment's CIFAR-10 policy, both done, with either sign: {name, set, index, pair, sign}
  random   RandAugment's operations by level: {name, set, index, operation, level, sign, resample}
The result of a case is the tensor of its name.
"""
import argparse
import json
import pathlib
import struct
import sys

import numpy
from PIL import Image, ImageEnhance, ImageOps

GREY = (128, 128, 128)
MEAN = (124, 116, 104)
RESAMPLE = {'nearest': Image.Resampling.NEAREST, 'bilinear': Image.Resampling.BILINEAR, 'bicubic': Image.Resampling.BICUBIC}


def pictures(seed, channels, height, width):
    """Noise; smooth waves; a narrow range; few values; one value."""
    draw = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[0:height, 0:width]
    waves = [127.5 + 127.5 * numpy.sin(0.31 * (c + 1) * x + 0.23 * y + c) for c in range(channels)]
    return numpy.stack([
        draw.integers(0, 256, (channels, height, width)),
        numpy.stack(waves),
        draw.integers(90, 141, (channels, height, width)),
        draw.choice([0, 31, 32, 200, 255], (channels, height, width)),
        numpy.broadcast_to(numpy.arange(7, 7 + 60 * channels, 60).reshape(-1, 1, 1), (channels, height, width)),
    ]).astype(numpy.uint8)


SETS = {
    'colour': pictures(1, 3, 13, 17),
    'grey': pictures(2, 1, 11, 9),
    'narrow': pictures(3, 3, 5, 2),
    'dot': pictures(4, 1, 1, 1),
    'cifar': pictures(5, 3, 32, 32),
    'digits': pictures(6, 1, 28, 28),
}


def to_image(pixels):
    return Image.fromarray(numpy.ascontiguousarray(pixels.transpose(1, 2, 0).squeeze(2) if pixels.shape[0] == 1
                                                   else pixels.transpose(1, 2, 0)))


def to_pixels(image):
    pixels = numpy.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def filling(image, fill):
    return tuple(fill) if image.mode == 'RGB' else fill[0]


def apply(image, change):
    kind = change['kind']
    if kind == 'affine':
        return image.transform(image.size, Image.Transform.AFFINE, change['map'], RESAMPLE[change['resample']],
                               fillcolor=filling(image, change['fill']))
    if kind in ('color', 'contrast', 'brightness', 'sharpness'):
        return getattr(ImageEnhance, kind.capitalize())(image).enhance(change['factor'])
    if kind == 'posterize':
        return ImageOps.posterize(image, change['bits'])
    if kind == 'solarize':
        return ImageOps.solarize(image, change['threshold'])
    if kind == 'solarizeAdd':
        return solarize_add(image, change['add'], change['threshold'])
    return {'invert': ImageOps.invert, 'autoContrast': ImageOps.autocontrast, 'equalize': ImageOps.equalize}[kind](image)


def solarize_add(image, add, threshold=128):
    table = [min(255, value + add) if value < threshold else value for value in range(256)]
    return image.point(table * len(image.getbands()))


def change_cases():
    def affine(numbers, resample):
        return {'kind': 'affine', 'map': numbers, 'resample': resample, 'fill': [200, 7, 31]}

    turned = [0.94, -0.342, 5.1, 0.342, 0.94, -2.9]
    maps = [[1, 0.3, 0, 0, 1, 0], [1, -0.1, 0, 0, 1, 0], [1, 0, 0, 0.25, 1, 0], [1, 0, 3.5, 0, 1, 0],
            [1, 0, -2.49, 0, 1, 4.51], turned, [0.5, 0.1, 1, -0.2, 1.7, 3]]
    changes = [affine(numbers, resample) for numbers in maps for resample in RESAMPLE]
    changes += [{'kind': kind, 'factor': factor} for kind in ('color', 'contrast', 'brightness', 'sharpness')
                for factor in (0.0, 0.1, 0.6, 1.0, 1.3, 1.9)]
    changes += [{'kind': 'posterize', 'bits': bits} for bits in (1, 4, 7, 8)]
    changes += [{'kind': 'solarize', 'threshold': threshold} for threshold in (0, 28.4, 113.78, 128, 256)]
    changes += [{'kind': 'solarizeAdd', 'add': add, 'threshold': 128} for add in (0, 55, 110, 128)]
    changes += [{'kind': kind} for kind in ('invert', 'autoContrast', 'equalize')]
    rows = [[change] for change in changes] + [
        [affine(turned, 'nearest'), {'kind': 'equalize'}, {'kind': 'sharpness', 'factor': 1.7}],
        [{'kind': 'contrast', 'factor': 0.3}, affine(turned, 'bicubic'), {'kind': 'autoContrast'}, {'kind': 'color', 'factor': 1.8}],
    ]
    for i, row in enumerate(rows):
        name = '+'.join(change['kind'] for change in row)
        for which, index in (('colour', i % 3), ('colour', 3 + i % 2), ('grey', i % 5), ('narrow', i % 4), ('dot', 0)):
            yield {'name': f'changes.{i}.{name}.{which}{index}', 'set': which, 'index': index, 'changes': row}
    for which in ('cifar', 'digits'):
        for index in range(4):  # counts beyond 255 of a value
            for kind in ('equalize', 'autoContrast'):
                yield {'name': f'changes.{kind}.{which}{index}', 'set': which, 'index': index, 'changes': [{'kind': kind}]}


# AutoAugment, CIFAR-10: (operation, magnitude) twice, and the probabilities, which the cases do not need but the test
# compares.
POLICY = '''invert 7 .1 contrast 6 .2 | rotate 2 .7 translateX 9 .3 | sharpness 1 .8 sharpness 3 .9 | shearY 8 .5 translateY 9 .7
| autoContrast 8 .5 equalize 2 .9 | shearY 7 .2 posterize 7 .3 | color 3 .4 brightness 7 .6 | sharpness 9 .3 brightness 9 .7
| equalize 5 .6 equalize 1 .5 | contrast 7 .6 sharpness 5 .6 | color 7 .7 translateX 8 .5 | equalize 7 .3 autoContrast 8 .4
| translateY 3 .4 sharpness 6 .2 | brightness 6 .9 color 8 .2 | solarize 2 .5 invert 3 .0 | equalize 0 .2 autoContrast 0 .6
| equalize 8 .2 equalize 4 .6 | color 9 .9 equalize 6 .6 | autoContrast 4 .8 solarize 8 .2 | brightness 3 .1 color 0 .7
| solarize 5 .4 autoContrast 3 .9 | translateY 9 .9 translateY 9 .7 | autoContrast 2 .9 solarize 3 .8 | equalize 8 .8 invert 3 .1
| translateY 9 .7 autoContrast 1 .9'''


def policy_operation(image, name, magnitude, sign):
    def on(start, end):
        return numpy.linspace(start, end, 10)[magnitude]

    def moved(numbers, resample=Image.Resampling.NEAREST):
        return image.transform(image.size, Image.Transform.AFFINE, numbers, resample, fillcolor=filling(image, GREY))

    if name == 'shearX':
        return moved((1, on(0, 0.3) * sign, 0, 0, 1, 0), Image.Resampling.BICUBIC)
    if name == 'shearY':
        return moved((1, 0, 0, on(0, 0.3) * sign, 1, 0), Image.Resampling.BICUBIC)
    if name == 'translateX':
        return moved((1, 0, on(0, 150 / 331) * image.size[0] * sign, 0, 1, 0))
    if name == 'translateY':
        return moved((1, 0, 0, 0, 1, on(0, 150 / 331) * image.size[1] * sign))
    if name == 'rotate':
        turned = image.convert('RGBA').rotate(on(0, 30))
        return Image.composite(turned, Image.new('RGBA', turned.size, (128,) * 4), turned).convert(image.mode)
    if name in ('color', 'contrast', 'brightness', 'sharpness'):
        return getattr(ImageEnhance, name.capitalize())(image).enhance(1 + on(0, 0.9) * sign)
    if name == 'posterize':
        return ImageOps.posterize(image, int(numpy.round(on(8, 4))))
    if name == 'solarize':
        return ImageOps.solarize(image, on(256, 0))
    return apply(image, {'kind': name})


def policy_cases():
    for i, pair in enumerate(POLICY.split('|')):
        words = pair.split()
        for sign in (1, -1):
            yield {'name': f'policy.{i}.{sign}', 'set': 'cifar', 'index': (i + sign) % 2, 'pair': i, 'sign': sign,
                   'probabilities': [float(words[2]), float(words[5])],
                   'steps': [[words[0], int(words[1])], [words[3], int(words[4])]]}


def random_operation(image, name, level, sign, resample):
    """timm's rand-...-inc1 operations."""
    fill = filling(image, MEAN)

    def moved(numbers):
        return image.transform(image.size, Image.Transform.AFFINE, numbers, RESAMPLE[resample], fillcolor=fill)

    part = level / 10.0
    if name == 'rotate':
        return image.rotate(part * 30.0 * sign, RESAMPLE[resample], fillcolor=fill)
    if name == 'posterize':
        bits = 4 - int(part * 4)
        return ImageOps.posterize(image, bits) if bits > 0 else image.point(lambda _: 0)  # as Pillow did when it took 0
    if name == 'solarize':
        return ImageOps.solarize(image, 256 - min(256, int(part * 256)))
    if name == 'solarizeAdd':
        return solarize_add(image, min(128, int(part * 110)))
    if name in ('color', 'contrast', 'brightness', 'sharpness'):
        return getattr(ImageEnhance, name.capitalize())(image).enhance(max(0.1, 1.0 + sign * (part * 0.9)))
    if name == 'shearX':
        return moved((1, sign * (part * 0.3), 0, 0, 1, 0))
    if name == 'shearY':
        return moved((1, 0, 0, sign * (part * 0.3), 1, 0))
    if name == 'translateX':
        return moved((1, 0, sign * (part * 0.45) * image.size[0], 0, 1, 0))
    if name == 'translateY':
        return moved((1, 0, 0, 0, 1, sign * (part * 0.45) * image.size[1]))
    return apply(image, {'kind': name})


def random_cases():
    names = ('autoContrast equalize invert rotate posterize solarize solarizeAdd color contrast brightness sharpness '
             'shearX shearY translateX translateY').split()
    for i, name in enumerate(names):
        for k, level in enumerate((0.0, 4.37, 5.81, 10.0)):
            for sign in (1, -1):
                resample = ('bilinear', 'bicubic', 'nearest')[(k + (sign < 0)) % 3]
                yield {'name': f'random.{name}.{level}.{sign}', 'set': 'colour', 'index': (i + k) % 2, 'operation': name,
                       'level': level, 'sign': sign, 'resample': resample}


def expected(case):
    image = to_image(SETS[case['set']][case['index']])
    if 'changes' in case:
        for change in case['changes']:
            image = apply(image, change)
    elif 'steps' in case:
        for name, magnitude in case['steps']:
            image = policy_operation(image, name, magnitude, case['sign'])
    else:
        image = random_operation(image, case['operation'], case['level'], case['sign'], case['resample'])
    return to_pixels(image)


def file_bytes():
    kinds = {'changes': list(change_cases()), 'policy': list(policy_cases()), 'random': list(random_cases())}
    tensors = {f'set.{name}': pixels for name, pixels in SETS.items()}
    tensors |= {case['name']: expected(case) for cases in kinds.values() for case in cases}
    header = {'__metadata__': {'spikeloom.fixture': '1', 'kind': 'pictures', 'config': json.dumps(kinds)}}
    body = bytearray()
    for name, pixels in tensors.items():
        start = len(body)
        body += numpy.ascontiguousarray(pixels).tobytes()
        header[name] = {'dtype': 'U8', 'shape': list(pixels.shape), 'data_offsets': [start, len(body)]}
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    return struct.pack('<Q', len(text)) + text + bytes(body)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='write nothing; fail where the committed file has other bytes')
    args = parser.parse_args()
    path, content = pathlib.Path(__file__).with_name('image-changes.safetensors'), file_bytes()
    if args.check:
        return int(not path.exists() or path.read_bytes() != content)
    path.write_bytes(content)
    print(f'{path.name}: {len(content)} bytes')
    return 0


if __name__ == '__main__':
    sys.exit(main())
