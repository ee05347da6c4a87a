import { constants, gunzipSync } from 'node:zlib';
import { elements } from '../../core/index.ts';
import { needArguments } from '../../core/options.ts';
import { orShipped } from '../../core/shipped.ts';
import { DataError, locate, readDataFile } from '../files.ts';
import { type ImageSet, type ImageSplits, sharedBytes, sharedLabels } from './image-set.ts';

/**
 * The idx format of MNIST and its relatives (http://yann.lecun.com/exdb/mnist): bytes 0 0 type rank, then `rank` sizes
 * as big-endian uint32, then the values, the last dimension running fastest. Only type 8 (unsigned byte) is read.
 */
export interface IdxArray {
  shape: number[];
  data: Uint8Array<SharedArrayBuffer>;
}

const MAX_BYTES = 2 ** 30;
const MAX_RANK = 4;
const TYPE_UBYTE = 8;
/** Bytes of a gzip file that are inflated to see the idx header; at deflate's greatest ratio they give about 4 MiB. */
const PEEK_BYTES = 4096;
/** Deflate cannot expand more than this. */
const MAX_RATIO = 1032;

/**
 * Reads an idx file of unsigned bytes, plain or gzip (told apart by content).
 * @throws DataError with file and offset if it is missing, damaged, cut off, too long, empty or of another format
 */
export function readIdx(file: string, rank?: number): IdxArray {
  return parseIdx(readDataFile(file, MAX_BYTES), file, rank);
}

/**
 * {@link readIdx} for bytes that are in memory already.
 * @param bytes the file's content
 * @param file the name used in messages
 * @param rank the number of dimensions that is required, if any
 */
export function parseIdx(bytes: Uint8Array, file = 'idx', rank?: number): IdxArray {
  const zipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const { shape, start } = parseHeader(zipped ? inflateHead(bytes, file) : bytes, file, rank);
  const total = start + elements(shape);
  if (total > MAX_BYTES) {
    throw new DataError(file, `the header promises [${shape}], but files above ${MAX_BYTES} bytes are refused`, {
      offset: 4,
    });
  }
  const content = zipped ? inflate(bytes, total, file) : bytes;
  if (content.length !== total) {
    const fault = content.length < total ? 'is cut off' : 'has bytes left over';
    throw new DataError(file, `[${shape}] needs ${total} bytes, but there are ${content.length}: the file ${fault}`, {
      offset: Math.min(content.length, total),
    });
  }
  const data = sharedBytes(total - start);
  data.set(content.subarray(start));
  return { shape, data };
}

