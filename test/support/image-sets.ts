import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { philox } from '../../lib/core/random.ts';
import { type ImageSet, imageSet } from '../../lib/data/images/image-set.ts';

/** A fresh folder for the tests of one block, removed after them. */
export function testFolder(): { path(name?: string): string } {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'spikeloom-test-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));
  return { path: (name = '') => join(folder, name) };
}

/** Bytes of an idx file. */
export function idxBytes(shape: number[], data: Uint8Array | number[]): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.set([0, 0, 8, shape.length]);
  for (const [i, size] of shape.entries()) header.writeUInt32BE(size, 4 + 4 * i);
  return Buffer.concat([header, Buffer.from(data)]);
}

/** `n` pseudo-random bytes. */
export function noise(n: number, seed = 1): Uint8Array {
  const draws = philox(seed, 99);
  return Uint8Array.from({ length: n }, () => draws.below(256));
}

/** Writes the four files of a tiny MNIST-like set of 3x2 images; images or labels can be replaced by raw bytes. */
export function writeMnistLike(folder: string, { zip = false, files = {} as Record<string, Uint8Array> } = {}): void {
  const contents: Record<string, Uint8Array> = {
    'train-images-idx3-ubyte': idxBytes([5, 3, 2], noise(30)),
    'train-labels-idx1-ubyte': idxBytes([5], [9, 0, 3, 3, 1]),
    't10k-images-idx3-ubyte': idxBytes([2, 3, 2], noise(12, 2)),
    't10k-labels-idx1-ubyte': idxBytes([2], [7, 8]),
    ...files,
  };
  for (const [name, bytes] of Object.entries(contents)) {
    writeFileSync(join(folder, zip ? `${name}.gz` : name), zip ? gzipSync(bytes) : bytes);
  }
}

/** A random image set that calls itself `name`. */
export function randomSet(name = 'cifar10', [count, channels, height, width] = [23, 3, 8, 7]): ImageSet {
  const images = noise(count! * channels! * height! * width!);
  return imageSet({
    name,
    images,
    labels: Array.from({ length: count! }, (_, i) => i % 4),
    count: count!,
    channels: channels!,
    height: height!,
    width: width!,
    classes: ['a', 'b', 'c', 'd'],
    mean: [0.5, 0.4, 0.3].slice(0, channels),
    std: [0.2, 0.25, 0.3].slice(0, channels),
  });
}
