// The original files of a data set, wherever they lie: in a folder, or in the archives as they are distributed.
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isFolder } from '../../core/file-kind.ts';
import { type FileTree, openTree, openTreeSync } from '../archive.ts';
import { DataError } from '../files.ts';
import { type Origin, Origins } from './origins.ts';

/** An original file. */
export interface SourceFile {
  /** What it is called in splits, the same however the files lie. */
  name: string;
  /** For messages. */
  file: string;
  read(): Promise<Uint8Array>;
}

/** A recording is at most this large. */
const MOST_BYTES = 2 ** 31 - 1;

type NameOf = (path: string) => string | undefined;

const ARCHIVE = /([^/]+)\.(zip|tar|tar\.gz|tgz)$/;

/** Where the original files of a data set lie, before any of them is read. */
export class Sources {
  /** The files, or the archives that they lie in. */
  readonly origins: Origins;
  readonly #root: string;
  readonly #places: string[];
  readonly #nameOf: NameOf;
  readonly #remedy: string;

  /**
   * Looks through a folder, and for `archives` in it; where neither is there, every archive in it may hold them, and
   * `root` may be one, too.
   * @param nameOf what the file at a path is called in splits; undefined for a file that is none of the set's
   * @throws DataError where there is nothing
   */
  constructor(root: string, archives: readonly string[], nameOf: NameOf, remedy: string) {
    const unpacked = isFolder(root);
    const known = unpacked ? archives.map((name) => join(root, name)).filter((file) => existsSync(file)) : [root];
    const files: Origin[] = [];
    for (const { path } of unpacked ? openTreeSync(root).list() : []) {
      const name = nameOf(path);
      if (name !== undefined) files.push({ name, file: join(root, path) });
    }
    const found = files.length + known.length > 0 ? known : archivesIn(root);
    const packed = found.map((file) => ({ name: basename(file), file }));
    this.origins = new Origins([...files, ...packed]);
    if (files.length + packed.length === 0) {
      throw new DataError(root, `the files of the set are not there: ${remedy}`);
    }
    this.#root = root;
    this.#places = unpacked && files.length > 0 ? [root, ...found] : found;
    this.#nameOf = nameOf;
    this.#remedy = remedy;
  }

  /**
   * Opens folder and archives, and archives in those archives.
   * @throws DataError where they are damaged, or have none of the set's files
   */
  async open(): Promise<OpenSources> {
    const trees: Tree[] = [];
    const known = new Set<string>();
    const opened = new OpenSources(trees);
    try {
      const add = (tree: FileTree, nameOf: NameOf): void => {
        const names = new Map<string, string>();
        trees.push({ tree, names });
        for (const { path } of tree.list()) {
          const name = nameOf(path);
          if (name === undefined || known.has(name)) continue;
          names.set(path, name);
          known.add(name);
        }
      };
      const seen = new Set(this.#places.map((place) => basename(place)));
      let deeper: string | undefined;
      for (const place of this.#places) {
        const tree = await openTree(place);
        add(tree, this.#nameOf);
        if (tree.kind === 'folder') continue;
        for (const { path } of tree.list()) {
          const [file, name] = ARCHIVE.exec(path) ?? [];
          if (file === undefined || seen.has(file)) continue;
          const inner = await tree.open(path);
          // As if it had been unpacked in place, or into a folder of its name.
          add(inner, (inside) => this.#nameOf(inside) ?? this.#nameOf(`${name}/${inside}`));
          deeper ??= inner.list().find((entry) => ARCHIVE.test(entry.path)) && inner.file;
        }
      }
      if (known.size > 0) return opened;
      if (deeper !== undefined) {
        throw new DataError(
          deeper,
          'holds archives, but is in one itself: unpack the outer one, one level is looked into',
        );
      }
      throw new DataError(this.#root, `the files of the set are not there: ${this.#remedy}`);
    } catch (error) {
      opened.close();
      throw error;
    }
  }
}

/** The archives that lie in a folder itself, by name. */
function archivesIn(folder: string): string[] {
  const files = readdirSync(folder, { withFileTypes: true }).filter(
    (entry) => entry.isFile() && ARCHIVE.test(entry.name),
  );
  return files.map(({ name }) => join(folder, name)).sort();
}

interface Tree {
  tree: FileTree;
  /** Names of the set's files in this tree, by path. What lies in two trees is taken from the first. */
  names: Map<string, string>;
}

/** The original files of a data set, for reading; to be closed. */
export class OpenSources {
  readonly #trees: readonly Tree[];

  constructor(trees: readonly Tree[]) {
    this.#trees = trees;
  }

  get names(): string[] {
    return this.#trees.flatMap(({ names }) => [...names.values()]);
  }

  /** The files in their trees' order; a file is read before the next one is asked for. */
  async *files(wanted: (name: string) => boolean = () => true): AsyncGenerator<SourceFile, void, undefined> {
    for (const { tree, names } of this.#trees) {
      if (![...names.values()].some(wanted)) continue;
      for await (const entry of tree.entries()) {
        const name = names.get(entry.path);
        if (name === undefined || !wanted(name)) continue;
        yield { name, file: join(tree.file, entry.path), read: () => entry.read(MOST_BYTES) };
      }
    }
  }

  close(): void {
    for (const { tree } of this.#trees.toReversed()) tree.close();
  }
}
