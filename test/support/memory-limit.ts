// A program for test/unit/memory-limit.test.ts: does one thing with so many MiB left to the process (Linux), and prints
// how it ended.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { device, tensor, zeros } from '../../lib/core/index.ts';

const MIB = 2 ** 20;
const shape = [64, MIB]; // 256 MiB

const made = zeros(shape);
const host = new Float32Array(await made.array());

const WORK: Record<string, () => Promise<unknown>> = {
  write: async () => {
    made.set(host);
    await device().finish();
  },
  read: () => made.array(),
  make: async () => tensor(host, { shape }).array(),
  threads: async () => {
    device().setThreads(256);
    await device().finish();
  },
};

function leave(mebibytes: number): void {
  const [, kibibytes] = /^VmSize:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))!;
  const bytes = Number(kibibytes) * 1024 + mebibytes * MIB;
  execFileSync('prlimit', ['--pid', String(process.pid), `--as=${bytes}`]);
}

const [what, mebibytes] = process.argv.slice(2);
leave(Number(mebibytes));
const ended = await WORK[what!]!().then(
  () => 'done',
  (error: Error) => `${error.constructor.name}: ${error.message}`,
);
// What was there before still works.
const alive = await zeros([3]).array();
console.log(JSON.stringify({ ended, alive: [...(alive as Float32Array)] }));
