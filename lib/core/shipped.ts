// Files that come with the package.
import { existsSync, readdirSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The package's own folder. */
export const PACKAGE_ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** The package's own file of that name, if one of its recipes or its data set has it. */
export function shippedFile(path: string): string | undefined {
  const own = join(PACKAGE_ROOT, path);
  return /^(recipes|datasets)[/\\]/.test(normalize(path)) && existsSync(own) ? own : undefined;
}

/**
 * The path as it is given, or the package's own file of that name where there is none: its recipes and its data set are
 * found from any folder.
 * @example orShipped('recipes/quickstart.yaml')
 */
export function orShipped(path: string): string {
  return existsSync(path) ? path : (shippedFile(path) ?? path);
}

/** The recipes that come with the package, as orShipped() takes them. */
export function shippedRecipes(): string[] {
  const folder = join(PACKAGE_ROOT, 'recipes');
  const files = existsSync(folder) ? readdirSync(folder) : [];
  return files.filter((file) => file.endsWith('.yaml')).map((file) => `recipes/${file}`);
}
