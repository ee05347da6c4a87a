// What this machine can do at most, as one JSON line: memory bandwidth by the size of the working set, and peaks of arithmetic.
//
//   g++ -std=c++17 -O3 -march=native -pthread bench/native/ceilings.cpp -o ceilings && ./ceilings THREADS
//
// Bandwidth counts the bytes that a program asks for: read 1 array, copy 2, triad and update (in place) 3; lines that are read only because
// they are written to do not count. Every thread works on a part of its own, as a kernel's tasks do. The best of several tries counts.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__AMX_BF16__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#define HAS_MATRIX_UNIT 1
#endif

namespace {

constexpr int kTries = 5;
constexpr double kSecondsPerTry = 0.05;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// The least seconds in which all threads do `work(thread)` once; each repeats it `times` times a try.
double fastest(int threads, long times, const std::function<void(int)>& work) {
  double best = 1e30;
  for (int tried = 0; tried < kTries; tried++) {
    std::atomic<int> ready{0};
    std::vector<double> starts(static_cast<size_t>(threads)), ends(static_cast<size_t>(threads));
    std::vector<std::thread> team;
    for (int t = 0; t < threads; t++) {
      team.emplace_back([&, t] {
        work(t);
        ready++;
        while (ready < threads) std::this_thread::yield();
        starts[static_cast<size_t>(t)] = now();
        for (long i = 0; i < times; i++) work(t);
        ends[static_cast<size_t>(t)] = now();
      });
    }
    for (std::thread& thread : team) thread.join();
    const double seconds = *std::max_element(ends.begin(), ends.end()) - *std::min_element(starts.begin(), starts.end());
    best = std::min(best, seconds / static_cast<double>(times));
  }
  return best;
}

// Repeats until a try takes long enough to be measured.
double secondsOf(int threads, const std::function<void(int)>& work) {
  const double start = now();
  work(0);
  const double once = std::max(now() - start, 1e-7);
  return fastest(threads, std::max(1L, static_cast<long>(kSecondsPerTry / once)), work);
}

// ---- memory

struct Arrays {
  float *a, *b, *c;
  size_t each;  // floats of a thread's part
};

Arrays partOf(float* memory, size_t floats, int thread, int threads) {
  const size_t each = floats / 3 / static_cast<size_t>(threads) / 64 * 64;
  float* a = memory + static_cast<size_t>(thread) * 3 * each;
  return {a, a + each, a + 2 * each, each};
}

void copy(const Arrays& p) {
  std::memcpy(p.a, p.b, p.each * sizeof(float));
  asm volatile("" ::: "memory");
}

void triad(const Arrays& p) {
  float* __restrict__ a = p.a;
  const float *__restrict__ b = p.b, *__restrict__ c = p.c;
  for (size_t i = 0; i < p.each; i++) a[i] = b[i] + 3.0f * c[i];
  asm volatile("" ::: "memory");
}

void update(const Arrays& p) {
  float* __restrict__ a = p.a;
  const float* __restrict__ b = p.b;
  for (size_t i = 0; i < p.each; i++) a[i] = 0.5f * a[i] + b[i];
  asm volatile("" ::: "memory");
}

// All three arrays; as integers, so that the compiler may add them in any order.
void read(const Arrays& p) {
  const auto* words = reinterpret_cast<const uint32_t*>(p.a);
  uint32_t sum = 0;
  for (size_t i = 0; i < 3 * p.each; i++) sum += words[i];
  asm volatile("" ::"r"(sum) : "memory");
}

void printBandwidth(int threads) {
  const size_t sizes[] = {1, 4, 24, 64, 256, 1024};  // MiB
  const size_t largest = sizes[5] << 20;
  auto* memory = static_cast<float*>(std::aligned_alloc(4096, largest));
  if (!memory) std::exit(1);
  for (size_t i = 0; i < largest / sizeof(float); i++) memory[i] = 1.0f;
  std::printf("\"bandwidth\":[");
  for (const size_t size : sizes) {
    const size_t floats = (size << 20) / sizeof(float);
    const double bytes = static_cast<double>(partOf(memory, floats, 0, threads).each) * threads * sizeof(float);
    const auto with = [&](void (*kernel)(const Arrays&)) {
      return secondsOf(threads, [&](int t) { kernel(partOf(memory, floats, t, threads)); });
    };
    std::printf("%s{\"bytes\":%zu,", size == sizes[0] ? "" : ",", size << 20);
    std::printf("\"copy\":%.6g,\"triad\":%.6g,", 2 * bytes / with(copy), 3 * bytes / with(triad));
    std::printf("\"update\":%.6g,\"read\":%.6g}", 3 * bytes / with(update), 3 * bytes / with(read));
  }
  std::printf("]");
  std::free(memory);
}

// ---- arithmetic

constexpr long kRounds = 4096;
std::atomic<float> sink{0};

#if defined(__AVX512F__)
using Vector = __m512;
#define LANES 16
#elif defined(__AVX2__) && defined(__FMA__)
using Vector = __m256;
#define LANES 8
#endif

// Independent chains of fused multiply-adds, enough of them to hide the latency. Returns operations.
double multiplyAdd(int) {
#if defined(LANES)
  constexpr int kChains = LANES == 16 ? 24 : 12;
  Vector x[kChains];
  for (int i = 0; i < kChains; i++) x[i] = Vector{} + static_cast<float>(i);
  const Vector m = Vector{} + 0.999f, n = Vector{} + 0.001f;
  for (long r = 0; r < kRounds; r++) {
#pragma GCC unroll 24
    for (int i = 0; i < kChains; i++) {
#if LANES == 16
      x[i] = _mm512_fmadd_ps(x[i], m, n);
#else
      x[i] = _mm256_fmadd_ps(x[i], m, n);
#endif
    }
  }
  Vector sum = x[0];
  for (int i = 1; i < kChains; i++) sum += x[i];
  sink = sum[0];
  return 2.0 * LANES * kChains * kRounds;
#else
  constexpr int kChains = 64;
  float x[kChains];
  for (int i = 0; i < kChains; i++) x[i] = static_cast<float>(i);
  for (long r = 0; r < kRounds; r++) {
    for (int i = 0; i < kChains; i++) x[i] = x[i] * 0.999f + 0.001f;
  }
  for (int i = 1; i < kChains; i++) x[0] += x[i];
  sink = x[0];
  return 2.0 * kChains * kRounds;
#endif
}

#if defined(__AVX512BF16__)
// Independent chains of dot products: each adds two products of bf16 factors to every lane.
double multiplyPairs(int) {
  constexpr int kChains = 16;
  __m512 x[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; i++) x[i] = __m512{} + static_cast<float>(i);
  __m512bh m = (__m512bh)_mm512_set1_epi16(0x3f7f), n = (__m512bh)_mm512_set1_epi16(0x3a83);
  asm volatile("" : "+v"(m), "+v"(n));
  for (long r = 0; r < kRounds; r++) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; i++) x[i] = _mm512_dpbf16_ps(x[i], m, n);
  }
  __m512 sum = x[0];
