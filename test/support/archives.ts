// Archives for tests, written from the formats' descriptions, so that any field can be made wrong.
import { crc32, deflateRawSync } from 'node:zlib';

export type Files = Record<string, Uint8Array | string>;

/** One ustar header with a right checksum. */
export function tarHeader(path: string, size: number | string, kind = '0'): Buffer {
  const header = Buffer.alloc(512);
  header.write(path, 0, 100);
  header.write('0000644\0', 100);
  header.write(typeof size === 'string' ? size : `${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  header.write('        ', 148);
  header.write(kind, 156);
  header.write('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

/** A tar archive without its end mark. */
export function tarBody(files: Files): Buffer {
  const parts = Object.entries(files).map(([path, content]) => {
    const bytes = Buffer.from(content as Uint8Array);
    return Buffer.concat([tarHeader(path, bytes.length), bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
  });
  return Buffer.concat(parts);
}

export function tarBytes(files: Files): Buffer {
  return Buffer.concat([tarBody(files), Buffer.alloc(1024)]);
}

/** A zip archive; `change` may write into the central entry of a file. */
export function zipBytes(
  files: Files,
  { deflate = true, change = (_entry: Buffer, _path: string) => {} } = {},
): Buffer {
  const locals: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const [path, content] of Object.entries(files)) {
    const bytes = Buffer.from(content as Uint8Array);
    const packed = deflate ? deflateRawSync(bytes) : bytes;
    const name = Buffer.from(path);
    const shared = Buffer.alloc(26); // what a local header and a central entry have in common
    shared.set([20, 0, 0, 8, deflate ? 8 : 0, 0]);
    shared.writeUInt32LE(crc32(bytes), 10);
    shared.writeUInt32LE(packed.length, 14);
    shared.writeUInt32LE(bytes.length, 18);
    shared.writeUInt16LE(name.length, 22);
    const entry = Buffer.concat([Buffer.from('PK\x01\x02\x14\x00', 'latin1'), shared, Buffer.alloc(14), name]);
    entry.writeUInt32LE(offset, 42);
    change(entry, path);
    central.push(entry);
    locals.push(Buffer.from('PK\x03\x04', 'latin1'), shared, name, packed);
    offset += 30 + name.length + packed.length;
  }
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(central.length, 8);
  end.writeUInt16LE(central.length, 10);
  const directory = Buffer.concat(central);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, directory, end]);
}
