/**
 * The known dotted key that an unknown one was probably meant to be: by edit distance of the whole keys or of their
 * last names, without regard to case, `_` and `-`. Undefined if none is near: more than a third of the letters would
 * change.
 */
export function nearestKey(given: string, known: readonly string[]): string | undefined {
  if (given.length > 64) return undefined;
  const near = known
    .map((key) => ({
      key,
      whole: editDistance(plain(given), plain(key)),
      last: editDistance(plain(lastName(given)), plain(lastName(key))),
    }))
    .filter(({ key, whole, last }) => Math.min(whole, last) <= Math.max(1, Math.floor(lastName(key).length / 3)));
  near.sort((a, b) => Math.min(a.whole, a.last) - Math.min(b.whole, b.last) || a.whole - b.whole);
  return near[0]?.key;
}

function plain(key: string): string {
  return key.toLowerCase().replaceAll(/[_-]/g, '');
}

function lastName(key: string): string {
  return key.slice(key.lastIndexOf('.') + 1);
}

/** The least number of letters inserted, removed, replaced or swapped with their neighbor. */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const above = rows[i - 1]!;
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row.push(Math.min(replaced, above[j]! + 1, row[j - 1]! + 1, swapped ? rows[i - 2]![j - 2]! + 1 : replaced));
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
