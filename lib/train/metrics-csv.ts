// The metrics as a table for spreadsheets: one line an epoch, nested records as columns `name.key`.
import type { MetricsRecord } from './metrics-log.ts';

type Cell = string | number | boolean | null;

function flat(record: MetricsRecord, prefix = ''): [string, Cell][] {
  return Object.entries(record).flatMap(([key, value]): [string, Cell][] => {
    if (typeof value === 'object' && value !== null) return flat(value as MetricsRecord, `${prefix}${key}.`);
    return [[prefix + key, value as Cell]];
  });
}

/** RFC 4180: what holds a comma, a quote or a line end is quoted. */
function quoted(cell: Cell | undefined): string {
  const text = cell === null || cell === undefined ? '' : String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Lines of a CSV file with a head; the columns are all that any record has, in order of appearance. */
export function metricsCsv(records: readonly MetricsRecord[]): string {
  const rows = records.map((record) => new Map(flat(record)));
  const columns = [...new Set(rows.flatMap((row) => [...row.keys()]))];
  const lines = rows.map((row) => columns.map((column) => quoted(row.get(column))).join(','));
  return `${[columns.map(quoted).join(','), ...lines].join('\n')}\n`;
}
