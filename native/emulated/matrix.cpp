// Asynchronous copies and products of tiles (mma.h).
#include <cstring>
#include <deque>

#include "emulated/machine.h"
#include "emulated/meeting.h"
#include "emulated/mma.h"

namespace spikeloom::emulated {
namespace {

// A copy under way. The data leave the source when it is queued, or at any time until the wait: the source must not
// change meanwhile, which the race check finds. The target holds poison until the wait.
struct Copy {
  uintptr_t to;
  size_t bytes;
  unsigned char data[16];
};
struct Copies {
  std::vector<Copy> open;
  std::deque<std::vector<Copy>> groups;
};
Copies copies[kMostThreads];

struct MatrixLoad {
  uint16_t row[8];
  int matrices;
  bool isTransposed;
  uint32_t* result;
};

struct Product {
  float* d;
  const uint32_t* a;
  const uint32_t* b;
};

bool isShared(uintptr_t at) { return machine.shared.holds(at) || machine.dynamicArena.holds(at); }

uint32_t pairOf(uint16_t low, uint16_t high) { return low | static_cast<uint32_t>(high) << 16; }

float elementOf(uint32_t pair, int which) {
  const uint32_t bits = which == 0 ? pair << 16 : pair & 0xffff0000u;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// The factors put together from what the lanes hold.
struct Factors {
  float a[16][16], b[16][8];

  explicit Factors(const Product* const* lanes) {
    for (int lane = 0; lane < static_cast<int>(kLanes); lane++) {
      const int row = lane / 4, pair = lane % 4 * 2;
      for (int which = 0; which < 2; which++) {
        for (int i = 0; i < 4; i++) a[row + i % 2 * 8][pair + i / 2 * 8 + which] = elementOf(lanes[lane]->a[i], which);
        for (int i = 0; i < 2; i++) b[pair + i * 8 + which][row] = elementOf(lanes[lane]->b[i], which);
      }
    }
  }
};

}  // namespace

void forgetCopies() {
  for (unsigned i = 0; i < machine.threads; i++) copies[i] = {};
}

void copyLater(void* shared, const void* global, size_t bytes, bool valid) {
  const uintptr_t pc = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  const uintptr_t to = reinterpret_cast<uintptr_t>(shared), from = reinterpret_cast<uintptr_t>(global);
  if (!isShared(to)) stop("copies to what is not shared memory", pc);
  checkAccess(to, bytes, Access::write, true, pc);
  Copy copy{to, bytes, {}};
  if (valid) {
    if (!machine.device.holds(from)) stop("copies from what is not global memory", pc);
    checkAccess(from, bytes, Access::read, true, pc);
    std::memcpy(copy.data, global, bytes);
  }
  poison(to, bytes);
  copies[machine.thread].open.push_back(copy);
  machine.hasCopies = true;
}

void closeCopies() {
  Copies& own = copies[machine.thread];
  own.groups.push_back(std::move(own.open));
  own.open.clear();
  machine.hasCopies = true;
}

void awaitCopies(int left) {
  const uintptr_t pc = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  Copies& own = copies[machine.thread];
  while (own.groups.size() > static_cast<size_t>(left)) {
    for (const Copy& copy : own.groups.front()) {
      checkAccess(copy.to, copy.bytes, Access::write, true, pc);
      std::memcpy(reinterpret_cast<void*>(copy.to), copy.data, copy.bytes);
    }
    own.groups.pop_front();
  }
}

void loadMatrix(uint32_t* r, const void* row, int matrices, bool isTransposed, const char* file, int line) {
  const uintptr_t pc = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  const uintptr_t at = reinterpret_cast<uintptr_t>(row);
  MatrixLoad load{{}, matrices, isTransposed, r};
  if (machine.thread % kLanes < static_cast<unsigned>(8 * matrices)) {
    if (!isShared(at)) stop("loads a matrix from what is not shared memory", pc);
    checkAccess(at, sizeof load.row, Access::read, true, pc);
    std::memcpy(load.row, row, sizeof load.row);
  }
  Exchange exchange;
  exchange.data = &load;
  meetWarp(Meeting::loadMatrix, 0xffffffffu, &exchange, file, line);
}

// Swizzled blocks of a tile are found by bits of their addresses, so a GPU reads other blocks of one that begins elsewhere.
void checkTile(const void* shared) {
  const uintptr_t pc = reinterpret_cast<uintptr_t>(__builtin_return_address(0)), at = reinterpret_cast<uintptr_t>(shared);
  if (!isShared(at)) stop("multiplies a tile that is not in shared memory", pc);
  if (at % 1024 != 0) stop(text("multiplies a tile that begins %zu bytes behind a multiple of 1024", static_cast<size_t>(at % 1024)), pc);
}

std::string loadMatrixOfWarp(Exchange* const* lanes) {
  const auto loadOf = [&](int lane) { return static_cast<MatrixLoad*>(lanes[lane]->data); };
  for (int lane = 0; lane < static_cast<int>(kLanes); lane++) {
    const MatrixLoad& own = *loadOf(lane);
    if (own.matrices != loadOf(0)->matrices || own.isTransposed != loadOf(0)->isTransposed) return "the lanes load different numbers of matrices";
    for (int i = 0; i < own.matrices; i++) {
      const int line = lane / 4, pair = lane % 4 * 2;
      if (own.isTransposed) own.result[i] = pairOf(loadOf(8 * i + pair)->row[line], loadOf(8 * i + pair + 1)->row[line]);
      else own.result[i] = pairOf(loadOf(8 * i + line)->row[pair], loadOf(8 * i + line)->row[pair + 1]);
    }
  }
  return "";
}

void multiply(float* d, const uint32_t* a, const uint32_t* b, const char* file, int line) {
  Product product{d, a, b};
  Exchange exchange;
  exchange.data = &product;
  meetWarp(Meeting::multiplyTiles, 0xffffffffu, &exchange, file, line);
}

std::string multiplyTilesOfWarp(Exchange* const* exchanges) {
  const Product* lanes[kLanes];
  for (unsigned lane = 0; lane < kLanes; lane++) lanes[lane] = static_cast<const Product*>(exchanges[lane]->data);
  const Factors factors(lanes);
  float c[16][8];
  const auto place = [&](int lane, int i) -> float& { return c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2]; };
  for (int lane = 0; lane < static_cast<int>(kLanes); lane++) {
    for (int i = 0; i < 4; i++) place(lane, i) = lanes[lane]->d[i];
  }
  for (int row = 0; row < 16; row++) {
    for (int k = 0; k < 16; k++) {
      for (int column = 0; column < 8; column++) c[row][column] += factors.a[row][k] * factors.b[k][column];
    }
  }
  for (int lane = 0; lane < static_cast<int>(kLanes); lane++) {
    for (int i = 0; i < 4; i++) lanes[lane]->d[i] = place(lane, i);
  }
  return "";
}

}  // namespace spikeloom::emulated
