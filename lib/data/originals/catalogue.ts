// The data sets that there are readers for, as their owners distribute them: page, license, files, and the forms in
// which they may lie in a folder. Nothing here downloads anything; see check.ts and fetch.ts.
import {
  CIFAR10_BATCHES,
  CIFAR10_BINARY,
  CIFAR10_PICKLES,
  CIFAR10_PYTHON,
  CIFAR100_BATCHES,
  CIFAR100_BINARY,
  CIFAR100_PICKLES,
  CIFAR100_PYTHON,
  DVS_ARCHIVES,
  DVS_CLASSES,
  FASHION_FILES,
  GESTURE_ARCHIVE,
  IMAGENET_ARCHIVES,
  type KnownFile,
  MNIST_FILES,
  NCALTECH_ARCHIVE,
  NCARS_ARCHIVE,
  NMNIST_ARCHIVES,
  SHD_ARCHIVES,
} from './known-files.ts';

export type { KnownFile } from './known-files.ts';

/** A form in which a data set may lie in a folder: fixed files. */
export interface FilesLayout {
  kind: 'files';
  /** What this form is called in a report. */
  label: string;
  /** The folder that the archive unpacks to; '' for files that lie in the data folder itself. */
  folder: string;
  files: KnownFile[];
  /** Whether these are archives that have yet to be unpacked, or are read as they are. */
  archive?: boolean;
}

/** A form in which a data set may lie in a folder: many files in folders. */
export interface TreeLayout {
  kind: 'tree';
  label: string;
  folder: string;
  /** How many files with this ending lie below which folder of the layout's ('' for all of it) when it is complete. */
  parts: { path: string; ending: string; count: number }[];
}

export type Layout = FilesLayout | TreeLayout;

export interface CatalogueEntry {
  /** As recipes call it (data.name). */
  name: string;
  title: string;
  /** Where its owners present it. */
  page: string;
  licence: string;
  /** Samples for training and for tests. */
  samples: { train: number; test: number } | { all: number };
  layouts: Layout[];
  /** The files that `data fetch` brings. */
  fetch: KnownFile[];
  /** What to do with them, or how to get them where there is no public address. */
  place: string;
}

const files = (label: string, folder: string, list: KnownFile[]): FilesLayout => ({
  ...{ kind: 'files', label, folder, files: list },
});
const archives = (list: KnownFile[]): FilesLayout => ({ ...files('as distributed', '', list), archive: true });

