// What kernels find wrong with their data, on the host's side: see Trouble in kernel.h.
#pragma once
#include "cuda/kernel.h"

namespace spikeloom::cuda {

// False, with the status set, where there is no memory for it.
bool openTrouble(Context& context, Status* status);
void closeTrouble(Context& context);

// Once the host has waited for work: the status fails with what that work found, if anything, and the device goes on.
void reportTrouble(Context& context, Status* status);

}  // namespace spikeloom::cuda
