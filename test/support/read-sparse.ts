// node --import tsx test/support/read-sparse.ts FILE: streams a recording, then tries to read it whole, and prints what
// came of both.
import { readEvents, streamEvents } from '../../lib/data/index.ts';

const file = process.argv[2]!;
let [count, blocks, most] = [0, 0, 0];
for await (const block of streamEvents(file)) {
  count += block.count;
  blocks++;
  // maxRSS would have the peak of the process that started this one in it
  most = Math.max(most, process.memoryUsage.rss());
}
const megabytes = most / 2 ** 20;
let whole = 'read';
try {
  readEvents(file);
} catch (error) {
  whole = `${(error as Error).name}: ${(error as Error).message}`;
}
console.log(JSON.stringify({ count, blocks, megabytes, whole }));
