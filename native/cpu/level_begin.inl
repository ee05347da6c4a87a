// Opens the namespace and the compiler target of the level that is being compiled (see cpu/levels.h).
#if SPIKELOOM_LEVEL_NOW == 4
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi,bmi2,popcnt,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni,amx-tile,amx-bf16,prefer-vector-width=512")
namespace spikeloom::amx {
namespace {
constexpr Level kLevel = Level::amx;
constexpr int kVectorBytes = 64;
#elif SPIKELOOM_LEVEL_NOW == 3
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi,bmi2,popcnt,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni,prefer-vector-width=512")
namespace spikeloom::avx512bf16 {
namespace {
constexpr Level kLevel = Level::avx512bf16;
constexpr int kVectorBytes = 64;
#elif SPIKELOOM_LEVEL_NOW == 2
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi,bmi2,popcnt,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
namespace spikeloom::avx512 {
namespace {
constexpr Level kLevel = Level::avx512;
constexpr int kVectorBytes = 64;
#elif SPIKELOOM_LEVEL_NOW == 1
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi,bmi2,popcnt,f16c")
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
#include "cpu/simd.inl"
