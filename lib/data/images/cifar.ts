import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isFile } from '../../core/file-kind.ts';
import { needArguments } from '../../core/options.ts';
import { openTreeSync } from '../archive.ts';
import { DataError, locate, readDataFile } from '../files.ts';
import { type ImageSet, type ImageSplits, sharedBytes, sharedLabels } from './image-set.ts';
import { pickledArray, unpickle } from './pickle.ts';

/**
 * The binary CIFAR formats (Krizhevsky, 2009; https://www.cs.toronto.edu/~kriz/cifar.html): records of fixed length,
 * the labels (CIFAR-10: class; CIFAR-100: coarse class, fine class) and 3072 pixels, planes R, G, B of 32x32. The
 * Python form has the same in pickled dictionaries: 'data', an array [N,3072], and a list of classes.
 */
interface Format {
  traits: Pick<ImageSet, 'name' | 'classes' | 'mean' | 'std'>;
  /** Allowed values of every label byte: CIFAR-10 [10], CIFAR-100 [20, 100]. The last one is the class. */
  labelRanges: number[];
  binary: Files;
  python: Files & { labels: string };
}

/** The names of one form's files, and of the folder that they unpack into. */
interface Files {
  folder: string;
  /** The distributed archive. */
  archive: string;
  train: string[];
  test: string[];
}

/** A file's name, for messages, and its bytes. */
interface Part {
  file: string;
  read(): Buffer;
}

/** One half of a data set, file by file. */
interface Samples {
  labels: ArrayLike<number>;
  /** [N,3072] */
  pixels(index: number): Uint8Array;
}

const CHANNELS = 3;
const SIDE = 32;
const PIXELS = CHANNELS * SIDE * SIDE;
const MAX_BYTES = 2 ** 30;

const CIFAR10: Format = {
  traits: {
    name: 'cifar10',
    classes: ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'],
    mean: [0.4914, 0.4822, 0.4465],
    std: [0.2023, 0.1994, 0.201],
  },
  labelRanges: [10],
  binary: {
    folder: 'cifar-10-batches-bin',
    archive: 'cifar-10-binary.tar.gz',
    train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`),
    test: ['test_batch.bin'],
  },
  python: {
    folder: 'cifar-10-batches-py',
    archive: 'cifar-10-python.tar.gz',
    train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}`),
    test: ['test_batch'],
    labels: 'labels',
  },
};

const CIFAR100_CLASSES = `
  apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
  caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
  forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
  mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
  possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
  sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
  willow_tree wolf woman worm`;

const CIFAR100: Format = {
  traits: {
    name: 'cifar100',
    classes: CIFAR100_CLASSES.trim().split(/\s+/),
    mean: [0.5071, 0.4867, 0.4408],
    std: [0.2675, 0.2565, 0.2761],
  },
  labelRanges: [20, 100],
  binary: {
    folder: 'cifar-100-binary',
    archive: 'cifar-100-binary.tar.gz',
    train: ['train.bin'],
    test: ['test.bin'],
  },
  python: {
    folder: 'cifar-100-python',
    archive: 'cifar-100-python.tar.gz',
    train: ['train'],
    test: ['test'],
    labels: 'fine_labels',
  },
};

/** The records of a binary file. */
function readRecords(format: Format, { file, read }: Part): Samples {
  const labelBytes = format.labelRanges.length;
  const record = labelBytes + PIXELS;
  const bytes = read();
  if (bytes.length === 0 || bytes.length % record !== 0) {
    const rule = `a ${format.traits.name} file is one or more records of ${record} bytes`;
    throw new DataError(file, `${rule}, but this one has ${bytes.length} bytes: it is cut off or of another format`, {
      offset: bytes.length - (bytes.length % record),
    });
  }
  const labels = new Uint8Array(bytes.length / record);
  for (let i = 0; i < labels.length; i++) {
    for (const [k, range] of format.labelRanges.entries()) {
      const label = bytes[i * record + k]!;
      if (label >= range) {
        const rule = `label byte ${k} of a ${format.traits.name} record goes from 0 to ${range - 1}`;
        throw new DataError(file, `${rule}, but is ${label}`, { offset: i * record + k });
      }
      labels[i] = label;
    }
  }
  return { labels, pixels: (i) => bytes.subarray(i * record + labelBytes, (i + 1) * record) };
}

