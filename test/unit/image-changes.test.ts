// takeImages() against pictures that Pillow made (test/golden/image-changes), byte for byte, on the CPU and on a CUDA
// device where there is one.
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { cudaBackend, type Device, device, scope, tensor } from '../../lib/core/index.ts';
import { openSafetensors } from '../../lib/core/safetensors.ts';
import { CIFAR10_POLICY, stepChange } from '../../lib/data/augment/auto-augment.ts';
import { RAND_AUGMENT } from '../../lib/data/augment/rand-augment.ts';
import { encodePrograms, type ImageChange, type Resample, takeImages } from '../../lib/ops/index.ts';

interface Case {
  name: string;
  set: string;
  index: number;
}
interface Pictures {
  changes: (Case & { changes: ImageChange[] })[];
  policy: (Case & { pair: number; sign: number; steps: [string, number][]; probabilities: number[] })[];
  random: (Case & { operation: string; level: number; sign: number; resample: Resample })[];
}

const path = fileURLToPath(new URL('../golden/image-changes/image-changes.safetensors', import.meta.url));
const file = openSafetensors(path);
const pictures = JSON.parse(file.metadata.config!) as Pictures;
const pixelsOf = (name: string) => [...(file.read(name) as Uint8Array)];

/** Bytes that stand for themselves. */
const identity = (C: number) => Float32Array.from({ length: C * 256 }, (_, i) => i % 256);

/** A picture after the changes. */
async function changed({ set, index }: Case, changes: ImageChange[], on: Device): Promise<number[]> {
  const name = `set.${set}`;
  const [N, C, H, W] = file.entries.get(name)!.shape as [number, number, number, number];
  const words = encodePrograms([{ index, changes }]);
  const planes = scope(() => {
    const images = tensor(file.read(name) as Uint8Array<ArrayBuffer>, {
      shape: [N, C * H * W],
      dtype: 'u8',
      device: on,
    });
    const table = tensor(identity(C), { shape: [C, 256], device: on });
    const programs = tensor(words, { shape: [1, words.length], device: on });
    return takeImages({ images, table, size: [H, W] }, programs);
  });
  const found = [...(await planes.array())];
  planes.dispose();
  return found;
}

function describeOn(name: string): void {
  for (const item of pictures.changes) {
    it(item.name, async () => {
      expect(await changed(item, item.changes, device(name))).to.deep.equal(pixelsOf(item.name));
    });
  }
  for (const item of pictures.policy) {
    it(item.name, async () => {
      const changes = CIFAR10_POLICY[item.pair]!.map((step) => stepChange(step, item.sign, [32, 32]));
      expect(await changed(item, changes, device(name))).to.deep.equal(pixelsOf(item.name));
    });
  }
  for (const item of pictures.random) {
    it(item.name, async () => {
      const { operation, level, sign, resample } = item;
      const change = RAND_AUGMENT[operation]!({ level, sign, size: [13, 17], fill: [124, 116, 104], resample });
      expect(await changed(item, [change], device(name))).to.deep.equal(pixelsOf(item.name));
    });
  }
}

describe('pictures as Pillow changes them, on the CPU', () => describeOn('cpu'));

describe('pictures as Pillow changes them, on a CUDA device', () => {
  before(function () {
    if (cudaBackend().score === 0) this.skip();
  });
  describeOn('cuda');
});

describe('policies', () => {
  it('AutoAugment has the 25 pairs of the fixture, with their probabilities', () => {
    const pairs = pictures.policy.filter(({ sign }) => sign === 1);
    const stated = pairs.map(({ steps, probabilities }) =>
      steps.map(([name, magnitude], i) => [name, probabilities[i], magnitude]),
    );
    expect(CIFAR10_POLICY).to.deep.equal(stated);
  });

  it('RandAugment has the fifteen operations of the fixture', () => {
    expect(Object.keys(RAND_AUGMENT)).to.deep.equal([...new Set(pictures.random.map(({ operation }) => operation))]);
  });
});
