#!/usr/bin/env node
// Runs a TypeScript source of this repository: node scripts/run.mjs FILE.ts [arguments]
import { run } from './prepare.mjs';

process.exitCode = run(process.execPath, ['--import', 'tsx', ...process.argv.slice(2)]);