#pragma GCC unroll 16
  for (int i = 1; i < kChains; i++) sum += x[i];
  sink = sum[0];
  return 4.0 * 16 * kChains * kRounds;
}
#endif

#if defined(LANES) && !defined(__AVX512BF16__)
#define HAS_SHORTS 1
// Independent chains of sums: each adds two products of 16-bit integers to every lane of 32 bits.
double multiplyShorts(int) {
  constexpr int kChains = 8;
  __m256i x[kChains], product, m = _mm256_set1_epi16(3), n = _mm256_set1_epi16(5);
#pragma GCC unroll 8
  for (int i = 0; i < kChains; i++) x[i] = _mm256_set1_epi32(i);
  for (long r = 0; r < kRounds; r++) {
#pragma GCC unroll 8
    for (int i = 0; i < kChains; i++) {
      asm volatile("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(x[i]), "=&x"(product) : "x"(m), "x"(n));
    }
  }
#pragma GCC unroll 8
  for (int i = 1; i < kChains; i++) x[0] = _mm256_add_epi32(x[0], x[i]);
  sink = static_cast<float>(_mm256_extract_epi32(x[0], 0));
  return 4.0 * 8 * kChains * kRounds;
}
#endif

#if defined(HAS_MATRIX_UNIT)
// Palette 1: from byte 16 the bytes of a row of every tile (16 bits each), from byte 48 its rows; all eight tiles are 16 rows of 64 bytes.
alignas(64) uint8_t settings[64] = {1};

alignas(64) uint16_t factors[4][512];

// The kernel hands out the tiles' registers on request: ARCH_REQ_XCOMP_PERM of feature 18.
bool askForTiles() {
  for (int i = 0; i < 8; i++) {
    settings[16 + 2 * i] = 64;
    settings[48 + i] = 16;
  }
  return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

// Four sums of 16 x 16 from two tiles on each side, loaded once: the unit alone is measured. A product is 16 x 16 x 32.
double multiplyTiles(int) {
  _tile_loadconfig(settings);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, factors[0], 64);
  _tile_loadd(5, factors[1], 64);
  _tile_loadd(6, factors[2], 64);
  _tile_loadd(7, factors[3], 64);
  for (long r = 0; r < kRounds; r++) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    asm volatile("");
  }
  _tile_release();
  return 4.0 * kRounds * 2 * 16 * 16 * 32;
}
#endif

double operationsPerSecond(int threads, double (*kernel)(int)) {
  const double each = kernel(0);
  return each * threads / secondsOf(threads, [&](int t) { kernel(t); });
}

}  // namespace

int main(int count, char** words) {
  const int threads = std::max(1, count > 1 ? std::atoi(words[1]) : 1);
#if defined(__AVX512F__)
  const char* vectors = "avx512";
#elif defined(LANES)
  const char* vectors = "avx2";
#else
  const char* vectors = "baseline";
#endif
  std::printf("{\"threads\":%d,\"vectors\":\"%s\",", threads, vectors);
  printBandwidth(threads);
  std::printf(",\"f32\":%.6g", operationsPerSecond(threads, multiplyAdd));
  double bf16 = 0;
#if defined(__AVX512BF16__)
  bf16 = operationsPerSecond(threads, multiplyPairs);
#endif
#if defined(HAS_MATRIX_UNIT)
  if (askForTiles()) bf16 = operationsPerSecond(threads, multiplyTiles);
#endif
  if (bf16 > 0) std::printf(",\"bf16\":%.6g", bf16);
#if defined(HAS_SHORTS)
  std::printf(",\"i16\":%.6g", operationsPerSecond(threads, multiplyShorts));
#endif
  std::printf("}\n");
  return 0;
}
