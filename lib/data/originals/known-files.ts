// Files of data sets as their owners distribute them: sizes, hashes and addresses.
//
// Where the hashes come from: CIFAR: the owner's page (archives), torchvision (files of the Python version),
// torchvision-ruby and rai-project/dldataset (files of the binary version). MNIST, Fashion-MNIST: torchvision (.gz),
// published lists of the unpacked files' MD5, which the unpacked originals have. ImageNet: the page behind its login,
// as torchvision has them. CIFAR10-DVS, DVS128 Gesture, N-MNIST, N-Caltech101, SHD: SpikingJelly and tonic. N-CARS:
// tonic.

/** A file as it is distributed. */
export interface KnownFile {
  /** Its name; with `/`, its place below the layout's folder. */
  name: string;
  bytes?: number;
  md5?: string;
  sha256?: string;
  /** Of a .gz: MD5 and size of what is compressed in it. It may lie there unpacked, too, without '.gz'. */
  content?: { md5: string; bytes: number };
  /** A public address that needs no login and no consent. */
  url?: string;
}

const CIFAR = 'https://www.cs.toronto.edu/~kriz/';
const cifarFile = (name: string, bytes: number, hashes: Pick<KnownFile, 'md5' | 'sha256'>): KnownFile => ({
  ...{ name, bytes, ...hashes },
  ...(name.endsWith('.tar.gz') ? { url: `${CIFAR}${name}` } : {}),
});

export const CIFAR10_BINARY = cifarFile('cifar-10-binary.tar.gz', 170_052_171, {
  md5: 'c32a1d4ab5d03f1284b67883e8d87530',
  sha256: 'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd',
});
export const CIFAR10_PYTHON = cifarFile('cifar-10-python.tar.gz', 170_498_071, {
  md5: 'c58f30108f718f92721af3b95e74349a',
});
export const CIFAR10_BATCHES: KnownFile[] = [
  ['data_batch_1.bin', 'cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5'],
  ['data_batch_2.bin', 'a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed'],
  ['data_batch_3.bin', 'bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67'],
  ['data_batch_4.bin', '014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48'],
  ['data_batch_5.bin', '755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add'],
  ['test_batch.bin', '8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b'],
].map(([name, sha256]) => cifarFile(name!, 30_730_000, { sha256: sha256! }));
export const CIFAR10_PICKLES: KnownFile[] = [
  ['data_batch_1', 'c99cafc152244af753f735de768cd75f'],
  ['data_batch_2', 'd4bba439e000b95fd0a9bffe97cbabec'],
  ['data_batch_3', '54ebc095f3ab1f0389bbae665268c751'],
  ['data_batch_4', '634d18415352ddfa80567beed471001a'],
  ['data_batch_5', '482c414d41f54cd18b22e5b47cb7c3cb'],
  ['test_batch', '40351d587109b95175f43aff81a1287e'],
  ['batches.meta', '5ff9c542aee3614f3951f8cda6e48888'],
].map(([name, md5]) => ({ name: name!, md5: md5! }));

export const CIFAR100_BINARY = cifarFile('cifar-100-binary.tar.gz', 168_513_733, {
  md5: '03b5dce01913d631647c71ecec9e9cb8',
});
export const CIFAR100_PYTHON = cifarFile('cifar-100-python.tar.gz', 169_001_437, {
  md5: 'eb9058c3a382ffc7106e4002c42a8d85',
});
export const CIFAR100_BATCHES = [
  cifarFile('train.bin', 153_700_000, { md5: '6172c7755cfe09b2fe270c85cebc1b15' }),
  cifarFile('test.bin', 30_740_000, { md5: '4499cfba6c016c1be1438163640a0898' }),
];
export const CIFAR100_PICKLES: KnownFile[] = [
  { name: 'train', md5: '16019d7e3df5f24257cddd939b257f8d' },
  { name: 'test', md5: 'f0ef6b0ae62326f3e7ffdfab6717acfc' },
  { name: 'meta', md5: '7973b15100ade9c7d40fb424638fde48' },
];

