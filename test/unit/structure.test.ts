// Imports run one way: lib core <- ops <- nn <- {optim, data} <- train <- cli, native core <- {cpu, cuda} <- ops;
// native/events and native/images stand alone.

import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const root = fileURLToPath(new URL('../..', import.meta.url));
const walk = (folder: string): string[] =>
  readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? walk(`${folder}/${entry.name}`) : [`${folder}/${entry.name}`],
  );
const text = (file: string): string => readFileSync(join(root, file), 'utf8');

describe('structure', () => {
  it('lib: a folder imports only folders below it', () => {
    const below: Record<string, string[]> = {
      core: [],
      ops: ['core'],
      nn: ['core', 'ops'],
      optim: ['core', 'ops', 'nn'],
      data: ['core', 'ops', 'nn'],
      train: ['core', 'ops', 'nn', 'optim', 'data'],
      cli: ['core', 'ops', 'nn', 'optim', 'data', 'train'],
    };
    const wrong: string[] = [];
    for (const file of walk('lib').filter((name) => name.endsWith('.ts') && name !== 'lib/index.ts')) {
      const layer = file.split('/')[1]!;
      for (const [, target] of text(file).matchAll(/from '(\.[^']+)'/g)) {
        const place = relative('lib', join(file, '..', target!)).split('/')[0]!;
        if (place !== layer && !below[layer]?.includes(place)) wrong.push(`${file} imports ${target}`);
      }
    }
    expect(wrong).to.deep.equal([]);
  });

  it('native: op folders know core, cpu and cuda but not each other; only addon.cpp knows N-API', () => {
    const wrong: string[] = [];
    for (const file of walk('native')) {
      const [, layer, op] = file.split('/');
      for (const [, target] of text(file).matchAll(/^#include [<"]([^>"]+)[>"]/gm)) {
        const place = target!.split('/')[0]!;
        if (target === 'napi.h' && file !== 'native/core/addon.cpp') wrong.push(`${file} includes ${target}`);
        if (/^cuda/.test(target!) && layer !== 'cuda' && !/\.cuh?$/.test(file))
          wrong.push(`${file} includes ${target}`);
        if (layer === 'ops' && place === 'ops' && target!.split('/')[1] !== op)
          wrong.push(`${file} includes ${target}`);
        const bridge = file === 'native/core/addon.cpp'; // the entry point opens the CPU backend
        if (layer === 'core' && ['cpu', 'cuda', 'events', 'images', 'ops'].includes(place) && !bridge)
          wrong.push(`${file} includes ${target}`);
        if ((layer === 'events' || layer === 'images') && ['core', 'cpu', 'cuda', 'ops'].includes(place))
          wrong.push(`${file} includes ${target}`);
        if ((layer === 'cpu' || layer === 'cuda') && place === 'ops') wrong.push(`${file} includes ${target}`);
      }
    }
    expect(wrong).to.deep.equal([]);
  });

  it('every native source is on the one list that both build systems read', () => {
    const { sources } = createRequire(import.meta.url)(join(root, 'scripts/sources.cjs')) as {
      sources(kind: string): string[];
    };
    const listed = new Set(['cpu', 'cuda', 'emulated'].flatMap(sources));
    const missing = walk('native').filter(
      (file) => /\.(cpp|cu)$/.test(file) && !file.startsWith('native/test/') && !listed.has(file),
    );
    expect(missing).to.deep.equal([]);
    expect(text('binding.gyp')).to.include('scripts/sources.cjs cpu');
    expect(text('CMakeLists.txt')).to.include('scripts/sources.cjs cpu');
  });
});
