import { type Command, Option } from 'commander';
import { EXIT } from '../exit.ts';
import { coloured, table, writeJson, writeText } from '../output.ts';
import type { Verification } from '../verify/verify.ts';

interface Options {
  dtype: 'f64' | 'f32';
  device: string;
  json?: boolean;
}

export function addVerify(program: Command): void {
  program
    .command('verify')
    .description('compute a numeric fixture and report the error of every output and gradient')
    .argument('<fixture>', 'fixture (safetensors) of kind lif, fsta, network or training')
    .addOption(new Option('--dtype <type>', 'arithmetic').choices(['f64', 'f32']).default('f64'))
    .option('--device <name>', 'where to compute: cpu, cuda or cuda:N', 'cpu')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      '\nAn error is the norm of the difference over the norm of what is expected (the norm itself where that is 0); it may be\n' +
        '1e-9 in f64 and 1e-4 in f32. Networks and training are checked in f64 only. Exit status 1 past the tolerance.',
    )
    .action(async (fixture: string, { dtype, device, json }: Options) => {
      const { verify } = await import('../verify/verify.ts');
      const found = await verify(fixture, { dtype, device });
      if (json) writeJson(documentOf(found));
      else writeText(render(found));
      process.exitCode = found.ok ? EXIT.fine : EXIT.failure;
    });
}

function documentOf({ results, leftOut, ...rest }: Verification) {
  const errors = results.map(({ name, error, absolute, ok }) => ({ name, relative_error: error, absolute, ok }));
  const neurons = leftOut && { flipped_near_threshold: leftOut.flipped, on_surrogate_edge: leftOut.onEdge };
  return { ...rest, largest_error: largest(results).error, results: errors, left_out_neurons: neurons };
}

/** The worst result; one that is not a number is worse than any. */
function largest(results: Verification['results']): Verification['results'][number] {
  const rank = ({ error }: { error: number }) => (Number.isNaN(error) ? Number.POSITIVE_INFINITY : error);
  return results.reduce((worst, result) => (rank(result) > rank(worst) ? result : worst));
}

function render({ fixture, kind, dtype, device, tolerance, ok, results, leftOut }: Verification): string {
  const rows = results.map(({ name, error, absolute, ok: good }) => [
    name,
    error.toExponential(2),
    good ? coloured('ok', 'green') : coloured('FAIL', 'red'),
    absolute ? (name === 'y' ? 'share of spikes that differ' : 'absolute') : '',
  ]);
  const lines = [`${fixture}: ${kind}, ${dtype} on ${device}`, table(rows, [1])];
  if (leftOut && leftOut.flipped + leftOut.onEdge > 0) {
    lines.push(
      `left out: ${leftOut.flipped} neurons with a membrane within 1e-5 of the threshold that fired otherwise,`,
      `          ${leftOut.onEdge} neurons (gradient) within 1e-5 of an end of the surrogate`,
    );
  }
  const failed = results.filter((result) => !result.ok).length;
  const worst = largest(results);
  lines.push(
    ok
      ? `all ${results.length} within ${tolerance}; the largest error is ${worst.error.toExponential(2)} (${worst.name})`
      : `${failed} of ${results.length} are past ${tolerance}; the worst is ${worst.name} (${worst.error.toExponential(2)})`,
  );
  return lines.join('\n');
}