function parseHeader(bytes: Uint8Array, file: string, wanted?: number): { shape: number[]; start: number } {
  if (bytes.length < 4) {
    throw new DataError(file, `an idx file starts with 4 bytes of magic, but only ${bytes.length} are there`, {
      offset: bytes.length,
    });
  }
  const [zero, zeroToo, type, rank] = bytes as unknown as [number, number, number, number];
  if (zero !== 0 || zeroToo !== 0 || type !== TYPE_UBYTE) {
    const found = [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    throw new DataError(file, `an idx file of bytes starts with 00 00 08, but this one with ${found}`, { offset: 0 });
  }
  if (rank < 1 || rank > MAX_RANK || (wanted !== undefined && rank !== wanted)) {
    const rule = wanted === undefined ? `1 to ${MAX_RANK}` : `${wanted}`;
    throw new DataError(file, `${rule} dimensions are expected here, but the header says ${rank}`, { offset: 3 });
  }
  const start = 4 + 4 * rank;
  if (bytes.length < start) {
    throw new DataError(
      file,
      `the header of ${rank} dimensions has ${start} bytes, but only ${bytes.length} are there`,
      {
        offset: bytes.length,
      },
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const empty = shape.indexOf(0);
  if (empty >= 0) throw new DataError(file, `the header says [${shape}]: nothing is in it`, { offset: 4 + 4 * empty });
  return { shape, start };
}

function inflateHead(bytes: Uint8Array, file: string): Uint8Array {
  try {
    return gunzipSync(bytes.subarray(0, PEEK_BYTES), { finishFlush: constants.Z_SYNC_FLUSH });
  } catch (cause) {
    throw damaged(file, cause);
  }
}

/** Inflates to at most `total` bytes, the size that the header promises. */
function inflate(bytes: Uint8Array, total: number, file: string): Uint8Array {
  if (total > bytes.length * MAX_RATIO) {
    throw new DataError(
      file,
      `the header promises ${total} bytes, more than ${bytes.length} compressed bytes can hold`,
      {
        offset: 4,
      },
    );
  }
  try {
    return gunzipSync(bytes, { maxOutputLength: total });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new DataError(file, `the header promises ${total} bytes, but more are compressed in it`, {
        offset: total,
        cause,
      });
    }
    throw damaged(file, cause);
  }
}

function damaged(file: string, cause: unknown): DataError {
  return new DataError(file, `the gzip data is damaged (${(cause as Error).message}): fetch the file again`, { cause });
}

type Traits = Pick<ImageSet, 'name' | 'classes' | 'mean' | 'std'>;

const MNIST: Traits = { name: 'mnist', classes: [...'0123456789'], mean: [0.1307], std: [0.3081] };
const FASHION: Traits = {
  name: 'fashion-mnist',
  classes: ['T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat', 'Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot'],
  mean: [0.286],
  std: [0.353],
};

const STEMS = ['train-images-idx3', 'train-labels-idx1', 't10k-images-idx3', 't10k-labels-idx1'];

function readHalf(traits: Traits, imageFile: string, labelFile: string): ImageSet {
  const images = readIdx(imageFile, 3);
  const raw = readIdx(labelFile, 1);
  const [count, height, width] = images.shape as [number, number, number];
  if (raw.data.length !== count) {
    throw new DataError(labelFile, `${imageFile} has ${count} images, but here are ${raw.data.length} labels`, {
      offset: 4,
    });
  }
  const bad = raw.data.findIndex((label) => label >= traits.classes.length);
  if (bad >= 0) {
    const rule = `labels of ${traits.name} go from 0 to ${traits.classes.length - 1}`;
    throw new DataError(labelFile, `${rule}, but image ${bad} has ${raw.data[bad]}`, { offset: 8 + bad });
  }
  const labels = sharedLabels(count);
  labels.set(raw.data);
  return { kind: 'images', ...traits, images: images.data, labels, count, channels: 1, height, width };
}

function readMnistLike(traits: Traits, root: string): ImageSplits {
  needArguments(traits.name, 'a text', { root });
  const remedy = `Give the folder with the four idx files, as they come (.gz) or unpacked; datasets/README.md says more.`;
  const spellings = STEMS.map((stem) => [`${stem}-ubyte`, `${stem}-ubyte.gz`]);
  const files = locate(traits.name, orShipped(root), [], spellings, remedy) as [string, string, string, string];
  const train = readHalf(traits, files[0], files[1]);
  const test = readHalf(traits, files[2], files[3]);
  if (train.height !== test.height || train.width !== test.width) {
    const sizes = `${train.height}x${train.width} in ${files[0]}, but ${test.height}x${test.width} here`;
    throw new DataError(files[2], `training and test images must have one size: ${sizes}`, { offset: 8 });
  }
  return { train, test };
}

/** MNIST (LeCun, Cortes, Burges): ten digits, 60,000 + 10,000 images of 28x28, from the four idx files in `root`. */
export function mnist(root: string): ImageSplits {
  return readMnistLike(MNIST, root);
}

/**
 * Fashion-MNIST (Xiao, Rasul, Vollgraf, 2017) or a part of it, from the four idx files in `root`. The part that ships
 * is found from any folder.
 * @example fashionMnist('datasets/fashion-mnist-small')
 */
export function fashionMnist(root: string): ImageSplits {
  return readMnistLike(FASHION, root);
}
