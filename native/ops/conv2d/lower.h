// What a level does not take on itself goes to the levels below.
#pragma once
#include "core/registry.h"

namespace spikeloom {

inline void runLower(const char* signature, const Call& call) {
  const std::string name = opName(signature);
  for (const Op& op : ops()) {
    if (op.name == name) return findCpuKernel(op, Level::avx512, DType::f32)(call);
  }
}

}  // namespace spikeloom
