// Compiles C++ files of this repository one by one, those that are older than what they were made from, as the compiler
// lists it.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(fileURLToPath(import.meta.url), '../..');
const JOBS = availableParallelism();
export const compiler = process.env.CXX ?? 'g++';

export function isCurrent(product, inputs) {
  if (!existsSync(join(root, product))) return false;
  const made = statSync(join(root, product)).mtimeMs;
  return inputs.every((input) => existsSync(join(root, input)) && statSync(join(root, input)).mtimeMs < made);
}

/** Takes a third of all the time under the sanitizers: begun first. */
const LONGEST = 'native/ops/current_fire/cpu.cpp';

const listOf = (product) => `${product}.d`;

/** The files that a product was made from; undefined when that is not known. */
function inputsOf(product) {
  if (!existsSync(join(root, listOf(product)))) return undefined;
  const [, names] = readFileSync(join(root, listOf(product)), 'utf8')
    .replaceAll('\\\n', ' ')
    .split(': ');
  return names?.split(/\s+/).filter((name) => name !== '' && !name.startsWith('/'));
}

function compile({ source, product, flags, compiler: own = compiler }) {
  const args = [...flags, '-MMD', '-MF', listOf(product), '-c', source, '-o', product];
  const child = spawn(own, args, { cwd: root, stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new Error(`${own} could not be started: ${error.message}`)));
    child.on('close', (status) => (status === 0 ? resolve() : reject(new Error(`${source} does not compile`))));
  });
}

/**
 * Compiles the units ({ source, product, flags, compiler? }) that are not current; `setters` are the files that set the
 * flags.
 */
export async function compileStale(who, units, ...setters) {
  const stale = units.filter(({ product }) => {
    const inputs = inputsOf(product);
    return !inputs || !isCurrent(product, [...setters, ...inputs]);
  });
  if (stale.length === 0) return;
  stale.sort((a, b) => Number(b.source === LONGEST) - Number(a.source === LONGEST));
  console.log(`${who}: compiling ${stale.length} files`);
  for (const { product } of stale) mkdirSync(dirname(join(root, product)), { recursive: true });
  const worker = async () => {
    for (let unit = stale.shift(); unit; unit = stale.shift()) await compile(unit);
  };
  await Promise.all(Array.from({ length: JOBS }, worker));
}
