// What the kernels of this folder are run with: device memory of floats, launches, and a line per case for the test to read.
#pragma once
#include <cuda_runtime.h>

#include <cstdio>
#include <string>
#include <vector>

namespace harness {

struct Case {
  const char* name;
  std::string (*run)();  // "fine", or what was found
};
inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

inline std::string outcome() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? "fine" : cudaGetErrorString(error);
}

// A launch of `blocks` blocks of `threads` threads; what the emulator says of it.
template <class... P, class... A>
std::string run(void (*kernel)(P...), unsigned blocks, int threads, size_t sharedBytes, A... arguments) {
  spikeloom::emulated::launch(kernel, blocks, threads, sharedBytes, nullptr, arguments...);
  return outcome();
}

template <class T = float>
struct Memory {
  T* data = nullptr;
  size_t count;

  explicit Memory(size_t n) : count(n) { cudaMalloc(&data, n * sizeof(T)); }
  explicit Memory(const std::vector<T>& values) : Memory(values.size()) { cudaMemcpy(data, values.data(), count * sizeof(T), cudaMemcpyHostToDevice); }
  ~Memory() { cudaFree(data); }
  std::vector<T> read() const {
    std::vector<T> values(count);
    cudaMemcpy(values.data(), data, count * sizeof(T), cudaMemcpyDeviceToHost);
    return values;
  }
};

// "fine" where the launch was and the values are those.
template <class T>
std::string expect(const std::string& launch, const std::vector<T>& actual, const std::vector<T>& expected) {
  if (launch != "fine") return launch;
  for (size_t i = 0; i < expected.size(); i++) {
    if (!(actual[i] == expected[i])) return "element " + std::to_string(i) + " is " + std::to_string(actual[i]) + " and not " + std::to_string(expected[i]);
  }
  return "fine";
}

// Reads after the launch: its arguments may be worked out in any order.
template <class T>
std::string expect(const std::string& launch, const Memory<T>& actual, const std::vector<T>& expected) {
  return launch == "fine" ? expect(launch, actual.read(), expected) : launch;
}

struct Add {
  Add(const char* name, std::string (*run)()) { cases().push_back({name, run}); }
};

}  // namespace harness

#define CASE(name)                                        \
  static std::string name();                              \
  static const harness::Add kAdd_##name(#name, name);     \
  static std::string name()