/** The images of a pickled file. */
function readPickle(format: Format, { file, read }: Part): Samples {
  const content = unpickle(file, read());
  const key = format.python.labels;
  const [labels, data] = content instanceof Map ? [content.get(key), pickledArray(content.get('data'))] : [];
  if (!Array.isArray(labels) || !data || data.shape.length !== 2 || data.shape[1] !== PIXELS) {
    throw new DataError(
      file,
      `a ${format.traits.name} pickle is a dictionary with '${key}', a list, and 'data', bytes [N,${PIXELS}]`,
    );
  }
  if (labels.length !== data.shape[0] || labels.length === 0) {
    throw new DataError(file, `there are ${data.shape[0]} images, but ${labels.length} labels`);
  }
  const classes = format.traits.classes.length;
  const bad = labels.findIndex(
    (label) => !Number.isInteger(label) || (label as number) < 0 || (label as number) >= classes,
  );
  if (bad >= 0)
    throw new DataError(file, `labels go from 0 to ${classes - 1}, but that of image ${bad} is ${String(labels[bad])}`);
  return { labels: labels as number[], pixels: (i) => data.bytes.subarray(i * PIXELS, (i + 1) * PIXELS) };
}

function readHalf(format: Format, parts: Part[], read: (format: Format, part: Part) => Samples): ImageSet {
  const samples = parts.map((part) => read(format, part));
  const count = samples.reduce((sum, { labels }) => sum + labels.length, 0);
  const images = sharedBytes(count * PIXELS);
  const labels = sharedLabels(count);
  let at = 0;
  for (const part of samples) {
    labels.set(part.labels, at);
    for (let i = 0; i < part.labels.length; i++, at++) images.set(part.pixels(i), at * PIXELS);
  }
  return { kind: 'images', ...format.traits, images, labels, count, channels: CHANNELS, height: SIDE, width: SIDE };
}

function readCifar(format: Format, root: string): ImageSplits {
  needArguments(format.traits.name, 'a text', { root });
  const archive = archiveOf(format, root);
  const [files, parts] = archive ? inArchive(format, archive) : inFolder(format, root);
  const read = files === format.python ? readPickle : readRecords;
  const split = files.train.length;
  return { train: readHalf(format, parts.slice(0, split), read), test: readHalf(format, parts.slice(split), read) };
}

/** The archive to read: the file itself, or the distributed one in a folder where nothing is unpacked. */
function archiveOf({ binary, python }: Format, root: string): string | undefined {
  if (isFile(root)) return root;
  const isUnpacked = [binary, python].some((files) =>
    [root, join(root, files.folder)].some((folder) => existsSync(join(folder, files.test[0]!))),
  );
  if (isUnpacked) return undefined;
  return [binary, python].map(({ archive }) => join(root, archive)).find((file) => existsSync(file));
}

function inFolder({ traits, binary, python }: Format, root: string): [Files, Part[]] {
  const names = (files: Files) => [...files.train, ...files.test];
  const hasPickles = [root, join(root, python.folder)].some((folder) =>
    names(python).every((name) => existsSync(join(folder, name))),
  );
  const files = hasPickles ? python : binary;
  const remedy = `Unpack the binary version of ${traits.name} (or ${python.folder}) and give its folder; datasets/README.md says more.`;
  const found = locate(
    traits.name,
    root,
    [files.folder],
    names(files).map((name) => [name]),
    remedy,
  );
  return [files, found.map((file) => ({ file, read: () => readDataFile(file, MAX_BYTES) }))];
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
const partOf = (file: string, bytes: Buffer): Part => ({ file, read: () => bytes });

function inArchive({ traits, binary, python }: Format, archive: string): [Files, Part[]] {
  const tree = openTreeSync(archive, MAX_BYTES);
  try {
    const there = new Set(tree.list().map(({ path }) => path));
    for (const files of [binary, python]) {
      for (const prefix of ['', `${files.folder}/`]) {
        const paths = [...files.train, ...files.test].map((name) => prefix + name);
        if (!paths.every((path) => there.has(path))) continue;
        return [files, paths.map((path) => partOf(`${archive}/${path}`, asBuffer(tree.readSync(path))))];
      }
    }
  } finally {
    tree.close();
  }
  const wanted = `neither ${binary.folder}/ with ${binary.train[0]} ... nor ${python.folder}/ with ${python.train[0]} ...`;
  throw new DataError(archive, `the files of ${traits.name} were not found: it has ${wanted}`);
}

/**
 * CIFAR-10, 50,000 + 10,000 images in 10 classes.
 * @param root the folder of data_batch_1..5.bin and test_batch.bin, or of the Python version's files, or of either's
 * .tar.gz, or that file
 * @throws DataError with file and byte
 * @example cifar10('cifar-10-python.tar.gz').train.count
 */
export function cifar10(root: string): ImageSplits {
  return readCifar(CIFAR10, root);
}

/**
 * CIFAR-100, 50,000 + 10,000 images with the 100 fine labels.
 * @param root the folder of train.bin and test.bin, or of the Python version's files, or of either's .tar.gz, or that
 * file
 * @throws DataError with file and byte
 */
export function cifar100(root: string): ImageSplits {
  return readCifar(CIFAR100, root);
}
