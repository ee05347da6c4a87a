/** Where tests of every device run. Whoever forces an instruction set asks about the CPU. */
export const testDevices: readonly string[] = process.env.SPIKELOOM_CPU ? ['cpu'] : ['cpu', 'cuda'];
