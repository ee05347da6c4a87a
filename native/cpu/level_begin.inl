// Opens the namespace and the compiler target of the level that is being compiled (see cpu/levels.h).
#if SPIKELOOM_LEVEL_NOW == 4
SPIKELOOM_TARGET(SPIKELOOM_AVX512BF16 ",amx-tile,amx-bf16")
namespace spikeloom::amx {
namespace {
constexpr Level kLevel = Level::amx;
constexpr int kVectorBytes = 64;
#elif SPIKELOOM_LEVEL_NOW == 3
SPIKELOOM_TARGET(SPIKELOOM_AVX512BF16)
namespace spikeloom::avx512bf16 {
namespace {
constexpr Level kLevel = Level::avx512bf16;
constexpr int kVectorBytes = 64;
#elif SPIKELOOM_LEVEL_NOW == 2
SPIKELOOM_TARGET(SPIKELOOM_AVX512)
namespace spikeloom::avx512 {
namespace {
constexpr Level kLevel = Level::avx512;
constexpr int kVectorBytes = 64;
#elif SPIKELOOM_LEVEL_NOW == 1
SPIKELOOM_TARGET(SPIKELOOM_AVX2)
namespace spikeloom::avx2 {
namespace {
constexpr Level kLevel = Level::avx2;
constexpr int kVectorBytes = 32;
#else
namespace spikeloom::baseline {
namespace {
constexpr Level kLevel = Level::baseline;
constexpr int kVectorBytes = 16;
#endif
#if defined(SPIKELOOM_SOFTWARE_LEVELS) && SPIKELOOM_LEVEL_NOW >= 2
#include "cpu/software_vectors.inl"
#endif
#include "cpu/simd.inl"
