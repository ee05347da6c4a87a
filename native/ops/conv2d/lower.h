// What a level does not take on itself goes to the levels below.
#pragma once
#include "core/registry.h"

namespace spikeloom {

inline void runLower(Level level, const char* signature, const Call& call) {
  const std::string name = opName(signature);
  for (const Op& op : ops()) {
    if (op.name == name) return findCpuKernel(op, static_cast<Level>(static_cast<int>(level) - 1), DType::f32)(call);
  }
}

}  // namespace spikeloom
