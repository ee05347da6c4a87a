// Convolutions on tensor cores, for calls of float kernels. True: the call was taken; false: nothing was done, the
// plain product is to be used.
#pragma once
#include "core/abi.h"

namespace spikeloom::cuda {

bool conv2dOnTensorCores(const Call& call);
bool conv2dGradXOnTensorCores(const Call& call);
bool conv2dGradWOnTensorCores(const Call& call);

}  // namespace spikeloom::cuda
