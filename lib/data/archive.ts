import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { statOf } from '../core/file-kind.ts';
import { EntryTable, type FileEntry, refuseLarge } from './archive/entries.ts';
import { walkFolder } from './archive/folder.ts';
import { type ByteSource, fileSource, memorySource, partOf } from './archive/source.ts';
import { indexTar, isTarHeader, type TarEntry } from './archive/tar.ts';
import { streamTarGz } from './archive/tar-stream.ts';
import { indexZip, openZipEntry, readZip, readZipSync, type ZipEntry } from './archive/zip.ts';
import { DataError } from './files.ts';

export type { FileEntry } from './archive/entries.ts';

/** The kinds of trees that are read. */
export type TreeKind = 'folder' | 'zip' | 'tar' | 'tar.gz';

/** A file of a tree while it is iterated over, see {@link FileTree.entries}. */
export interface TreeEntry extends FileEntry {
  /** Its bytes, at most `maxBytes`; to be called before the next entry is asked for. */
  read(maxBytes?: number): Promise<Uint8Array>;
}

/** Files below a folder or in an archive, for reading. */
export interface FileTree {
  readonly kind: TreeKind;
  /** The folder or archive, as it was asked for. */
  readonly file: string;
  /** The regular files, sorted by path. */
  list(): FileEntry[];
  /**
   * The whole contents of a file, of at most `maxBytes` (default 1 GiB). In a .tar.gz this reads the archive from its
   * beginning: {@link entries} is the way through one.
   */
  read(path: string, maxBytes?: number): Promise<Uint8Array>;
  /** The same, synchronously. A .tar.gz from {@link openTree} refuses. */
  readSync(path: string, maxBytes?: number): Uint8Array;
  /**
   * An archive in the tree as a tree of its own; to be closed before this one. What is not deflated is read in place, a
   * deflated entry of a zip is unpacked once into a temporary file without a name, a .tar.gz (and what lies in one)
   * into memory, at most 1 GiB.
   */
  open(path: string): Promise<FileTree>;
  /** The regular files in the archive's order (a folder's: sorted by path); memory stays bounded for every kind. */
  entries(): AsyncIterableIterator<TreeEntry>;
  close(): void;
}

const MAX_BYTES = 2 ** 30;
/** First words of a zip archive: a local header, or the end record of an empty one. */
const ZIP_BEGINNINGS = [0x04034b50, 0x06054b50, 0x06064b50];

/**
 * Opens a folder, a .zip (stored or deflated, zip64), a .tar or a .tar.gz, told apart by their contents, as one tree of
 * files. Opening reads the index (a .tar.gz: passes through the archive once). Names that leave the archive, two
 * entries of one name, sizes that cannot be, truncated and damaged archives are errors; nothing is unpacked to the disk
 * but what {@link FileTree.open} says.
 * @throws DataError with the file and the byte
 * @example
 * const tree = await openTree('CIFAR10DVS.zip');
 * for (const { path, size } of tree.list()) console.log(path, size);
 * const bytes = await tree.read('airplane/cifar10_airplane_0.aedat');
 * tree.close();
 */
export async function openTree(path: string): Promise<FileTree> {
  const kind = kindOf(path);
  if (kind !== 'tar.gz') return openTreeSync(path);
  const table = new EntryTable<TarEntry>(path);
  for await (const { path: name, size, offset } of streamTarGz(path)) table.add({ path: name, size, offset }, offset);
  return gzipTree(path, table);
}

/** As {@link openTree}, synchronously. A .tar.gz is unpacked into memory, at most `maxBytes` (default 1 GiB) of it. */
export function openTreeSync(path: string, maxBytes = MAX_BYTES): FileTree {
  const kind = kindOf(path);
  if (kind === 'folder') return folderTree(path);
  return archiveTree(kind, fileSource(path), maxBytes);
}

/** The tree of an archive, which closes the source. */
function archiveTree(kind: TreeKind, source: ByteSource, maxBytes = MAX_BYTES): FileTree {
  try {
    if (kind === 'zip') return zipTree(source);
    if (kind === 'tar') return tarTree(kind, source);
    const unpacked = gunzip(source, maxBytes);
    source.close();
    return tarTree(kind, memorySource(source.file, unpacked));
  } catch (error) {
    source.close();
    throw error;
  }
}

function kindOf(path: string): TreeKind {
  const stat = statOf(path);
  if (!stat) throw new DataError(path, 'there is no such file or folder');
  if (stat.isDirectory()) return 'folder';
  const source = fileSource(path);
  try {
    return kindOfBytes(source);
  } finally {
    source.close();
  }
}

