import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { SpikeloomError } from '../../core/errors.ts';
import { isFolder } from '../../core/file-kind.ts';
import { contentOf, needArguments, needOptions } from '../../core/options.ts';
import { DataError } from '../files.ts';
import { sharedLabels } from '../images/image-set.ts';
import type { SampleSet, SampleSplits } from '../sample-set.ts';
import { type PackedFiles, type PlacedFile, packFiles } from './packed-files.ts';

/** Labeled pictures that stay in their files; a batch decodes its own. */
export interface ImageFiles extends SampleSet {
  kind: 'image-files';
  /** Its samples have classes. */
  targets?: undefined;
  files: PackedFiles;
  /** Mean of every channel [3], in units where 255 is 1. */
  mean: number[];
  /** Standard deviation of every channel [3], in units where 255 is 1. */
  std: number[];
  /** Pixels of the short side before the middle is cut out, where nothing is augmented. */
  resize: number;
  /** How pictures are scaled. */
  interpolation: Interpolation;
  /** Least and most area of a random crop, as a share of the picture. */
  scale: readonly [number, number];
  /** Least and most width / height of a random crop. */
  ratio: readonly [number, number];
  /** What a picture that cannot be decoded does: end the epoch with an error, or be replaced by the next one. */
  broken: 'error' | 'skip';
}

export type Interpolation = 'bilinear' | 'bicubic';

export interface ImageFilesOptions {
  /** Short name of the data set (default 'imagenet'). */
  name?: string;
  /** H and W of what the network sees (default 224). */
  size?: number;
  /** Short side before the center crop (default 8/7 of size: 256 for 224). */
  resize?: number;
  /** How pictures are scaled (default 'bilinear'). */
  interpolation?: Interpolation;
  /** Least and most area of a random crop, as a share of the picture (default 0.08 to 1). */
  scale?: readonly [number, number];
  /** Least and most width / height of a random crop (default 3/4 to 4/3). */
  ratio?: readonly [number, number];
  /**
   * What a picture that cannot be decoded does: end the epoch with an error (default), or be replaced by the next one
   * and counted.
   */
  broken?: 'error' | 'skip';
  /** Mean of every channel [3], in units where 255 is 1 (default: ImageNet's). */
  mean?: number[];
  /** Standard deviation of every channel [3], in units where 255 is 1 (default: ImageNet's). */
  std?: number[];
}

/** @internal Their names. */
export const IMAGE_OPTIONS: Record<keyof ImageFilesOptions, true> = {
  ...({ name: true, size: true, resize: true, interpolation: true, scale: true, ratio: true } as const),
  ...({ broken: true, mean: true, std: true } as const),
};

const IMAGENET_MEAN = [0.485, 0.456, 0.406];
const IMAGENET_STD = [0.229, 0.224, 0.225];
const MAX_SIDE = 4096;
const PICTURE = /\.(jpe?g|png|webp|tiff?|gif)$/i;
const HALVES = { train: ['train'], test: ['val', 'valid', 'test'] } as const;

/** Whether a file's name says that it is a picture. */
export function isPicture(name: string): boolean {
  return PICTURE.test(name);
}

/**
 * A set out of the places of its pictures and their labels.
 * @throws SpikeloomError for an option out of its range
 */
