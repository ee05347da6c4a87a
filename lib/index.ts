// The public surface of Spikeloom.
export * from './core/index.ts';
export * from './data/index.ts';
export * from './nn/index.ts';
export * as ops from './ops/index.ts';
export { bceWithLogits, crossEntropy, tetLoss } from './ops/index.ts';
export * from './optim/index.ts';
export * from './train/index.ts';
