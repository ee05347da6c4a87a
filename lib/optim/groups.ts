// Parameters that are trained otherwise than the rest: groups by name, with rates and a decay of their own.
import { SpikeloomError } from '../core/index.ts';
import { contentOf, didYouMean, kindOf, needOptions } from '../core/options.ts';

/** A group of parameters. One that several groups name belongs to the first of them. */
export interface ParameterGroup {
  /** Names of parameters, or patterns in which * stands for any characters: 'head.*', or ['*.bias', 'stem.*']. */
  readonly names: string | readonly string[];
  /** Factor of the learning rate, at least 0. Default 1. */
  readonly lrScale?: number | undefined;
  /** In place of the optimizer's, and for parameters of one dimension or none, too. */
  readonly weightDecay?: number | undefined;
}

const KNOWN = { names: true, lrScale: true, weightDecay: true } as const;

const isAmount = (value: unknown): boolean => Number.isFinite(value) && (value as number) >= 0;

function checkGroup(of: string, group: ParameterGroup): void {
  needOptions(of, group, KNOWN);
  const { names, lrScale, weightDecay } = group;
  const list = typeof names === 'string' ? [names] : names;
  const areNames = Array.isArray(list) && list.length > 0 && list.every((name) => typeof name === 'string' && name);
  if (!areNames) {
    throw new SpikeloomError(
      `${of}: names are a parameter's name, a pattern such as 'head.*' or a list of them, not ${contentOf(names)}`,
    );
  }
  for (const [name, value] of Object.entries({ lrScale, weightDecay })) {
    if (value === undefined || isAmount(value)) continue;
    throw new SpikeloomError(`${of}: ${name} is a finite number of at least 0, not ${kindOf(value)}`);
  }
}

/**
 * Groups as plain data of their own, the same for the same groups however they are written.
 * @throws SpikeloomError naming the group, what is wrong and the rule
 */
export function resolveGroups(of: string, groups: readonly ParameterGroup[]): ParameterGroup[] {
  if (!Array.isArray(groups)) {
    throw new SpikeloomError(
      `${of}: groups are a list, as in [{ names: 'head.*', lrScale: 10 }], not ${kindOf(groups)}`,
    );
  }
  return groups.map((group: ParameterGroup, i) => {
    checkGroup(`${of}: group ${i}`, group);
    const { names, lrScale = 1, weightDecay } = group;
    const list = typeof names === 'string' ? [names] : [...names];
    return { names: list, lrScale, ...(weightDecay !== undefined && { weightDecay }) };
  });
}

const patternsOf = ({ names }: ParameterGroup): readonly string[] => (typeof names === 'string' ? [names] : names);

/** Whether the text between stars comes in this order, the first and the last at the ends. */
function matches(pattern: string, name: string): boolean {
  const [first, ...rest] = pattern.split('*');
  if (rest.length === 0) return name === pattern;
  const last = rest.pop()!;
  let at = first!.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return name.startsWith(first!) && name.endsWith(last) && at + last.length <= name.length;
}

/**
 * The group of every name, in their order; undefined: of none.
 * @throws SpikeloomError for a name or pattern that stands for none of them, and for a group that the ones before it
 *   leave nothing
 */
export function groupsOf(
  of: string,
  groups: readonly ParameterGroup[],
  names: readonly string[],
): (ParameterGroup | undefined)[] {
  for (const pattern of groups.flatMap(patternsOf)) {
    if (names.some((name) => matches(pattern, name))) continue;
    const shown = names.length > 8 ? [...names.slice(0, 8), '...'] : names;
    throw new SpikeloomError(
      `${of}: a group names '${pattern}', but no parameter is called so; there are ${shown.join(', ')}${didYouMean([pattern], names)}`,
    );
  }
  const found = names.map((name) => groups.find((group) => patternsOf(group).some((of) => matches(of, name))));
  const empty = groups.findIndex((group) => !found.includes(group));
  if (empty < 0) return found;
  throw new SpikeloomError(
    `${of}: a parameter belongs to the first group that names it, but groups before group ${empty} (${patternsOf(groups[empty]!).join(', ')}) name all of its own; put it before them`,
  );
}
