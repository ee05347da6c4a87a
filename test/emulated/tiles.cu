// Copies beside arithmetic and products of tiles: what arrives when, and which lane holds what (the layouts of the PTX manual, written out
// anew here).
#include "cuda/divisor.cuh"
#include "cuda/group_mma.cuh"
#include "harness.h"

namespace {

using harness::Memory;
using harness::run;
using namespace spikeloom::cuda;

template <bool kIsRight>
__global__ void copyAndRead(const float* x, float* y, bool valid) {
  __shared__ __align__(16) float s[32 * 4];
  const unsigned i = threadIdx.x;
  copyAsync16(s + 4 * i, x + 4 * i, valid);
  commitCopies();
  if (kIsRight) waitCopies<0>();
  for (unsigned k = 0; k < 4; k++) y[4 * i + k] = s[4 * i + k];
}
std::vector<float> numbers(size_t n) {
  std::vector<float> values;
  for (size_t i = 0; i < n; i++) values.push_back(static_cast<float>(i) + 0.5f);
  return values;
}
CASE(copy_and_wait) { Memory x(numbers(128)), y(128); return harness::expect(run(copyAndRead<true>, 1, 32, 0, x.data, y.data, true), y, numbers(128)); }
CASE(copy_of_zeros) {
  Memory y(128);
  return harness::expect(run(copyAndRead<true>, 1, 32, 0, static_cast<const float*>(nullptr), y.data, false), y, std::vector<float>(128, 0));
}
CASE(copy_without_a_wait) { Memory x(numbers(128)), y(128); return harness::expect(run(copyAndRead<false>, 1, 32, 0, x.data, y.data, true), y, numbers(128)); }

template <int kLeft>
__global__ void twoGroups(const float* x, float* y) {
  __shared__ float s[2];
  copyAsync4(s, x, true);
  commitCopies();
  copyAsync4(s + 1, x + 1, true);
  commitCopies();
  waitCopies<kLeft>();
  y[0] = s[0];
  y[1] = s[1];
}
CASE(wait_for_both_groups) { Memory x(numbers(2)), y(2); return harness::expect(run(twoGroups<0>, 1, 1, 0, x.data, y.data), y, numbers(2)); }
CASE(wait_for_the_first_group) { Memory x(numbers(2)), y(2); return harness::expect(run(twoGroups<1>, 1, 1, 0, x.data, y.data), y, numbers(2)); }

template <bool kIsRight>
__global__ void copyForNeighbour(const float* x, float* y) {
  __shared__ float s[32];
  copyAsync4(s + threadIdx.x, x + threadIdx.x, true);
  commitCopies();
  waitCopies<0>();
  if (kIsRight) __syncthreads();
  y[threadIdx.x] = s[31 - threadIdx.x];
}
CASE(copy_shown_by_a_barrier) { Memory x(numbers(32)), y(32); return run(copyForNeighbour<true>, 1, 32, 0, x.data, y.data); }
CASE(copy_not_shown) { Memory x(numbers(32)), y(32); return run(copyForNeighbour<false>, 1, 32, 0, x.data, y.data); }

__global__ void copyMisaligned(const float* x, int at) {
  __shared__ __align__(16) float s[4];
  copyAsync16(s, x + at, true);
}
CASE(copy_misaligned) { Memory x(32); return run(copyMisaligned, 1, 1, 0, x.data, 1); }
CASE(copy_past_the_end) { Memory x(32); return run(copyMisaligned, 1, 1, 0, x.data, 32); }

// ---- division

// The quotients and rests of numbers around the multiples of `by`, where a product that is a little off would show, and of the largest.
__global__ void divide(Divisor by, const int* numbers, int* quotients, int* rests) {
  const unsigned i = threadIdx.x;
  quotients[i] = by.quotient(numbers[i]);
  rests[i] = by.rest(numbers[i]);
}
CASE(divides_as_the_machine_does) {
  std::vector<int> divisors;
  for (int by = 1; by < 70; by++) divisors.push_back(by);
  for (int bit = 7; bit < 31; bit++) {
    for (int off : {-1, 0, 1}) divisors.push_back((1 << bit) + off);
  }
  for (int by : {1000, 12345, 715827883, 1431655765, 2147483646, 2147483647}) divisors.push_back(by);
  for (int by : divisors) {
    std::vector<int> numbers, quotients, rests;
    for (int multiple : {0, 1, 2, 3, 1000, 2147483647 / by / 2, 2147483647 / by - 1, 2147483647 / by}) {
      for (int64_t off : {-1, 0, 1}) {
        const int64_t number = int64_t{multiple} * by + off;
        numbers.push_back(number < 0 || number > 2147483647 ? 2147483647 : static_cast<int>(number));
      }
    }
    for (int number : numbers) quotients.push_back(number / by), rests.push_back(number % by);
    Memory<int> from(numbers), quotient(numbers.size()), rest(numbers.size());
    const std::string found = run(divide, 1, static_cast<int>(numbers.size()), 0, Divisor(by), from.data, quotient.data, rest.data);
    for (const std::string& said : {harness::expect(found, quotient, quotients), harness::expect(found, rest, rests)}) {
      if (said != "fine") return "by " + std::to_string(by) + ": " + said;
    }
  }
  return "fine";
}

// ---- tiles

// Small whole numbers: exact as bf16, and so is every sum.
float numberOf(int i) { return static_cast<float>((i * 7 + 3) % 17 - 8); }
uint16_t bits(float x) { return static_cast<uint16_t>(__builtin_bit_cast(uint32_t, x) >> 16); }

std::vector<uint16_t> matrix(int count, int seed) {
  std::vector<uint16_t> values;
  for (int i = 0; i < count; i++) values.push_back(bits(numberOf(i + seed)));
  return values;
}
float valueOf(uint16_t x) { return __builtin_bit_cast(float, static_cast<uint32_t>(x) << 16); }

std::vector<float> product(const std::vector<uint16_t>& a, const std::vector<uint16_t>& b, float start) {
  std::vector<float> c(16 * 8, start);
  for (int i = 0; i < 16; i++) {
    for (int j = 0; j < 8; j++) {
      for (int k = 0; k < 16; k++) c[static_cast<size_t>(i * 8 + j)] += valueOf(a[static_cast<size_t>(i * 16 + k)]) * valueOf(b[static_cast<size_t>(k * 8 + j)]);
    }
  }
  return c;
}

__device__ uint32_t pair(uint16_t low, uint16_t high) { return low | static_cast<uint32_t>(high) << 16; }

// Fragments filled by hand, element by element as the manual numbers them.
__global__ void multiplyByHand(const uint16_t* a, const uint16_t* b, float* c) {
  const int lane = static_cast<int>(threadIdx.x), group = lane >> 2, t = lane & 3;
  uint32_t fa[4], fb[2];
  for (int i = 0; i < 8; i += 2) {
    const int row = i < 2 || (i >= 4 && i < 6) ? group : group + 8, column = t * 2 + (i < 4 ? 0 : 8);
    fa[i / 2] = pair(a[row * 16 + column], a[row * 16 + column + 1]);
  }
  for (int i = 0; i < 4; i += 2) {
    const int k = t * 2 + (i < 2 ? 0 : 8);
    fb[i / 2] = pair(b[k * 8 + group], b[(k + 1) * 8 + group]);
  }
  float d[4] = {1, 1, 1, 1};
  multiplyTiles(d, fa, fb);
  for (int i = 0; i < 4; i++) c[(i < 2 ? group : group + 8) * 8 + t * 2 + (i & 1)] = d[i];
}
CASE(product_of_fragments_filled_by_hand) {
  const auto a = matrix(256, 1), b = matrix(128, 5);
  Memory<uint16_t> da(a), db(b);
  Memory c(128);
  return harness::expect(run(multiplyByHand, 1, 32, 0, da.data, db.data, c.data), c, product(a, b, 1));
}

// Fragments from shared memory: a as it lies, b [16][8] turned.
__global__ void multiplyLoaded(const uint16_t* a, const uint16_t* b, float* c) {
  __shared__ __align__(16) uint16_t sa[256], sb[128];
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) sa[i] = a[i];
  for (int i = lane; i < 128; i += 32) sb[i] = b[i];
  __syncwarp();
  uint32_t fa[4], fb[2];
  loadMatrix4(fa, sa + lane % 16 * 16 + lane / 16 * 8);
  loadMatrix2Transposed(fb, sb + lane % 16 * 8);
  float d[4] = {0, 0, 0, 0};
  multiplyTiles(d, fa, fb);
  for (int i = 0; i < 4; i++) c[(i < 2 ? lane / 4 : lane / 4 + 8) * 8 + lane % 4 * 2 + i % 2] = d[i];
}
CASE(product_of_fragments_loaded) {
  const auto a = matrix(256, 2), b = matrix(128, 9);
  Memory<uint16_t> da(a), db(b);
  Memory c(128);
  return harness::expect(run(multiplyLoaded, 1, 32, 0, da.data, db.data, c.data), c, product(a, b, 0));
}