function kindOfBytes(source: ByteSource): TreeKind {
  const head = source.readSync(0, Math.min(512, source.size));
  if (source.size >= 4 && ZIP_BEGINNINGS.includes(head.readUInt32LE(0))) return 'zip';
  if (head[0] === 0x1f && head[1] === 0x8b) return 'tar.gz';
  if (isTarHeader(head) || (head.length === 512 && head.every((byte) => byte === 0))) return 'tar';
  throw new DataError(
    source.file,
    'is neither a folder nor a .zip, .tar or .tar.gz archive (or its first bytes are damaged)',
    { offset: 0 },
  );
}

function gunzip(source: ByteSource, maxBytes: number): Buffer {
  const { file, size } = source;
  try {
    refuseLarge(file, size, maxBytes);
    return gunzipSync(source.readSync(0, size), { maxOutputLength: maxBytes });
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw new DataError(file, `cannot be unpacked into at most ${maxBytes} bytes (${(cause as Error).message})`, {
      cause,
    });
  }
}

/** The archive of these bytes, which lies in another one. */
function innerTree(source: ByteSource): FileTree {
  try {
    return archiveTree(kindOfBytes(source), source);
  } catch (error) {
    source.close();
    throw error;
  }
}

/** The iterator over entries with random access. */
async function* inTurn<E extends FileEntry>(
  entries: E[],
  read: (path: string, maxBytes?: number) => Promise<Uint8Array>,
): AsyncIterableIterator<TreeEntry> {
  for (const { path, size } of entries) yield { path, size, read: (maxBytes) => read(path, maxBytes) };
}

function folderTree(root: string): FileTree {
  const table = new EntryTable<FileEntry>(root);
  for (const entry of walkFolder(root)) table.add(entry, 0);
  const opened = (path: string, maxBytes: number): ByteSource => {
    table.find(path, Number.POSITIVE_INFINITY);
    const source = fileSource(join(root, path));
    if (source.size > maxBytes) source.close();
    refuseLarge(source.file, source.size, maxBytes);
    return source;
  };
  const tree: FileTree = {
    kind: 'folder',
    file: root,
    list: () => table.list(),
    async read(path, maxBytes = MAX_BYTES) {
      const source = opened(path, maxBytes);
      return source.read(0, source.size).finally(() => source.close());
    },
    readSync(path, maxBytes = MAX_BYTES) {
      const source = opened(path, maxBytes);
      try {
        return source.readSync(0, source.size);
      } finally {
        source.close();
      }
    },
    async open(path) {
      table.find(path, Number.POSITIVE_INFINITY);
      return openTree(join(root, path));
    },
    entries: () => inTurn(table.list(), tree.read),
    close() {},
  };
  return tree;
}

function tarTree(kind: TreeKind, source: ByteSource): FileTree {
  const table: EntryTable<TarEntry> = indexTar(source);
  const tree: FileTree = {
    kind,
    file: source.file,
    list: () => table.list(),
    async read(path, maxBytes = MAX_BYTES) {
      const { offset, size } = table.find(path, maxBytes);
      return source.read(offset, size);
    },
    readSync(path, maxBytes = MAX_BYTES) {
      const { offset, size } = table.find(path, maxBytes);
      return source.readSync(offset, size);
    },
    async open(path) {
      const { offset, size } = table.find(path, Number.POSITIVE_INFINITY);
      return innerTree(partOf(source, join(source.file, path), offset, size));
    },
    entries: () => inTurn(table.values(), tree.read),
    close: () => source.close(),
  };
  return tree;
}

function zipTree(source: ByteSource): FileTree {
  const table: EntryTable<ZipEntry> = indexZip(source);
  const tree: FileTree = {
    kind: 'zip',
    file: source.file,
    list: () => table.list(),
    read: async (path, maxBytes = MAX_BYTES) => readZip(source, table.find(path, maxBytes)),
    readSync: (path, maxBytes = MAX_BYTES) => readZipSync(source, table.find(path, maxBytes)),
    open: async (path) => innerTree(await openZipEntry(source, table.find(path, Number.POSITIVE_INFINITY))),
    entries: () => inTurn(table.values(), tree.read),
    close: () => source.close(),
  };
  return tree;
}

function gzipTree(file: string, table: EntryTable<TarEntry>): FileTree {
  const tree: FileTree = {
    kind: 'tar.gz',
    file,
    list: () => table.list(),
    async read(path, maxBytes = MAX_BYTES) {
      table.find(path, maxBytes);
      for await (const entry of streamTarGz(file)) if (entry.path === path) return entry.read(maxBytes);
      throw new DataError(`${file}/${path}`, 'has vanished from the archive since it was opened');
    },
    readSync(path) {
      throw new DataError(
        `${file}/${path}`,
        'a .tar.gz cannot be read at a place of choice: use entries(), or unpack it to a .tar',
      );
    },
    async open(path) {
      const bytes = await tree.read(path);
      return innerTree(memorySource(join(file, path), Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)));
    },
    async *entries() {
      for await (const { path, size, read } of streamTarGz(file))
        yield { path, size, read: (most = MAX_BYTES) => read(most) };
    },
    close() {},
  };
  return tree;
}
