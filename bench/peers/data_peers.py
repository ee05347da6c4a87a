"""Times what Python users read data with, on the cases that bench/data-cases.ts describes, and prints one JSON line.

tonic, expelliarmus and SpikingJelly read recordings and make frames; torchvision, and Pillow with NumPy alone, make
batches of pictures with worker processes. A case that a library does not do is left out; one that fails says why.
"""
import argparse
import importlib.metadata
import json
import os
import time
from pathlib import Path

import numpy as np


def rate(seconds, run):
    """Calls `run`, which gives how much it did, for some seconds after half of them without the clock."""
    warm = time.perf_counter()
    count = run()
    while time.perf_counter() - warm < seconds / 2:
        run()
    done, start = 0, time.perf_counter()
    while True:
        done += run()
        if time.perf_counter() - start >= seconds:
            return {'per_s': done / (time.perf_counter() - start), 'count': count}


def files_of(path):
    path = Path(path)
    return sorted(f for f in path.iterdir() if f.suffix in ('.bin', '.bs2', '.aedat', '.aedat4', '.dat', '.raw')) if path.is_dir() else [path]


def random_events(frames, names, types):
    """Structured events over a sensor, in time order."""
    draw = np.random.default_rng(1)
    count, side = frames['events'], frames['side']
    events = np.empty(count, dtype=list(zip(names, types)))
    for name in names:
        if name == 't':
            events[name] = np.arange(count)
        else:
            events[name] = draw.integers(0, 2 if name == 'p' else side, count)
    return events


class Tonic:
    packages = ['tonic', 'aedat', 'numpy']

    def decoder(self, kind):
        import tonic.io as io
        dtype = np.dtype([('x', int), ('y', int), ('t', int), ('p', int)])
        readers = {'nmnist': lambda f: io.read_mnist_file(str(f), dtype=dtype), 'aedat2': lambda f: io.read_dvs_128(str(f))[1],
                   'aedat3': lambda f: io.read_dvs_ibm(str(f))[1], 'aedat4': lambda f: io.read_aedat4(str(f))}
        return readers.get(kind)

    def frames(self, frames):
        import tonic
        events = random_events(frames, ['x', 'y', 't', 'p'], [int] * 4)
        transform = tonic.transforms.ToFrame((frames['side'], frames['side'], 2), n_event_bins=frames['steps'])
        return lambda: (transform(events), len(events))[1]


class Expelliarmus:
    packages = ['expelliarmus', 'numpy']

    def decoder(self, kind):
        from expelliarmus import Wizard
        if kind not in ('dat', 'evt2', 'evt3'):
            return None
        wizard = Wizard(encoding=kind)
        return lambda f: wizard.read(str(f))


class SpikingJelly:
    packages = ['spikingjelly', 'torch', 'numpy']

    def decoder(self, kind):
        names = {'nmnist': ('n_mnist', 'NMNIST'), 'ncaltech101': ('n_caltech101', 'NCaltech101'), 'cifar10-dvs': ('cifar10_dvs', 'CIFAR10DVS'),
                 'aedat2': ('cifar10_dvs', 'CIFAR10DVS'), 'aedat3': ('dvs128_gesture', 'DVS128Gesture')}
        if kind not in names:
            return None
        module, name = names[kind]
        load = getattr(getattr(__import__(f'spikingjelly.datasets.{module}', fromlist=[name]), name), 'load_origin_data')
        return lambda f: load(str(f))['t']

    def frames(self, frames):
        from spikingjelly.datasets import integrate_events_by_fixed_frames_number as integrate
        found = random_events(frames, ['t', 'x', 'y', 'p'], [int] * 4)
        events = {name: found[name].copy() for name in found.dtype.names}
        side = frames['side']
        return lambda: (integrate(events, 'number', frames['steps'], side, side), len(found))[1]


MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.201)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def cifar_images(root):
    """The training images of the binary version as [N,32,32,3]."""
    root = Path(root)
    root = root if (root / 'data_batch_1.bin').exists() else root / 'cifar-10-batches-bin'
    records = np.concatenate([np.fromfile(root / f'data_batch_{i}.bin', np.uint8).reshape(-1, 3073) for i in range(1, 6)])
    return np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), records[:, 0].astype(int)


class Pictures:
    """A data set for PyTorch's DataLoader over arrays or files."""

    def __init__(self, items, labels, transform):
        self.items, self.labels, self.transform = items, labels, transform

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        from PIL import Image
        item = self.items[i]
        image = Image.open(item).convert('RGB') if isinstance(item, (str, Path)) else Image.fromarray(item)
        return self.transform(image), self.labels[i]