// The transposes: two and four matrices, as the lanes get them.
__global__ void loadAll(uint32_t* y) {
  __shared__ __align__(16) uint16_t s[256];
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) s[i] = static_cast<uint16_t>(i);
  __syncwarp();
  uint32_t four[4], two[2];
  loadMatrix4Transposed(four, s + lane * 8);
  loadMatrix2(two, s + lane % 16 * 8);
  for (int i = 0; i < 4; i++) y[lane * 6 + i] = four[i];
  for (int i = 0; i < 2; i++) y[lane * 6 + 4 + i] = two[i];
}
CASE(matrices_as_lanes_get_them) {
  Memory<uint32_t> y(32 * 6);
  std::vector<uint32_t> expected;
  for (uint32_t lane = 0; lane < 32; lane++) {
    const uint32_t row = lane / 4, t = lane % 4;
    for (uint32_t i = 0; i < 4; i++) expected.push_back((i * 64 + 2 * t * 8 + row) | (i * 64 + (2 * t + 1) * 8 + row) << 16);
    for (uint32_t i = 0; i < 2; i++) expected.push_back((i * 64 + row * 8 + 2 * t) | (i * 64 + row * 8 + 2 * t + 1) << 16);
  }
  return harness::expect(run(loadAll, 1, 32, 0, y.data), y, expected);
}

