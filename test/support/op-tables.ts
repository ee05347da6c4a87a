// All tables of test/ops.
import { readdirSync } from 'node:fs';
import type { OpTable } from './op-table.ts';

export async function opTables(): Promise<OpTable[]> {
  const folder = new URL('../ops/', import.meta.url);
  const files = readdirSync(folder).filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'));
  const tables: OpTable[] = [];
  for (const file of files.sort()) {
    const module = (await import(new URL(file, folder).href)) as Record<string, unknown>;
    for (const value of Object.values(module)) {
      if (value !== null && typeof value === 'object' && 'natives' in value) tables.push(value as OpTable);
    }
  }
  return tables;
}