class Torchvision:
    packages = ['torchvision', 'torch', 'pillow']

    def transform(self, case):
        from torchvision import transforms as t
        if case['set'] == 'imagenet':
            changes = [t.RandAugment(2, 5)] if case['augment'] == 'published' else []
            return t.Compose([t.RandomResizedCrop(224), t.RandomHorizontalFlip(), *changes, t.ToTensor(), t.Normalize(*IMAGENET)])
        first = [t.RandomCrop(32, padding=4), t.RandomHorizontalFlip()]
        if case['augment'] == 'published':
            first.append(t.AutoAugment(t.AutoAugmentPolicy.CIFAR10, fill=128))
        last = [cutout] if case['augment'] == 'published' else []
        return t.Compose([*first, t.ToTensor(), *last, t.Normalize(MEAN, STD)])

    def images(self, case, threads, seconds):
        from torch.utils.data import DataLoader
        if case['set'] == 'imagenet':
            files = sorted((Path(case['path']) / 'train').rglob('*.JPEG'))
            items, labels = [str(f) for f in files], [0] * len(files)
        else:
            items, labels = cifar_images(case['path'])
        loader = DataLoader(Pictures(items, labels, self.transform(case)), batch_size=128, shuffle=True, num_workers=threads, drop_last=False,
                            persistent_workers=True)

        def batches():
            while True:
                for images, _ in loader:
                    yield len(images)

        endless = batches()
        for _ in range(2 * threads):
            next(endless)
        return rate(seconds, lambda: next(endless))


def cutout(image):
    """One square of 16 pixels around a random centre is 0."""
    y, x = np.random.randint(32), np.random.randint(32)
    image[:, max(0, y - 8):y + 8, max(0, x - 8):x + 8] = 0
    return image


class Pillow(Torchvision):
    """The same by hand, where there is no torchvision: Pillow and NumPy, PyTorch's loader around them."""
    packages = ['pillow', 'torch', 'numpy']

    def transform(self, case):
        import torch
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (IMAGENET if case['set'] == 'imagenet' else (MEAN, STD)))
        if case['augment'] == 'published':
            return None

        def crop(image):
            if case['set'] != 'imagenet':
                padded = np.pad(np.asarray(image), ((4, 4), (4, 4), (0, 0)))
                top, left = np.random.randint(9), np.random.randint(9)
                return padded[top:top + 32, left:left + 32]
            width, height = image.size
            for _ in range(10):
                area = np.random.uniform(0.08, 1) * width * height
                aspect = np.exp(np.random.uniform(np.log(3 / 4), np.log(4 / 3)))
                w, h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
                if 0 < w <= width and 0 < h <= height:
                    left, top = np.random.randint(width - w + 1), np.random.randint(height - h + 1)
                    return np.asarray(image.resize((224, 224), 2, (left, top, left + w, top + h)))
            return np.asarray(image.resize((224, 224), 2))

        def apply(image):
            pixels = crop(image)
            pixels = pixels[:, ::-1] if np.random.randint(2) else pixels
            return torch.from_numpy((pixels.transpose(2, 0, 1).astype(np.float32) / 255 - mean) / std)

        return apply


LIBRARIES = {'tonic': Tonic, 'expelliarmus': Expelliarmus, 'spikingjelly': SpikingJelly, 'torchvision': Torchvision, 'pillow': Pillow}


def measure(library, case, args):
    """None where the library does not do this."""
    if case['kind'] == 'decode':
        read = library.decoder(case['format']) if hasattr(library, 'decoder') else None
        return read and rate(args.seconds, lambda: sum(len(read(f)) for f in files_of(case['path'])))
    if case['kind'] == 'frames':
        return hasattr(library, 'frames') and rate(args.seconds, library.frames(args.frames))
    if case['kind'] == 'cache' or not hasattr(library, 'images') or library.transform(case) is None:
        return None
    return library.images(case, args.threads, args.seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--library', choices=sorted(LIBRARIES), required=True)
    parser.add_argument('--cases', type=json.loads, required=True)
    parser.add_argument('--frames', type=json.loads, required=True)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--seconds', type=float, default=1)
    args = parser.parse_args()
    os.environ['OMP_NUM_THREADS'] = str(args.threads)
    library, rates = LIBRARIES[args.library](), {}
    for case in args.cases:
        try:
            found = measure(library, case, args)
            if found:
                rates[case['name']] = found
        except Exception as error:  # whatever a library raises is its result
            rates[case['name']] = {'failed': f'{type(error).__name__}: {error}'.splitlines()[0][:200]}
    versions = {}
    for package in library.packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = 'not installed'
    print(json.dumps({'versions': versions, 'rates': rates}))


if __name__ == '__main__':
    main()
