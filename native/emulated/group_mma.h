// What native/cuda/group_mma.cuh gives a kernel, on the host: every warp of a group multiplies its own 16 lines, at once and not beside
// its threads.
#pragma once
#include <cstring>

#include "emulated/mma.h"

namespace spikeloom::cuda {

constexpr bool kGroupsCompiled = true;

struct GroupTile {
  const unsigned char* start;

  explicit GroupTile(const void* shared) : start(static_cast<const unsigned char*>(shared)) { emulated::checkTile(shared); }
  // Of terms k and k + 1 of a tile that has a term's lines together.
  uint32_t turnedPair(int line, int k) const { return turned(line, k) | static_cast<uint32_t>(turned(line, k + 1)) << 16; }
  uint16_t turned(int line, int k) const { return *reinterpret_cast<const uint16_t*>(start + tilePlace(k, line / 8) + line % 8 * 2); }
  // Terms k and k + 1 of a line.
  uint32_t pair(int line, int k) const { return *reinterpret_cast<const uint32_t*>(start + tilePlace(line, k / 8) + k % 8 * 2); }
};

inline void showToProducts() {}
inline void beginProducts() {}
inline void commitProducts() {}
template <int N>
void waitProducts(GroupSums&) {}
template <int N, int kCount>
void waitProducts(GroupSums&, uint32_t (&)[kCount][4]) {}

inline void multiplyGroup(GroupSums& d, const uint32_t (&a)[4], const GroupTile& b, int step, const char* file = __builtin_FILE(),
                          int line = __builtin_LINE()) {
  const int lane = threadIdx.x % 32, k = step * 16 + lane % 4 * 2;
  for (int n = 0; n < 8; n++) {
    const uint32_t columns[2] = {b.pair(n * 8 + lane / 4, k), b.pair(n * 8 + lane / 4, k + 8)};
    emulated::multiply(d[n], a, columns, file, line);
  }
}

inline void multiplyGroup(GroupSums& d, const GroupTile& a, const GroupTile& b, int step, const char* file = __builtin_FILE(),
                          int line = __builtin_LINE()) {
  const int lane = threadIdx.x % 32, k = step * 16 + lane % 4 * 2, first = static_cast<int>(threadIdx.x) / 32 % 4 * 16 + lane / 4;
  const uint32_t lines[4] = {a.pair(first, k), a.pair(first + 8, k), a.pair(first, k + 8), a.pair(first + 8, k + 8)};
  multiplyGroup(d, lines, b, step, file, line);
}

inline void multiplyTurned(GroupSums& d, const uint32_t (&a)[4], const GroupTile& b, int step, const char* file = __builtin_FILE(),
                           int line = __builtin_LINE()) {
  const int lane = threadIdx.x % 32, k = step * 16 + lane % 4 * 2;
  for (int n = 0; n < 8; n++) {
    const uint32_t columns[2] = {b.turnedPair(n * 8 + lane / 4, k), b.turnedPair(n * 8 + lane / 4, k + 8)};
    emulated::multiply(d[n], a, columns, file, line);
  }
}

inline void multiplyTurned(GroupSums& d, const GroupTile& a, const GroupTile& b, int step, const char* file = __builtin_FILE(),
                           int line = __builtin_LINE()) {
  const int lane = threadIdx.x % 32, k = step * 16 + lane % 4 * 2, first = static_cast<int>(threadIdx.x) / 32 % 4 * 16 + lane / 4;
  const uint32_t lines[4] = {a.turnedPair(first, k), a.turnedPair(first + 8, k), a.turnedPair(first, k + 8), a.turnedPair(first + 8, k + 8)};
  multiplyTurned(d, lines, b, step, file, line);
}

}  // namespace spikeloom::cuda