__global__ void halfAWarp(float* c) {
  float d[4] = {0, 0, 0, 0};
  const uint32_t a[4] = {0, 0, 0, 0}, b[2] = {0, 0};
  if (threadIdx.x < 16) multiplyTiles(d, a, b);
  c[threadIdx.x] = d[0];
}
CASE(product_of_half_a_warp) { Memory c(32); return run(halfAWarp, 1, 32, 0, c.data); }

// A group's product of factors in registers and a tile of zeros.
__global__ void multiplyTileAt(int start, float* c) {
  unsigned char* const tile = sharedTiles() + start;
  for (int i = 0; i < 64; i++) tile[threadIdx.x * 64 + i] = 0;
  __syncthreads();
  GroupSums sums = {};
  const uint32_t a[4] = {0, 0, 0, 0};
  multiplyGroup(sums, a, GroupTile(tile), 0);
  c[threadIdx.x] = sums[0][0];
}
std::string multiplyTile(int start) {
  Memory c(128);
  return harness::expect(run(multiplyTileAt, 1, 128, 8192 + 1024, start, c.data), c, std::vector<float>(128, 0.0f));
}
CASE(product_of_a_tile) { return multiplyTile(1024); }
CASE(product_of_a_tile_elsewhere) { return multiplyTile(512); }

}  // namespace
