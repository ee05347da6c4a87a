// Which ops there are and which kernel serves them. Op folders register themselves while the addon loads; problems
// found then (a duplicate name, two signatures for one op) are kept and reported when the addon is first used.
#pragma once
#include <string>
#include <vector>

#include "core/abi.h"

namespace spikeloom {

// Instruction-set levels of the CPU kernels, in rising order. avx512bf16: avx512 and dot products of pairs of bfloat16
// and of 16-bit integers; amx: and the bfloat16 matrix unit.
enum class Level : int { baseline = 0, avx2 = 1, avx512 = 2, avx512bf16 = 3, amx = 4 };
constexpr int kLevels = 5;
const char* levelName(Level level);
Level bestLevel();

struct Op {
  std::string name;
  std::string signature;
  uint32_t written = 0;         // a bit for each tensor: inputs that are updated in place or filled, and all outputs
  uint32_t made = 0;            // the outputs alone
  uint32_t filled = 0;          // memory that was given to be filled, by this call alone or by several together
  Kernel cpu[kLevels][2] = {};  // [level][f32, f64]
};

// Called by SPIKELOOM_KERNEL of cpu/levels.h, once per op and level; null for a type that a level leaves to the one
// below. Returns true so that it can initialise a constant.
bool registerCpuKernel(const char* signature, Level level, Kernel f32, Kernel f64);

const std::vector<Op>& ops();
const std::vector<std::string>& registrationErrors();
std::string opName(const char* signature);

// The kernel of the highest level not above `level`; null where there is none.
Kernel findCpuKernel(const Op& op, Level level, DType real);

}  // namespace spikeloom
