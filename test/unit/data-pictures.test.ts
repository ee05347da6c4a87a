import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import fc from 'fast-check';
import { native } from '../../lib/core/native.ts';
import { philox } from '../../lib/core/random.ts';
import { DataError } from '../../lib/data/files.ts';
import { cropWindow, randomCrop } from '../../lib/data/pictures/crop.ts';
import { openBySharp, openPicture } from '../../lib/data/pictures/decode.ts';
import { imageFiles } from '../../lib/data/pictures/image-files.ts';
import { packFiles } from '../../lib/data/pictures/packed-files.ts';

interface Case {
  file: string;
  box: [number, number, number, number];
  size: [number, number];
  window: [number, number, number, number];
  filter: 'bilinear' | 'bicubic';
  flip: boolean;
  at: number;
}

const GOLDEN = fileURLToPath(new URL('../golden/pictures', import.meta.url));
const golden = (name: string): Buffer => readFileSync(join(GOLDEN, name));
const CASES = JSON.parse(golden('expected.json').toString()) as Case[];

const windowOf = ({ box, size, window, filter, flip }: Omit<Case, 'file' | 'at'>): Float64Array =>
  Float64Array.of(...box, ...size, ...window, flip ? 1 : 0, filter === 'bicubic' ? 1 : 0);

/** The whole picture as it is. */
const whole = (width: number, height: number): Float64Array =>
  windowOf({
    box: [0, 0, width, height],
    size: [width, height],
    window: [0, 0, width, height],
    filter: 'bilinear',
    flip: false,
  });

/** Largest and mean difference of two pictures. */
function difference(a: Uint8Array, b: Uint8Array): [number, number] {
  const each = Array.from(a, (value, i) => Math.abs(value - b[i]!));
  return [Math.max(...each), each.reduce((sum, value) => sum + value, 0) / each.length];
}

/** What is thrown is a DataError; nothing else may be. */
async function dataErrorOf(body: () => Promise<unknown>): Promise<DataError | undefined> {
  try {
    await body();
  } catch (error) {
    expect(error).to.be.instanceOf(DataError);
    return error as DataError;
  }
  return undefined;
}

