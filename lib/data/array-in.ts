// Arrays in memory that is used again: new memory is cleared and mapped page by page, and much of it calls V8's garbage
// collector, whose threads take the cores from the kernels.
import { SpikeloomError } from '../core/errors.ts';

interface ArrayKind<A> {
  new (length: number): A;
  new (memory: ArrayBuffer, offset: number, length: number): A;
  readonly BYTES_PER_ELEMENT: number;
}

/**
 * An array of `length` elements, whatever they are: in `memory` where that is large enough, else in new memory.
 * @throws SpikeloomError for more elements than an array can have, or memory can hold
 */
export function arrayIn<A>(Kind: ArrayKind<A>, length: number, memory: ArrayBuffer | undefined): A {
  const fits = memory !== undefined && memory.byteLength >= length * Kind.BYTES_PER_ELEMENT;
  try {
    return fits ? new Kind(memory, 0, length) : new Kind(length);
  } catch (error) {
    throw new SpikeloomError(
      `a batch lies in one array, but there can be none of ${length} numbers here (${(error as Error).message}); use a smaller batch, or smaller samples`,
      { cause: error },
    );
  }
}

/** Memory for an array that is needed while a batch is made, kept from batch to batch. */
export class Scratch<A extends { readonly buffer: ArrayBuffer }> {
  readonly #kind: ArrayKind<A>;
  #memory: ArrayBuffer | undefined;

  constructor(kind: ArrayKind<A>) {
    this.#kind = kind;
  }

  /** The caller's own, until it gives it back: a second batch in the making gets other memory. */
  take(length: number): A {
    const memory = this.#memory;
    this.#memory = undefined;
    return arrayIn(this.#kind, length, memory);
  }

  giveBack({ buffer }: A): void {
    this.#memory = buffer;
  }
}
