#!/usr/bin/env node
// Writes the class-balanced part of Fashion-MNIST that ships with the project: of every class the first 1,200 training
// and the first 200 test images, all kept in file order.
// usage: node scripts/make-fashion-mnist-small.mjs FROM TO     (FROM holds the four original .gz files)
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, gunzipSync, gzipSync } from 'node:zlib';

const CLASSES = 10;
const IMAGE_BYTES = 28 * 28;
const HALVES = [
  { stem: 'train', perClass: 1200 },
  { stem: 't10k', perClass: 200 },
];

function readIdx(file, magic, itemBytes) {
  const bytes = gunzipSync(readFileSync(file));
  const count = bytes.readUInt32BE(4);
  const start = bytes.length - count * itemBytes;
  if (bytes.readUInt32BE(0) !== magic || start !== 4 + 4 * (magic & 255)) {
    throw new Error(`${file} is not the file that Fashion-MNIST has under this name`);
  }
  return { count, header: bytes.subarray(0, start), data: bytes.subarray(start) };
}

/** Indices of the first `perClass` items of every class, ascending. */
function pick(labels, perClass) {
  const taken = new Array(CLASSES).fill(0);
  const kept = [...labels.keys()].filter((i) => taken[labels[i]]++ < perClass);
  if (kept.length !== CLASSES * perClass) throw new Error(`a class has fewer than ${perClass} images`);
  return kept;
}

function writeIdx(file, { header, data }, itemBytes, kept) {
  const content = Buffer.concat([header, ...kept.map((i) => data.subarray(i * itemBytes, (i + 1) * itemBytes))]);
  content.writeUInt32BE(kept.length, 4);
  const zipped = gzipSync(content, { level: constants.Z_BEST_COMPRESSION, memLevel: 9 });
  zipped[9] = 255; // operating system: unknown; with the time stamp 0 that gzipSync writes, the header never varies
  writeFileSync(`${file}.part`, zipped);
  renameSync(`${file}.part`, file);
  console.log(
    `${createHash('sha256').update(content).digest('hex')}  ${file} (${zipped.length} bytes; sum of the content)`,
  );
}

const [from, to] = process.argv.slice(2);
if (!from || !to) {
  console.error('usage: node scripts/make-fashion-mnist-small.mjs FROM TO');
  process.exit(2);
}
mkdirSync(to, { recursive: true });
for (const { stem, perClass } of HALVES) {
  const imageName = `${stem}-images-idx3-ubyte.gz`;
  const labelName = `${stem}-labels-idx1-ubyte.gz`;
  const images = readIdx(join(from, imageName), 0x803, IMAGE_BYTES);
  const labels = readIdx(join(from, labelName), 0x801, 1);
  if (images.count !== labels.count) throw new Error(`${stem}: ${images.count} images but ${labels.count} labels`);
  const kept = pick(labels.data, perClass);
  writeIdx(join(to, imageName), images, IMAGE_BYTES, kept);
  writeIdx(join(to, labelName), labels, 1, kept);
}
