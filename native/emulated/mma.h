// What native/cuda/mma.cuh gives a kernel, on the host: copies that arrive at the wait and not before, and tiles in the
// fragment layouts of PTX. Sums of a product run in order over k in f32, which is not how a tensor core rounds.
#pragma once
#include <cstdint>

#include "emulated/device.h"

namespace spikeloom::emulated {

void copyLater(void* shared, const void* global, size_t bytes, bool valid);
void closeCopies();
void awaitCopies(int left);
void loadMatrix(uint32_t* r, const void* row, int matrices, bool isTransposed, const char* file, int line);
void checkTile(const void* shared);
void multiply(float* d, const uint32_t* a, const uint32_t* b, const char* file, int line);

}  // namespace spikeloom::emulated

#define SPIKELOOM_FROM const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace spikeloom::cuda {

inline void copyAsync16(void* shared, const void* global, bool valid) { emulated::copyLater(shared, global, 16, valid); }
inline void copyAsync16Kept(void* shared, const void* global, bool valid) { emulated::copyLater(shared, global, 16, valid); }
inline void copyAsync8(void* shared, const void* global, bool valid) { emulated::copyLater(shared, global, 8, valid); }
inline void copyAsync4(void* shared, const void* global, bool valid) { emulated::copyLater(shared, global, 4, valid); }
inline void commitCopies() { emulated::closeCopies(); }
template <int N>
void waitCopies() {
  emulated::awaitCopies(N);
}

inline void loadMatrix4(uint32_t (&r)[4], const void* row, SPIKELOOM_FROM) { emulated::loadMatrix(r, row, 4, false, file, line); }
inline void loadMatrix2(uint32_t (&r)[2], const void* row, SPIKELOOM_FROM) { emulated::loadMatrix(r, row, 2, false, file, line); }
inline void loadMatrix4Transposed(uint32_t (&r)[4], const void* row, SPIKELOOM_FROM) { emulated::loadMatrix(r, row, 4, true, file, line); }
inline void loadMatrix2Transposed(uint32_t (&r)[2], const void* row, SPIKELOOM_FROM) { emulated::loadMatrix(r, row, 2, true, file, line); }
inline void multiplyTiles(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], SPIKELOOM_FROM) {
  emulated::multiply(d, a, b, file, line);
}

}  // namespace spikeloom::cuda

#undef SPIKELOOM_FROM
