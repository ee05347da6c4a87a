/** What a promise gives, or undefined as soon as the signal is aborted: what it gives or fails with later is ignored. */
export async function orAborted<V>(promise: Promise<V>, signal: AbortSignal | undefined): Promise<V | undefined> {
  if (!signal) return promise;
  promise.catch(() => {});
  let stop: (() => void) | undefined;
  const aborted = new Promise<undefined>((resolve) => {
    stop = () => resolve(undefined);
    signal.addEventListener('abort', stop);
  });
  try {
    if (signal.aborted) return undefined;
    return await Promise.race([promise, aborted]);
  } catch (error) {
    if (signal.aborted) return undefined; // whoever makes it may have heard the signal, too
    throw error;
  } finally {
    signal.removeEventListener('abort', stop!);
  }
}