describe('data: pictures', () => {
  for (const entry of CASES.filter(({ file }) => file !== 'large.jpg')) {
    const { file, box, size, filter, flip } = entry;
    it(`${file} [${box}] to ${size} ${filter}${flip ? ', mirrored' : ''}: within 1 of Pillow`, async function () {
      if (file.endsWith('.jpg') && native().jpegProblem()) return this.skip();
      const bytes = 3 * entry.window[2] * entry.window[3];
      const out = new Uint8Array(bytes + 2).fill(77);
      const picture = await openPicture(file, golden(file));
      expect([picture.width, picture.height]).to.deep.equal([61, 47]);
      picture.render(windowOf(entry), out, 1);
      const [most] = difference(
        out.subarray(1, 1 + bytes),
        golden('expected.bin').subarray(entry.at, entry.at + bytes),
      );
      expect(most).to.be.at.most(1);
      expect([out[0], out.at(-1)]).to.deep.equal([77, 77]);
    });
  }

  it('a file decoded at a quarter of its size looks the same', async () => {
    const entry = CASES.find(({ file }) => file === 'large.jpg')!;
    const out = new Uint8Array(3 * 24 * 20);
    (await openPicture('large.jpg', golden('large.jpg'))).render(windowOf(entry), out, 0);
    const [most, mean] = difference(out, golden('expected.bin').subarray(entry.at, entry.at + out.length));
    expect(mean).to.be.below(1.5);
    expect(most).to.be.below(8);
  });

  it('without libjpeg-turbo sharp decodes JPEG files too, nearly the same', async () => {
    for (const file of ['halved.jpg', 'full.jpg', 'progressive.jpg', 'grey.jpg']) {
      const entry = CASES.find((each) => each.file === file)!;
      const out = new Uint8Array(3 * entry.window[2] * entry.window[3]);
      (await openBySharp(file, golden(file), 'for the test')).render(windowOf(entry), out, 0);
      const [, mean] = difference(out, golden('expected.bin').subarray(entry.at, entry.at + out.length));
      expect(mean).to.be.below(1.5);
    }
  });

  it('refuses what is not a picture, and a window outside of one', async () => {
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.from('hello'),
      Buffer.of(0xff, 0xd8),
      Buffer.of(0xff, 0xd8, 0xff, 0xd9),
    ]) {
      expect((await dataErrorOf(() => openPicture('some.jpg', bytes)))?.message).to.match(
        /^some\.jpg.*cannot be decoded/,
      );
    }
    const picture = await openPicture('a.png', golden('colour.png'));
    const out = new Uint8Array(3 * 64 * 64);
    const changes: [number, number][] = [
      [0, 1],
      [2, 62],
      [3, 0],
      [4, 0],
      [6, 1],
      [8, 9000],
      [9, 48],
    ];
    for (const [i, value] of changes) {
      const window = whole(61, 47);
      window[i] = value;
      expect(() => picture.render(window, out, 0), `number ${i} is ${value}`).to.throw();
    }
    expect(() => picture.render(whole(61, 47), new Uint8Array(3 * 61 * 47 - 1), 0)).to.throw('no room');
    expect(() => picture.render(whole(61, 47), out, -1)).to.throw('no room');
  });

  describe('JPEG by libjpeg-turbo', () => {
    before(function () {
      if (native().jpegProblem()) this.skip();
    });
    const pictures = readdirSync(GOLDEN).filter((name) => name.endsWith('.jpg') && name !== 'large.jpg');
    const render = (bytes: Uint8Array, window: Float64Array): Uint8Array => {
      const out = new Uint8Array(3 * window[8]! * window[9]!);
      native().renderJpeg(bytes, window, out, 0);
      return out;
    };

    it('a box decoded alone has the pixels of the whole picture', () => {
      const boxes = fc.tuple(fc.constantFrom(...pictures), fc.nat(60), fc.nat(46), fc.nat(60), fc.nat(46));
      fc.assert(
        fc.property(boxes, ([name, left, top, w, h]) => {
          const [width, height] = [1 + (w % (61 - left)), 1 + (h % (47 - top))];
          const all = render(golden(name), whole(61, 47));
          const part = render(
            golden(name),
            windowOf({
              box: [left, top, width, height],
              size: [width, height],
              window: [0, 0, width, height],
              filter: 'bilinear',
              flip: false,
            }),
          );
          for (let c = 0; c < 3; c++) {
            for (let y = 0; y < height; y++) {
              const row = all.subarray((c * 47 + top + y) * 61 + left).subarray(0, width);
              expect(part.subarray((c * height + y) * width).subarray(0, width)).to.deep.equal(row);
            }
          }
        }),
        { numRuns: 150 },
      );
    });

    it('cut off anywhere, a file is refused with the byte, or had all that was needed', async () => {
      await fc.assert(
        fc.asyncProperty(fc.constantFrom(...pictures), fc.nat(4000), async (name, n) => {
          const bytes = golden(name).subarray(0, n % golden(name).length);
          const error = await dataErrorOf(async () =>
            (await openPicture('x', bytes)).render(whole(61, 47), new Uint8Array(3 * 61 * 47), 0),
          );
          if (!error) expect(bytes.length).to.be.at.least(golden(name).length - 4);
          else if (bytes.length > 2) expect(error.offset).to.be.within(0, bytes.length);
        }),
        { numRuns: 200 },
      );
    });

    it('with bytes changed, a file gives a picture or a DataError', async () => {
      const changes = fc.array(fc.tuple(fc.nat(5000), fc.nat(255)), { minLength: 1, maxLength: 6 });
      await fc.assert(
        fc.asyncProperty(fc.constantFrom(...pictures), changes, async (name, bytes) => {
          const damaged = Buffer.from(golden(name));
          for (const [at, value] of bytes) damaged[at % damaged.length] = value;
          await dataErrorOf(async () => {
            const picture = await openPicture('x', damaged);
            const box: Case['box'] = [0, 0, picture.width, picture.height];
            picture.render(
              windowOf({ box, size: [24, 20], window: [3, 2, 20, 18], filter: 'bicubic', flip: true }),
              new Uint8Array(1080),
              0,
            );
          });
        }),
        { numRuns: 500 },
      );
    });

    const resized = (name: string, marker: number, height: number, width: number): Buffer => {
      const bytes = Buffer.from(golden(name));
      const at = bytes.indexOf(Buffer.of(0xff, marker));
      bytes.writeUInt16BE(height, at + 5);
      bytes.writeUInt16BE(width, at + 7);
      return bytes;
    };

    it('refuses a picture too large before it makes room for it', async () => {
      const error = await dataErrorOf(() => openPicture('x', resized('halved.jpg', 0xc0, 65_500, 65_500)));
      expect(error?.message).to.include('at most 100 million pixels, but this one 65500 x 65500');
    });

    it('a progressive file of many pixels takes a bounded amount of memory', async () => {
      const before = process.memoryUsage().rss;
      const picture = await openPicture('x', resized('progressive.jpg', 0xc2, 9990, 9990));
      const window = windowOf({
        box: [0, 0, 9990, 9990],
        size: [20, 20],
        window: [0, 0, 20, 20],
        filter: 'bilinear',
        flip: false,
      });
      const error = await dataErrorOf(async () => picture.render(window, new Uint8Array(1200), 0));
      expect(error?.message).to.match(/takes more than 256 MiB of memory/);
      expect(process.memoryUsage().rss - before).to.be.below(2 ** 28);
    });
  });

  describe('random crops', () => {
    const set = (scale: [number, number], ratio: [number, number]) =>
      imageFiles(packFiles(['x'], [{ place: 0, name: 'a' }]), [0], ['a'], { size: 8, scale, ratio });

    it('lie inside the picture, whatever its shape', () => {
      const sides = fc.tuple(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 3000 }), fc.nat(1e6));
      fc.assert(
        fc.property(sides, ([width, height, seed]) => {
          const {
            left,
            top,
            width: w,
            height: h,
          } = randomCrop(width, height, set([0.08, 1], [3 / 4, 4 / 3]), philox(seed, 1));
          for (const value of [left, top, w, h]) expect(Number.isInteger(value)).to.equal(true);
          expect(Math.min(left, top)).to.be.at.least(0);
          expect(Math.min(w, h)).to.be.at.least(1);
          expect(left + w).to.be.at.most(width);
          expect(top + h).to.be.at.most(height);
        }),
      );
    });

    it('have areas and shapes as uniform as asked for', () => {
      const [draws, count] = [philox(7, 1), 4000];
      const boxes = Array.from({ length: count }, () => randomCrop(4000, 4000, set([0.1, 0.5], [0.5, 2]), draws));
      const areas = boxes.map(({ width, height }) => (width * height) / 4000 ** 2).sort((a, b) => a - b);
      const shapes = boxes.map(({ width, height }) => Math.log2(width / height)).sort((a, b) => a - b);
      for (const share of [0.1, 0.25, 0.5, 0.75, 0.9]) {
        expect(areas[share * count]).to.be.closeTo(0.1 + 0.4 * share, 0.015);
        expect(shapes[share * count]).to.be.closeTo(2 * share - 1, 0.08);
      }
      expect(areas[0]).to.be.at.least(0.0999);
      expect(areas.at(-1)).to.be.at.most(0.5001);
    });

    it('are the largest middle where none fits', () => {
      expect(randomCrop(1000, 10, set([1, 1], [3 / 4, 4 / 3]), philox(1, 1))).to.deep.equal({
        left: 493,
        top: 0,
        width: 13,
        height: 10,
      });
      expect(randomCrop(10, 1000, set([1, 1], [3 / 4, 4 / 3]), philox(1, 1))).to.deep.equal({
        left: 0,
        top: 493,
        width: 10,
        height: 13,
      });
    });

    it('become a window of the size of the set', () => {
      const box = { left: 3, top: 4, width: 5, height: 6 };
      expect([...cropWindow(set([1, 1], [1, 1]), box, true)]).to.deep.equal([3, 4, 5, 6, 8, 8, 0, 0, 8, 8, 1, 0]);
    });
  });

  it('normalises through a table, channel by channel', () => {
    const pixels = Uint8Array.from({ length: 2 * 3 * 5 }, (_, i) => (i * 37) % 256);
    const table = Float32Array.from({ length: 3 * 256 }, (_, i) => i / 7);
    const out = new Float32Array(30);
    native().normalisePixels(pixels, 5, table, out);
    const expected = Float32Array.from(pixels, (value, i) => (256 * (Math.floor(i / 5) % 3) + value) / 7);
    expect(out).to.deep.equal(expected);
    expect(() => native().normalisePixels(pixels, 4, table, out)).to.throw('do not fit together');
    expect(() => native().normalisePixels(pixels, 5, table, out.subarray(1))).to.throw('do not fit together');
  });
});
