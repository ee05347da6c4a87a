// Every kind of layer. A new one is a file in layers/ and a line here.
import type { LayerKind } from './layer.ts';
import { conv2dKind } from './layers/conv2d.ts';
import { dropoutKind, flattenKind, meanOverTimeKind, reluKind } from './layers/elementwise.ts';
import { fstaKind } from './layers/fsta.ts';
import { linearKind, voteKind } from './layers/linear.ts';
import { alifKind, cubaLifKind, ifKind, lifKind, plifKind, recurrentLifKind } from './layers/neurons.ts';
import { normKind } from './layers/norm.ts';
import { avgPool2dKind, globalAvgPoolKind, maxPool2dKind } from './layers/pooling.ts';
import { residualKind } from './layers/residual.ts';

const all: readonly LayerKind[] = [
  conv2dKind,
  normKind,
  fstaKind,
  lifKind,
  ifKind,
  plifKind,
  cubaLifKind,
  alifKind,
  recurrentLifKind,
  avgPool2dKind,
  maxPool2dKind,
  globalAvgPoolKind,
  linearKind,
  voteKind,
  reluKind,
  dropoutKind,
  flattenKind,
  meanOverTimeKind,
  residualKind,
];

export const layerKinds: ReadonlyMap<string, LayerKind> = new Map(all.map((kind) => [kind.kind, kind]));
