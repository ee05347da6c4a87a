#include "core/registry.h"

#include <algorithm>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace spikeloom {
namespace {

std::vector<Op>& table() {
  static std::vector<Op> ops;
  return ops;
}

std::vector<std::string>& errors() {
  static std::vector<std::string> found;
  return found;
}

#if defined(__x86_64__) && !defined(SPIKELOOM_SOFTWARE_LEVELS)
// Whether there is an AMX unit for bfloat16 and the system lets this process use it (Linux gives its state on request
// only).
bool hasMatrixUnit() {
#if defined(__linux__)
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;
  if ((d & kBf16) == 0 || (d & kTile) == 0) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

// The tensors of a signature (lib/core/signature.ts reads the rest of it): inputs are marked '!' where they are updated
// in place, '=' where they are memory to be filled, and every tensor behind them is an output.
void readWritten(const std::string& signature, Op* op) {
  uint32_t updated = 0, filled = 0, input = 0;
  bool inBrackets = false;
  for (size_t i = signature.find('(') + 1; i < signature.size() && signature[i] != ';' && signature[i] != ')'; i++) {
    const char c = signature[i];
    if (c == '[' || c == ']') inBrackets = c == '[';
    else if (c == ',' && !inBrackets) input++;
    else if (c == '!') updated |= uint32_t{1} << input;
    else if (c == '=') filled |= uint32_t{1} << input;
  }
  op->made = ~uint32_t{1} << input;
  op->filled = filled;
  op->written = updated | filled | op->made;
}

}  // namespace

const char* levelName(Level level) {
  static const char* const kNames[kLevels] = {"baseline", "avx2", "avx512", "avx512bf16", "amx"};
  return kNames[static_cast<int>(level)];
}

Level bestLevel() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
#if defined(SPIKELOOM_SOFTWARE_LEVELS)  // cpu/software_vectors.inl, cpu/software_tiles.inl
  return avx2 ? Level::amx : Level::baseline;
#else
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  const bool pairs = avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
  if (pairs) return hasMatrixUnit() ? Level::amx : Level::avx512bf16;
  if (avx512) return Level::avx512;
  if (avx2) return Level::avx2;
#endif
#endif
  return Level::baseline;
}

std::string opName(const char* signature) {
  const std::string text(signature);
  return text.substr(0, text.find('('));
}

bool registerCpuKernel(const char* signature, Level level, Kernel f32, Kernel f64) {
  const std::string name = opName(signature);
  auto& all = table();
  auto it = std::find_if(all.begin(), all.end(), [&](const Op& op) { return op.name == name; });
  if (it == all.end()) {
    all.push_back(Op{name, signature});
    readWritten(signature, &all.back());
    it = all.end() - 1;
  } else if (it->signature != signature) {
    errors().push_back("op '" + name + "' is registered with two signatures");
  }
  Kernel(&slot)[2] = it->cpu[static_cast<int>(level)];
  if (slot[0] || slot[1]) errors().push_back("op '" + name + "' is registered twice for level " + levelName(level));
  slot[0] = f32;
  slot[1] = f64;
  return true;
}

const std::vector<Op>& ops() { return table(); }
const std::vector<std::string>& registrationErrors() { return errors(); }

Kernel findCpuKernel(const Op& op, Level level, DType real) {
  const int column = real == DType::f64 ? 1 : 0;
  for (int i = static_cast<int>(level); i >= 0; i--) {
    if (op.cpu[i][column]) return op.cpu[i][column];
  }
  return nullptr;
}

}  // namespace spikeloom
