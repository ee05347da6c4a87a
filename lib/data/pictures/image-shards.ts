import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isFolder } from '../../core/file-kind.ts';
import { needArguments, needOptions } from '../../core/options.ts';
import { fileSource } from '../archive/source.ts';
import { indexTar, type TarEntry } from '../archive/tar.ts';
import { DataError } from '../files.ts';
import type { SampleSplits } from '../sample-set.ts';
import { IMAGE_OPTIONS, type ImageFiles, type ImageFilesOptions, imageFiles, isPicture } from './image-files.ts';
import { type PlacedFile, packFiles } from './packed-files.ts';

export interface ImageShardsOptions extends ImageFilesOptions {
  /** Names of the classes; default: their numbers, up to the largest in use. */
  classes?: string[];
}

/** Every picture of a half and its class. */
interface Half {
  places: string[];
  files: PlacedFile[];
  labels: number[];
}

const MAX_CLASSES = 2 ** 20;
/** A class in text, or a small JSON object with it. */
const MAX_LABEL_BYTES = 2 ** 16;

/**
 * Pictures in tar archives in the order of WebDataset: the entries KEY.jpg and KEY.cls (a number) or KEY.json
 * (`{ "label": number }`) of one sample lie side by side. The archives of a half are root/{train,val}/*.tar, or
 * root/*train*.tar and root/*val*.tar, in the order of their names. They are indexed once (headers and classes, no
 * pictures) and read in place.
 * @throws DataError with archive and byte, where a sample lacks its picture or class
 * @example imageShards('imagenet-shards').train.count
 */
export function imageShards(root: string, options: ImageShardsOptions = {}): SampleSplits<ImageFiles> {
  needArguments('imageShards()', 'a text', { root });
  needOptions('imageShards()', options, { ...IMAGE_OPTIONS, classes: true });
  const halves = {
    train: readHalf(shardsOf(root, ['train'])),
    test: readHalf(shardsOf(root, ['val', 'valid', 'test'])),
  };
  const most = Math.max(...Object.values(halves).map(({ labels }) => labels.reduce((a, b) => Math.max(a, b), 0)));
  const classes = options.classes ?? Array.from({ length: most + 1 }, (_, i) => String(i));
  if (most >= classes.length)
    throw new DataError(root, `has class ${most}, but only ${classes.length} classes are named`);
  const set = ({ places, files, labels }: Half) => imageFiles(packFiles(places, files), labels, classes, options);
  return { train: set(halves.train), test: set(halves.test) };
}

function shardsOf(root: string, names: string[]): string[] {
  const tarsIn = (folder: string) => {
    const files = isFolder(folder) ? readdirSync(folder).filter((file) => file.endsWith('.tar')) : [];
    return files.sort().map((file) => join(folder, file));
  };
  for (const name of names) {
    const inside = tarsIn(join(root, name));
    const beside = tarsIn(root).filter((file) => new RegExp(`(^|[^a-z])${name}([^a-z]|$)`, 'i').test(basename(file)));
    if (inside.length > 0 || beside.length > 0) return inside.length > 0 ? inside : beside;
  }
  throw new DataError(root, `has neither ${names[0]}/*.tar nor *${names[0]}*.tar`);
}

function readHalf(places: string[]): Half {
  const half: Half = { places, files: [], labels: [] };
  for (const [place, file] of places.entries()) readShard(half, place, file);
  return half;
}

/** Adds the samples of one archive. */
function readShard(half: Half, place: number, file: string): void {
  const source = fileSource(file);
  try {
    const samples = groups(indexTar(source).values());
    for (const { key, entries } of samples) {
      const picture = entries.find(({ path }) => isPicture(path));
      const label = entries.find(({ path }) => /\.(cls|json)$/.test(path));
      if (!picture || !label) {
        const rule = `the sample '${key}' has no ${picture ? 'class (.cls or .json)' : 'picture (.jpg, .png, ...)'} beside it`;
        throw new DataError(file, rule, { offset: entries[0]!.offset });
      }
      if (label.size > MAX_LABEL_BYTES)
        throw new DataError(file, `'${label.path}' is too large for a class`, { offset: label.offset });
      half.files.push({ place, name: picture.path, span: [picture.offset, picture.size] });
      half.labels.push(classOf(file, label, source.readSync(label.offset, label.size).toString()));
    }
  } finally {
    source.close();
  }
}

/** Entries side by side whose paths agree up to the first point of the last part. */
function groups(entries: TarEntry[]): { key: string; entries: TarEntry[] }[] {
  const all: { key: string; entries: TarEntry[] }[] = [];
  for (const entry of entries) {
    const key = /^(?:.*\/)?[^/.]*/.exec(entry.path)![0];
    if (all.at(-1)?.key === key) all.at(-1)!.entries.push(entry);
    else all.push({ key, entries: [entry] });
  }
  return all;
}

function classOf(file: string, { path, offset }: TarEntry, text: string): number {
  const value = path.endsWith('.cls') ? text.trim() : labelIn(text);
  if (/^\d{1,7}$/.test(value) && Number(value) < MAX_CLASSES) return Number(value);
  throw new DataError(file, `the class in '${path}' is a number below ${MAX_CLASSES}, but is '${value.slice(0, 40)}'`, {
    offset,
  });
}

function labelIn(json: string): string {
  try {
    const content = JSON.parse(json);
    return String(typeof content === 'object' && content !== null ? (content.label ?? content.cls) : content);
  } catch {
    return json;
  }
}
