import { crc32, inflateSync } from 'node:zlib';
import { expect } from 'chai';

/** Reads a PNG of 8-bit RGB without filters, checking what the specification asks for. */
export function decodePng(file: Uint8Array): { rgb: Uint8Array; width: number; height: number } {
  const bytes = Buffer.from(file);
  expect(bytes.subarray(0, 8).toString('latin1')).to.equal('\x89PNG\r\n\x1a\n');
  const chunks: Record<string, Buffer> = {};
  let at = 8;
  while (at < bytes.length) {
    const length = bytes.readUInt32BE(at);
    const named = bytes.subarray(at + 4, at + 8 + length);
    expect(bytes.readUInt32BE(at + 8 + length)).to.equal(crc32(named));
    chunks[named.toString('latin1', 0, 4)] = named.subarray(4);
    at += 12 + length;
  }
  expect(Object.keys(chunks)).to.deep.equal(['IHDR', 'IDAT', 'IEND']);
  expect([...chunks.IHDR!.subarray(8)]).to.deep.equal([8, 2, 0, 0, 0]);
  const [width, height] = [chunks.IHDR!.readUInt32BE(0), chunks.IHDR!.readUInt32BE(4)];
  const rows = inflateSync(chunks.IDAT!);
  expect(rows.length).to.equal(height * (1 + 3 * width));
  const rgb = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++) {
    expect(rows[y * (1 + 3 * width)]).to.equal(0);
    rgb.set(rows.subarray(y * (1 + 3 * width) + 1, (y + 1) * (1 + 3 * width)), 3 * width * y);
  }
  return { rgb, width, height };
}
