// Loads a worker's TypeScript source, its first argument, through tsx: on Node 20 a thread does not inherit the main
// thread's loader.
import { register } from 'tsx/esm/api';

register();
await import(process.argv[2]);
