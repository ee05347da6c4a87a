// Samples as pictures: every pixel where it belongs, in the color it had.
import { expect } from 'chai';
import type { AnySet } from '../../lib/data/batch.ts';
import { contactSheet, type Sheet } from '../../lib/data/contact-sheet.ts';
import { loader } from '../../lib/data/loader.ts';
import { encodePng } from '../../lib/data/png.ts';
import { noise, randomSet } from '../support/image-sets.ts';
import { decodePng } from '../support/png.ts';

const pixel = ({ rgb, width }: Sheet, x: number, y: number) => [
  ...rgb.subarray(3 * (y * width + x), 3 * (y * width + x) + 3),
];

describe('PNG files', () => {
  it('hold the pixels that they were made of', () => {
    for (const [width, height] of [
      [1, 1],
      [3, 2],
      [200, 7],
    ] as const) {
      const rgb = noise(3 * width * height);
      expect(decodePng(encodePng(rgb, width, height))).to.deep.equal({ rgb, width, height });
    }
  });
});

describe('contact sheets', () => {
  it('show images as they were before normalisation, enlarged by whole pixels, each with its class', async () => {
    const set = randomSet('cifar10', [23, 3, 8, 7]);
    const { value: batch } = await loader(set, { batch: 15, workers: 0 }).epoch(0).next();
    const sheet = contactSheet(set, batch);
    const scale = Math.floor(96 / 7);
    const [tile, row] = [7 * scale + 4, 8 * scale + 4 + 18];
    expect(sheet.width).to.equal(4 + 11 * tile); // eleven fit into a row
    expect(sheet.height).to.equal(4 + 2 * row);
    for (const [i, x, y] of [
      [0, 0, 0],
      [10, 6, 7],
      [14, 3, 5],
    ] as const) {
      const [left, top] = [4 + (i % 11) * tile, 4 + Math.floor(i / 11) * row];
      const colour = [0, 1, 2].map((c) => set.images[((i * 3 + c) * 8 + y) * 7 + x]!);
      expect(pixel(sheet, left + x * scale, top + y * scale)).to.deep.equal(colour);
      expect(pixel(sheet, left + (x + 1) * scale - 1, top + (y + 1) * scale - 1)).to.deep.equal(colour);
      expect(sheet.texts[i]!.text).to.equal(set.classes[set.labels[i]!]);
    }
    expect(pixel(sheet, 0, 0)).to.deep.equal([255, 255, 255]);
    expect(sheet.texts).to.have.length(15);
    expect(contactSheet(set, batch, { texts: false })).to.include({ height: 4 + 2 * (row - 18) });
  });

  it('show one channel as grey', async () => {
    const set = randomSet('mnist', [2, 1, 100, 100]);
    const { value: batch } = await loader(set, { batch: 2, workers: 0 }).epoch(0).next();
    const grey = set.images[0]!;
    expect(pixel(contactSheet(set, batch), 4, 4)).to.deep.equal([grey, grey, grey]);
  });

  it('show a recording as a row of frames: brighter red, darker blue, both black, nothing white', () => {
    const [steps, height, width] = [3, 2, 100];
    const labels = Int32Array.of(1, 0);
    const set = {
      kind: 'frames',
      name: 'x',
      count: 2,
      steps,
      channels: 2,
      height,
      width,
      classes: ['no', 'yes'],
      labels,
    };
    const images = new Float32Array(steps * 2 * 2 * height * width);
    const at = (t: number, b: number, c: number, y: number, x: number) =>
      (((t * 2 + b) * 2 + c) * height + y) * width + x;
    images[at(2, 1, 1, 1, 5)] = 4;
    images[at(2, 1, 0, 0, 6)] = 2;
    images[at(0, 0, 0, 0, 0)] = images[at(0, 0, 1, 0, 0)] = 1;
    const sheet = contactSheet(set as unknown as AnySet, { images, labels });
    expect(sheet).to.include({ width: 110 + steps * (width + 4), height: 18 + 2 * (height + 4) });
    const frame = (t: number, b: number, y: number, x: number) =>
      pixel(sheet, 110 + t * (width + 4) + x, 18 + b * (height + 4) + y);
    expect(frame(2, 1, 1, 5)).to.deep.equal([255, 0, 0]);
    expect(frame(2, 1, 0, 6)).to.deep.equal([0, 0, 255]); // the lower of two counts is where 98 % lie
    expect(frame(0, 0, 0, 0)).to.deep.equal([0, 0, 0]);
    expect(frame(1, 0, 1, 50)).to.deep.equal([255, 255, 255]);
    expect(sheet.texts.map(({ text }) => text)).to.deep.equal(['yes', 'no', 't = 0', 't = 1', 't = 2']);
    const silent = contactSheet(set as unknown as AnySet, { images: new Float32Array(images.length), labels });
    expect(pixel(silent, 110, 18)).to.deep.equal([255, 255, 255]);
  });
});
