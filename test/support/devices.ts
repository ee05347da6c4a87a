// Where tests of every device run. Whoever forces an instruction set asks about the CPU, whoever takes the emulated
// device about CUDA.
const { SPIKELOOM_CPU, SPIKELOOM_CUDA } = process.env;
export const testDevices: readonly string[] = SPIKELOOM_CPU ? ['cpu'] : SPIKELOOM_CUDA ? ['cuda'] : ['cpu', 'cuda'];
