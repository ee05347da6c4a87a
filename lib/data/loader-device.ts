import { isMainThread } from 'node:worker_threads';
import { type Device, device } from '../core/device.ts';

/**
 * The device that batches are computed on: the CPU, and in a thread of a loader one core of it, since there are several
 * such threads.
 */
export function loaderDevice(): Device {
  const cpu = device('cpu');
  if (!isMainThread) cpu.setThreads(1);
  return cpu;
}
