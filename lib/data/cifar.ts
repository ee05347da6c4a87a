import { DataError, locate, readDataFile } from './files.ts';
import { type ImageSet, type ImageSplits, sharedBytes, sharedLabels } from './image-set.ts';

/**
 * The binary CIFAR formats (Krizhevsky, 2009; https://www.cs.toronto.edu/~kriz/cifar.html): records of fixed length,
 * the labels (CIFAR-10: class; CIFAR-100: coarse class, fine class) and 3072 pixels, planes R, G, B of 32x32.
 */
interface Format {
  traits: Pick<ImageSet, 'name' | 'classes' | 'mean' | 'std'>;
  /** Allowed values of every label byte: CIFAR-10 [10], CIFAR-100 [20, 100]. The last one is the class. */
  labelRanges: number[];
  folder: string;
  train: string[];
  test: string[];
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
  folder: 'cifar-10-batches-bin',
  train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`),
  test: ['test_batch.bin'],
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
  folder: 'cifar-100-binary',
  train: ['train.bin'],
  test: ['test.bin'],
};

function readRecordFile(format: Format, file: string): Buffer {
  const record = format.labelRanges.length + PIXELS;
  const bytes = readDataFile(file, MAX_BYTES);
  if (bytes.length === 0 || bytes.length % record !== 0) {
    const rule = `a ${format.traits.name} file is one or more records of ${record} bytes`;
    throw new DataError(file, `${rule}, but this one has ${bytes.length} bytes: it is cut off or of another format`, {
      offset: bytes.length - (bytes.length % record),
    });
  }
  return bytes;
}

function readHalf(format: Format, files: string[]): ImageSet {
  const labelBytes = format.labelRanges.length;
  const record = labelBytes + PIXELS;
  const contents = files.map((file) => readRecordFile(format, file));
  const count = contents.reduce((sum, bytes) => sum + bytes.length / record, 0);
  const images = sharedBytes(count * PIXELS);
  const labels = sharedLabels(count);
  let at = 0;
  for (const [i, bytes] of contents.entries()) {
    for (let start = 0; start < bytes.length; start += record, at++) {
      for (const [k, range] of format.labelRanges.entries()) {
        const label = bytes[start + k]!;
        if (label >= range) {
          const rule = `label byte ${k} of a ${format.traits.name} record goes from 0 to ${range - 1}`;
          throw new DataError(files[i]!, `${rule}, but is ${label}`, { offset: start + k });
        }
        labels[at] = label;
      }
      images.set(bytes.subarray(start + labelBytes, start + record), at * PIXELS);
    }
  }
  return { kind: 'images', ...format.traits, images, labels, count, channels: CHANNELS, height: SIDE, width: SIDE };
}

function readCifar(format: Format, root: string): ImageSplits {
  const names = [...format.train, ...format.test].map((file) => [file]);
  const remedy = `Unpack the binary version of ${format.traits.name} and give its folder; datasets/README.md says more.`;
  const files = locate(format.traits.name, root, [format.folder], names, remedy);
  const split = format.train.length;
  return { train: readHalf(format, files.slice(0, split)), test: readHalf(format, files.slice(split)) };
}

/** CIFAR-10, 50,000 + 10,000 images in 10 classes, from data_batch_1..5.bin and test_batch.bin in `root`. */
export function cifar10(root: string): ImageSplits {
  return readCifar(CIFAR10, root);
}

/** CIFAR-100, 50,000 + 10,000 images with the 100 fine labels, from train.bin and test.bin in `root`. */
export function cifar100(root: string): ImageSplits {
  return readCifar(CIFAR100, root);
}