export const CATALOGUE: readonly CatalogueEntry[] = [
  {
    name: 'cifar10',
    title: 'CIFAR-10',
    page: 'https://www.cs.toronto.edu/~kriz/cifar.html',
    licence: 'none stated by its owners',
    samples: { train: 50_000, test: 10_000 },
    layouts: [
      files('binary version', 'cifar-10-batches-bin', CIFAR10_BATCHES),
      files('Python version', 'cifar-10-batches-py', CIFAR10_PICKLES),
      archives([CIFAR10_BINARY]),
      archives([CIFAR10_PYTHON]),
    ],
    fetch: [CIFAR10_BINARY],
    place: 'unpack the binary version: tar xzf cifar-10-binary.tar.gz',
  },
  {
    name: 'cifar100',
    title: 'CIFAR-100',
    page: 'https://www.cs.toronto.edu/~kriz/cifar.html',
    licence: 'none stated by its owners',
    samples: { train: 50_000, test: 10_000 },
    layouts: [
      files('binary version', 'cifar-100-binary', CIFAR100_BATCHES),
      files('Python version', 'cifar-100-python', CIFAR100_PICKLES),
      archives([CIFAR100_BINARY]),
      archives([CIFAR100_PYTHON]),
    ],
    fetch: [CIFAR100_BINARY],
    place: 'unpack the binary version: tar xzf cifar-100-binary.tar.gz',
  },
  {
    name: 'mnist',
    title: 'MNIST',
    page: 'http://yann.lecun.com/exdb/mnist/',
    licence: 'see its page',
    samples: { train: 60_000, test: 10_000 },
    layouts: [files('idx files', '', MNIST_FILES)],
    fetch: MNIST_FILES,
    place: 'keep the four files in one folder, packed or unpacked',
  },
  {
    name: 'fashion-mnist',
    title: 'Fashion-MNIST',
    page: 'https://github.com/zalandoresearch/fashion-mnist',
    licence: 'MIT',
    samples: { train: 60_000, test: 10_000 },
    layouts: [files('idx files', '', FASHION_FILES)],
    fetch: FASHION_FILES,
    place: 'keep the four files in one folder, packed or unpacked',
  },
  {
    name: 'imagenet',
    title: 'ImageNet (ILSVRC 2012)',
    page: 'https://image-net.org/download-images',
    licence: 'for research, after consent to the terms on its page',
    samples: { train: 1_281_167, test: 50_000 },
    layouts: [
      {
        ...{ kind: 'tree', label: 'class folders', folder: '' },
        parts: [
          { path: 'train', ending: '.JPEG', count: 1_281_167 },
          { path: 'val', ending: '.JPEG', count: 50_000 },
        ],
      },
      archives(IMAGENET_ARCHIVES),
    ],
    fetch: IMAGENET_ARCHIVES,
    place: 'log in there, accept the terms, and unpack the two archives to train/WNID/*.JPEG and val/WNID/*.JPEG',
  },
  {
    name: 'cifar10-dvs',
    title: 'CIFAR10-DVS',
    page: 'https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671',
    licence: 'see its page',
    samples: { all: 10_000 },
    layouts: [
      {
        ...{ kind: 'tree', label: 'class folders', folder: '' },
        parts: DVS_CLASSES.map(([path]) => ({ path, ending: '.aedat', count: 1000 })),
      },
      archives(DVS_ARCHIVES),
    ],
    fetch: DVS_ARCHIVES,
    place: 'keep the ten archives in one folder, or unpack them there to CLASS/*.aedat',
  },
  {
    name: 'dvs128-gesture',
    title: 'DVS128 Gesture',
    page: 'https://research.ibm.com/interactive/dvsgesture/',
    licence: 'CC BY 4.0',
    samples: { train: 1176, test: 288 },
    layouts: [
      {
        ...{ kind: 'tree', label: 'trials', folder: 'DvsGesture' },
        parts: [
          { path: '', ending: '.aedat', count: 122 },
          { path: '', ending: '_labels.csv', count: 122 },
          { path: '', ending: 'trials_to_train.txt', count: 1 },
          { path: '', ending: 'trials_to_test.txt', count: 1 },
        ],
      },
      archives([GESTURE_ARCHIVE]),
    ],
    fetch: [GESTURE_ARCHIVE],
    place: 'get DvsGesture.tar.gz there by hand (a shared folder without direct addresses), and keep or unpack it',
  },
  {
    name: 'n-mnist',
    title: 'N-MNIST',
    page: 'https://www.garrickorchard.com/datasets/n-mnist',
    licence: 'CC BY-SA 4.0',
    samples: { train: 60_000, test: 10_000 },
    layouts: [
      {
        ...{ kind: 'tree', label: 'class folders', folder: '' },
        parts: [
          { path: 'Train', ending: '.bin', count: 60_000 },
          { path: 'Test', ending: '.bin', count: 10_000 },
        ],
      },
      {
        ...{ kind: 'tree', label: "subset of SLAYER's example", folder: 'nmnist-bs2' },
        parts: [
          { path: '', ending: '.bs2', count: 1100 },
          { path: '', ending: 'train1K.txt', count: 1 },
          { path: '', ending: 'test100.txt', count: 1 },
        ],
      },
      archives(NMNIST_ARCHIVES),
    ],
    fetch: NMNIST_ARCHIVES,
    place: 'keep Train.zip and Test.zip in one folder, or unpack them there',
  },
  {
    name: 'n-caltech101',
    title: 'N-Caltech101',
    page: 'https://www.garrickorchard.com/datasets/n-caltech101',
    licence: 'see its page',
    samples: { all: 8709 },
    layouts: [
      {
        ...{ kind: 'tree', label: 'class folders', folder: 'Caltech101' },
        parts: [{ path: '', ending: '.bin', count: 8709 }],
      },
      archives([NCALTECH_ARCHIVE]),
    ],
    fetch: [NCALTECH_ARCHIVE],
    place: 'keep Caltech101.zip, or unpack it to Caltech101/CLASS/*.bin',
  },
  {
    name: 'n-cars',
    title: 'N-CARS',
    page: 'https://www.prophesee.ai/dataset-n-cars/',
    licence: 'see its page',
    samples: { train: 15_422, test: 8607 },
    layouts: [
      {
        ...{ kind: 'tree', label: 'class folders', folder: '' },
        parts: [
          { path: 'n-cars_train', ending: '.dat', count: 15_422 },
          { path: 'n-cars_test', ending: '.dat', count: 8607 },
        ],
      },
      archives([NCARS_ARCHIVE]),
    ],
    fetch: [NCARS_ARCHIVE],
    place: 'ask for Prophesee_Dataset_n_cars.zip there; keep it, or unpack it and the two archives in it',
  },
  {
    name: 'shd',
    title: 'Spiking Heidelberg Digits',
    page: 'https://zenkelab.org/resources/spiking-heidelberg-datasets-shd/',
    licence: 'CC BY 4.0',
    samples: { train: 8156, test: 2264 },
    layouts: [files('HDF5 files', '', [{ name: 'shd_train.h5' }, { name: 'shd_test.h5' }]), archives(SHD_ARCHIVES)],
    fetch: SHD_ARCHIVES,
    place: 'keep shd_train.h5.zip and shd_test.h5.zip in one folder, or unpack them there',
  },
];

/** The entry of a data set. */
export function catalogueEntry(name: string): CatalogueEntry | undefined {
  return CATALOGUE.find((entry) => entry.name === name);
}
