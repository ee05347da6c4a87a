#!/usr/bin/env node
// The one list of native sources, for binding.gyp and CMakeLists.txt alike: walks native/, so a new op folder is found
// by itself.
//   node scripts/sources.cjs cpu    the addon          node scripts/sources.cjs cuda    the CUDA backend
//   node scripts/sources.cjs emulated    what the emulated device adds to cuda     node scripts/sources.cjs headers
const { readdirSync } = require('node:fs');
const { join } = require('node:path');

function walk(folder) {
  return readdirSync(join(__dirname, '..', folder), { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => (entry.isDirectory() ? walk(`${folder}/${entry.name}`) : [`${folder}/${entry.name}`]));
}

function sources(kind) {
  if (kind === 'headers') {
    return walk('native').filter((file) => /\.(h|inl|cuh)$/.test(file) && !file.startsWith('native/emulated/'));
  }
  if (kind === 'cuda') return [...walk('native/cuda'), ...walk('native/ops')].filter((file) => file.endsWith('.cu'));
  if (kind === 'emulated') return walk('native/emulated').filter((file) => file.endsWith('.cpp'));
  return ['native/core', 'native/cpu', 'native/events', 'native/images', 'native/ops']
    .flatMap(walk)
    .filter((file) => file.endsWith('.cpp'));
}

module.exports = { sources };
if (require.main === module) console.log(sources(process.argv[2]).join('\n'));
