// The CPU as a backend: memory of the process, kernels of the registry at the active instruction-set level.
#pragma once
#include "core/registry.h"

namespace spikeloom {

const Backend* cpuBackend();

// The level in use: the best of this machine, or what SPIKELOOM_CPU names. Empty string: fine; otherwise why the name
// was refused.
Level activeLevel();
const char* levelProblem();

void setCpuThreads(void* context, int threads);

}  // namespace spikeloom
