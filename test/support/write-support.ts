// npm run support: writes docs/support.md.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { opTables } from './op-tables.ts';
import { supportDocument } from './support-table.ts';

writeFileSync(fileURLToPath(new URL('../../docs/support.md', import.meta.url)), supportDocument(await opTables()));