/** The four idx files: name, then size and MD5 compressed, then size and MD5 of the content. */
type IdxFacts = readonly [name: string, bytes: number, md5: string, contentBytes: number, contentMd5: string];
const MNIST: readonly IdxFacts[] = [
  [
    'train-images-idx3-ubyte.gz',
    9_912_422,
    'f68b3c2dcbeaaa9fbdd348bbdeb94873',
    47_040_016,
    '6bbc9ace898e44ae57da46a324031adb',
  ],
  [
    'train-labels-idx1-ubyte.gz',
    28_881,
    'd53e105ee54ea40749a09fcbcd1e9432',
    60_008,
    'a25bea736e30d166cdddb491f175f624',
  ],
  [
    't10k-images-idx3-ubyte.gz',
    1_648_877,
    '9fb629c4189551a2d022fa330f9573f3',
    7_840_016,
    '2646ac647ad5339dbf082846283269ea',
  ],
  ['t10k-labels-idx1-ubyte.gz', 4_542, 'ec29112dd5afa0611ce80d1b7f02629c', 10_008, '27ae3e4e09519cfbb04c329615203637'],
];
const FASHION: readonly IdxFacts[] = [
  [
    'train-images-idx3-ubyte.gz',
    26_421_880,
    '8d4fb7e6c68d591d4c3dfef9ec88bf0d',
    47_040_016,
    'f4a8712d7a061bf5bd6d2ca38dc4d50a',
  ],
  [
    'train-labels-idx1-ubyte.gz',
    29_515,
    '25c81989df183df01b3e8a0aad5dffbe',
    60_008,
    '9018921c3c673c538a1fc5bad174d6f9',
  ],
  [
    't10k-images-idx3-ubyte.gz',
    4_422_102,
    'bef4ecab320f06d8554ea6380940ec79',
    7_840_016,
    '8181f5470baa50b63fa0f6fddb340f0a',
  ],
  ['t10k-labels-idx1-ubyte.gz', 5_148, 'bb300cfdad3c16e7a12a480ee83cd310', 10_008, '15d484375f8d13e6eb1aabb0c3f46965'],
];
const idxFiles = (facts: readonly IdxFacts[], base: string): KnownFile[] =>
  facts.map(([name, bytes, md5, contentBytes, contentMd5]) => ({
    ...{ name, bytes, md5, content: { md5: contentMd5, bytes: contentBytes }, url: base + name },
  }));
export const MNIST_FILES = idxFiles(MNIST, 'https://ossci-datasets.s3.amazonaws.com/mnist/');
export const FASHION_FILES = idxFiles(
  FASHION,
  'https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/',
);

/** Archives of CIFAR10-DVS: class, number of the file on figshare, MD5. */
export const DVS_CLASSES = [
  ['airplane', 7712788, '0afd5c4bf9ae06af762a77b180354fdd'],
  ['automobile', 7712791, '8438dfeba3bc970c94962d995b1b9bdd'],
  ['bird', 7712794, 'a9c207c91c55b9dc2002dc21c684d785'],
  ['cat', 7712812, '52c63c677c2b15fa5146a8daf4d56687'],
  ['deer', 7712815, 'b6bf21f6c04d21ba4e23fc3e36c8a4a3'],
  ['dog', 7712818, 'f379ebdf6703d16e0a690782e62639c3'],
  ['frog', 7712842, 'cad6ed91214b1c7388a5f6ee56d08803'],
  ['horse', 7712851, 'e7cbbf77bec584ffbf913f00e682782a'],
  ['ship', 7712836, '41c7bd7d6b251be82557c6cce9a7d5c9'],
  ['truck', 7712839, '89f3922fd147d9aeff89e76a2b0b70a7'],
] as const;
export const DVS_ARCHIVES = DVS_CLASSES.map(([label, number, md5]) => ({
  ...{ name: `${label}.zip`, md5, url: `https://ndownloader.figshare.com/files/${number}` },
}));

const MENDELEY = 'https://data.mendeley.com/public-files/datasets';
export const NMNIST_ARCHIVES: KnownFile[] = [
  {
    name: 'Train.zip',
    md5: '20959b8e626244a1b502305a9e6e2031',
    url: `${MENDELEY}/468j46mzdv/files/39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded`,
  },
  {
    name: 'Test.zip',
    md5: '69ca8762b2fe404d9b9bad1103e97832',
    url: `${MENDELEY}/468j46mzdv/files/05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded`,
  },
];
export const NCALTECH_ARCHIVE: KnownFile = {
  name: 'Caltech101.zip',
  md5: '66201824eabb0239c7ab992480b50ba3',
  url: `${MENDELEY}/cy6cvx3ryv/files/36b5c52a-b49d-4853-addb-a836a8883e49/file_downloaded`,
};
export const SHD_ARCHIVES: KnownFile[] = [
  ['shd_train.h5.zip', 'f3252aeb598ac776c1b526422d90eecb'],
  ['shd_test.h5.zip', '1503a5064faa34311c398fb0a1ed0a6f'],
].map(([name, md5]) => ({ name: name!, md5: md5!, url: `https://zenkelab.org/datasets/${name}` }));

export const IMAGENET_ARCHIVES: KnownFile[] = [
  { name: 'ILSVRC2012_img_train.tar', bytes: 147_897_477_120, md5: '1d675b47d978889d74fa0da5fadfb00e' },
  { name: 'ILSVRC2012_img_val.tar', bytes: 6_744_924_160, md5: '29b22e2961454d5413ddabcf34fc5622' },
];

export const GESTURE_ARCHIVE: KnownFile = { name: 'DvsGesture.tar.gz', md5: '8a5c71fb11e24e5ca5b11866ca6c00a1' };
export const NCARS_ARCHIVE: KnownFile = {
  name: 'Prophesee_Dataset_n_cars.zip',
  md5: '553ce464d6e5e617b3c21ce27c19368e',
};
