// Which data sets lie in a folder, how complete they are, and whether they are what their owners distribute.
import { type Dirent, statSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { isFile, isFolder } from '../../core/file-kind.ts';
import { openTreeSync } from '../archive.ts';
import { DataError } from '../files.ts';
import { cifar10, cifar100 } from '../images/cifar.ts';
import { fashionMnist, mnist } from '../images/idx.ts';
import type { SampleSplits } from '../sample-set.ts';
import { CATALOGUE, type CatalogueEntry, type FilesLayout, type KnownFile, type TreeLayout } from './catalogue.ts';
import { digestContent, digestFile, isOriginal } from './digest.ts';

/**
 * 'original': has the known hash. 'differs': can be read, and has another one. 'present': no hash is known. 'damaged':
 * cannot be read, or is cut off.
 */
export type FileState = 'original' | 'differs' | 'present' | 'damaged' | 'missing';

export interface FileFinding {
  file: string;
  state: FileState;
  bytes: number;
  /** What is wrong or odd, where something is. */
  note: string | null;
}

/** Files of one ending in a folder of a tree. */
export interface PartFinding {
  folder: string;
  ending: string;
  found: number;
  expected: number;
  bytes: number;
  /** A file without content, where there is one: it was cut off. */
  empty: string | null;
}

/** One form of one data set, found in a folder. */
export interface Finding {
  set: CatalogueEntry;
  label: string;
  folder: string;
  archive: boolean;
  state: 'complete' | 'incomplete' | 'damaged';
  /** Samples, where a reader has counted them. */
  samples: { train: number; test: number } | null;
  bytes: number;
  files: FileFinding[];
  parts: PartFinding[];
}

export interface CheckOptions {
  /** Look for this data set alone. */
  name?: string | undefined;
  /** In place of the data sets that are known. */
  catalogue?: readonly CatalogueEntry[];
  /** Called before a file is read. */
  onFile?: ((file: string) => void) | undefined;
}

/** Readers that verify more than hashes: every header, size and label. */
const READERS: Readonly<Record<string, (root: string) => SampleSplits>> = {
  'cifar10 binary version': cifar10,
  'cifar10 Python version': cifar10,
  'cifar100 binary version': cifar100,
  'cifar100 Python version': cifar100,
  'mnist idx files': mnist,
  'fashion-mnist idx files': fashionMnist,
};

/** More folders than this side by side are classes or recordings, not data sets. */
const MAX_SUBFOLDERS = 200;

/** The folder itself, and those in it. */
async function placesIn(root: string): Promise<string[]> {
  const entries = await readdir(root, { withFileTypes: true });
  const inside = entries
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map(({ name }) => join(root, name));
  return [root, ...(inside.length > MAX_SUBFOLDERS ? [] : inside.filter(isFolder))];
}

/**
 * Which of these places may be a layout's folder.
 * @param anyName whether the folder may have another name than the layout's or the set's
 */
function candidates(places: readonly string[], set: string, folder: string, anyName: boolean): string[] {
  if (folder === '' || anyName)
    return [...new Set([...places, ...places.map((place) => join(place, folder))])].filter(isFolder);
  const named = places.filter((place) => [folder, set].includes(basename(resolve(place))));
  return [...new Set([...named, ...places.map((place) => join(place, folder))])].filter(isFolder);
}

/** The place of a known file in a folder, as it is or unpacked; undefined where it is in neither form. */
function placeOf(folder: string, { name, content }: KnownFile): string | undefined {
  const spellings = content ? [name, name.replace(/\.gz$/, '')] : [name];
  return spellings.map((spelling) => join(folder, spelling)).find(isFile);
}

async function verify(file: string, known: KnownFile): Promise<FileFinding> {
  const bytes = statSync(file).size;
  const finding = (state: FileState, note: string | null = null): FileFinding => ({ file, state, bytes, note });
  try {
    const packed = file.endsWith('.gz');
    const unpacked = known.content !== undefined && !packed;
    const rule = unpacked ? known.content! : known;
    const original = isOriginal(rule, await digestFile(file));
    if (original) return finding('original');
    const content = packed ? await digestContent(file) : undefined; // verifies the checksum in it, too
    if (known.content && content?.md5 === known.content.md5) return finding('original', 'repacked, the same content');
    if (file.endsWith('.zip')) openTreeSync(file).close(); // refuses what is not a zip, or has lost its end
    if (original === undefined) return finding('present', 'no hash of it is known');
    if (rule.bytes !== undefined && bytes < rule.bytes && known.content === undefined) {
      return finding('damaged', `has ${bytes} of ${rule.bytes} bytes: it is cut off`);
    }
    return finding('differs');
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return finding('damaged', error.message.replace(`${file}: `, ''));
  }
}

/** Reads the samples; a damaged file is marked as such. */
function readSamples(key: string, folder: string, files: FileFinding[]): Finding['samples'] {
  const reader = READERS[key];
  if (!reader) return null;
  try {
    const { train, test } = reader(folder);
    return { train: train.count, test: test.count };
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    const damaged = files.find(({ file }) => file === error.file) ?? files[0]!;
    Object.assign(damaged, {
      state: 'damaged',
      note: error.message.replace(`${error.file}: `, '').replace(error.file, ''),
    });
    return null;
  }
}

async function checkFiles(
  set: CatalogueEntry,
  layout: FilesLayout,
  folder: string,
  onFile: CheckOptions['onFile'],
): Promise<Finding | undefined> {
  const places = layout.files.map((known) => placeOf(folder, known));
  const there = places.filter((place) => place !== undefined).length;
  const named = layout.folder === '' || basename(resolve(folder)) === layout.folder;
  // 'train' and 'test' are names of many files
  if (there === 0 || (!named && 2 * there < places.length)) return undefined;
  const files: FileFinding[] = [];
  for (const [i, known] of layout.files.entries()) {
    const file = places[i];
    if (file !== undefined) onFile?.(file);
    files.push(
      file === undefined
        ? { file: join(folder, known.name), state: 'missing', bytes: 0, note: null }
        : await verify(file, known),
    );
  }
  const has = (wanted: FileState) => files.some(({ state }) => state === wanted);
  const readable = !has('missing') && !has('damaged');
  const samples = readable ? readSamples(`${set.name} ${layout.label}`, folder, files) : null;
  return {
    ...{ set, label: layout.label, folder, archive: layout.archive ?? false, samples, files, parts: [] },
    state: has('damaged') ? 'damaged' : has('missing') ? 'incomplete' : 'complete',
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** Class folders lie at most this deep. */
const MAX_DEPTH = 6;

async function walk(folder: string, visit: (file: string, bytes: number) => void, depth = 0): Promise<void> {
  let entries: Dirent[];
  try {
    entries = await readdir(folder, { withFileTypes: true });
  } catch {
    return; // not there, or not ours to read: nothing was found in it
  }
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && depth < MAX_DEPTH) await walk(path, visit, depth + 1);
    else if (entry.isFile()) visit(path, (await stat(path)).size);
  }
}

async function checkTree(set: CatalogueEntry, layout: TreeLayout, folder: string): Promise<Finding | undefined> {
  const parts: PartFinding[] = [];
  for (const { path, ending, count } of layout.parts) {
    const part: PartFinding = { folder: join(folder, path), ending, found: 0, expected: count, bytes: 0, empty: null };
    await walk(part.folder, (file, bytes) => {
      if (!file.endsWith(ending)) return;
      part.found++;
      part.bytes += bytes;
      if (bytes === 0) part.empty ??= file;
    });
    parts.push(part);
  }
  if (parts.every(({ found }) => found === 0)) return undefined;
  const whole = parts.every(({ found, expected }) => found >= expected);
  return {
    ...{ set, label: layout.label, folder, archive: false, samples: null, files: [], parts },
    state: parts.some(({ empty }) => empty !== null) ? 'damaged' : whole ? 'complete' : 'incomplete',
    bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/**
 * How well files fit a data set that shares its file names with another one: by hashes, then by the name of their
 * folder.
 */
function fit({ set, files, folder }: Finding): number {
  const originals = files.filter(({ state }) => state === 'original').length;
  return 1000 * originals + (resolve(folder).includes(set.name) ? set.name.length : 0);
}

/** Of several findings over the same files (MNIST and Fashion-MNIST share names) keeps the one that fits best. */
function withoutTwins(findings: readonly Finding[]): Finding[] {
  const best = new Map<string, Finding>();
  for (const finding of findings) {
    const there = finding.files.filter(({ state }) => state !== 'missing').map(({ file }) => resolve(file));
    const key = there.length > 0 ? there.join('\n') : `${finding.set.name} ${finding.label} ${finding.bytes}`;
    const other = best.get(key);
    if (!other || fit(finding) > fit(other)) best.set(key, finding);
  }
  return [...best.values()];
}

/**
 * Looks for data sets in a folder and in the folders in it, and verifies what it finds.
 * @throws DataError where `root` is not a folder
 * @example for (const { set, state } of await checkData('datasets')) console.log(set.title, state);
 */
export async function checkData(root: string, options: CheckOptions = {}): Promise<Finding[]> {
  const { name, catalogue = CATALOGUE, onFile } = options;
  if (!isFolder(root)) throw new DataError(root, 'there is no such folder');
  const places = await placesIn(root);
  const findings: Finding[] = [];
  for (const set of catalogue.filter((entry) => name === undefined || entry.name === name)) {
    for (const layout of set.layouts) {
      for (const folder of candidates(places, set.name, layout.folder, layout.kind === 'files')) {
        const found = await (layout.kind === 'files'
          ? checkFiles(set, layout, folder, onFile)
          : checkTree(set, layout, folder));
        if (found) findings.push(found);
      }
    }
  }
  return withoutTwins(findings);
}
