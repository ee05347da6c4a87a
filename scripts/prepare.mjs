// What every command of a fresh clone needs: the packages and the build. Both do nothing when they are up to date.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(fileURLToPath(import.meta.url), '../..');

export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.error) throw new Error(`${command} could not be started: ${result.error.message}`);
  return result.status ?? 1;
}

function must(command, args) {
  const status = run(command, args);
  if (status !== 0) throw new Error(`'${command} ${args.join(' ')}' ended with status ${status}`);
}

const changed = (file) => (existsSync(join(root, file)) ? statSync(join(root, file)).mtimeMs : 0);

export function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new Error(`Node 20.19 or later is needed, this is ${process.versions.node}; see nodejs.org for a newer one`);
  }
}

/** npm ci, unless the installed packages are those of the lock file. */
export function install() {
  const installed = changed('node_modules/.package-lock.json');
  if (installed > 0 && installed >= changed('package-lock.json')) return;
  must('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
}

export function build(...parts) {
  must(process.execPath, ['scripts/build.mjs', ...parts]);
}