export function imageFiles(
  packed: PackedFiles,
  labels: ArrayLike<number>,
  classes: string[],
  options: ImageFilesOptions = {},
): ImageFiles {
  const { name = 'imagenet', size = 224, interpolation = 'bilinear', broken = 'error' } = options;
  const { resize = Math.round((size * 8) / 7), scale = [0.08, 1], ratio = [3 / 4, 4 / 3] } = options;
  const { mean = IMAGENET_MEAN, std = IMAGENET_STD } = options;
  const check = (ok: boolean, rule: string, value: unknown): void => {
    if (!ok) throw new SpikeloomError(`${name}: ${rule}, but is ${contentOf(value)}`);
  };
  const isSide = (value: number) => Number.isInteger(value) && value >= 1 && value <= MAX_SIDE;
  check(isSide(size), `size is an integer from 1 to ${MAX_SIDE}`, size);
  check(isSide(resize) && resize >= size, `resize is an integer from size (${size}) to ${MAX_SIDE}`, resize);
  check(scale[0] > 0 && scale[0] <= scale[1] && scale[1] <= 1, 'scale is [least, most] within (0, 1]', scale);
  check(ratio[0] > 0 && ratio[0] <= ratio[1] && ratio[1] < 1e3, 'ratio is [least, most] above 0', ratio);
  check(['bilinear', 'bicubic'].includes(interpolation), 'interpolation is bilinear or bicubic', interpolation);
  check(['error', 'skip'].includes(broken), 'broken is error or skip', broken);
  check(mean.length === 3 && mean.every(Number.isFinite), 'mean has three finite numbers', mean);
  check(std.length === 3 && std.every((value) => value > 0 && value < 1e6), 'std has three positive numbers', std);
  const shared = sharedLabels(labels.length);
  shared.set(labels);
  const shape = { channels: 3, height: size, width: size };
  const look = { mean, std, resize, interpolation, scale, ratio, broken };
  return { kind: 'image-files', name, files: packed, labels: shared, count: labels.length, ...shape, classes, ...look };
}

/**
 * Pictures in class folders, as ImageNet has them: root/{train,val}/CLASS/*.JPEG (also valid or test for val; png,
 * webp, tiff and gif too; folders below a class count for it). Classes are the folders of train in the order of their
 * names, samples in that order and by name. Only names are read here.
 * @throws DataError where a half, a class or every picture of a class is missing
 * @example
 * const { train } = imageFolder('imagenet', { interpolation: 'bicubic' });
 * const batches = loader(train, { batch: 64, shuffle: true, augment: 'basic', workers: 2 });
 */
export function imageFolder(root: string, options: ImageFilesOptions = {}): SampleSplits<ImageFiles> {
  needArguments('imageFolder()', 'a text', { root });
  needOptions('imageFolder()', options, IMAGE_OPTIONS);
  const classes = foldersOf(halfFolder(root, 'train'));
  if (classes.length === 0) throw new DataError(join(root, 'train'), 'has no class folders');
  const half = (name: keyof typeof HALVES): ImageFiles => {
    const folder = halfFolder(root, name);
    const strange = name === 'test' ? foldersOf(folder).find((entry) => !classes.includes(entry)) : undefined;
    if (strange !== undefined) throw new DataError(join(folder, strange), 'is not a class of train');
    const places = classes.map((entry) => join(folder, entry));
    const files = places.flatMap((place, i) =>
      picturesOf(place).map((picture): PlacedFile => ({ place: i, name: picture })),
    );
    return imageFiles(
      packFiles(places, files),
      Uint32Array.from(files, ({ place }) => place),
      classes,
      options,
    );
  };
  return { train: half('train'), test: half('test') };
}

function halfFolder(root: string, half: keyof typeof HALVES): string {
  const found = HALVES[half].map((name) => join(root, name)).find((folder) => existsSync(folder));
  if (found) return found;
  const wanted = HALVES[half].join('/, ');
  throw new DataError(
    root,
    `has no ${wanted}/: pictures lie in ${HALVES[half][0]}/CLASS/, with train/ and val/ beside each other`,
  );
}

function listed<T>(folder: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    throw new DataError(folder, `cannot be listed (${(cause as Error).message})`, { cause });
  }
}

/** Names of the folders in a folder, links to folders among them, sorted. */
function foldersOf(folder: string): string[] {
  const entries = listed(folder, () => readdirSync(folder, { withFileTypes: true }));
  const folders = entries.filter(
    (entry) => entry.isDirectory() || (entry.isSymbolicLink() && isFolder(join(folder, entry.name))),
  );
  return folders.map(({ name }) => name).sort();
}

function picturesOf(folder: string): string[] {
  const names = listed(folder, () => readdirSync(folder, { recursive: true }) as string[]).filter(isPicture);
  if (names.length > 0) return names.sort();
  throw new DataError(folder, 'a class folder holds pictures (.JPEG, .jpg, .png, ...), but this one has none');
}
