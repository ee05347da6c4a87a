// Prints the first words of all tables' names, one a line: what scripts/gpu-check.sh runs one by one.
import { opTables } from './op-tables.ts';

const words = (await opTables()).map(({ name }) => /^\w+/.exec(name)![0]);
console.log([...new Set(words)].sort().join('\n'));
