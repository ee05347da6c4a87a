// node --import tsx test/support/read-sparse.ts FILE: streams a recording, then tries to read it whole, and prints what came of both.
import { readEvents, streamEvents } from '../../lib/data/index.ts';

const file = process.argv[2]!;
let [count, blocks] = [0, 0];
for await (const block of streamEvents(file)) {
  count += block.count;
  blocks++;
}
const megabytes = process.resourceUsage().maxRSS / 1024;
let whole = 'read';
try {
  readEvents(file);
} catch (error) {
  whole = `${(error as Error).name}: ${(error as Error).message}`;
}
console.log(JSON.stringify({ count, blocks, megabytes, whole }));
