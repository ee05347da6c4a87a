// The contract between the addon, its kernels and the backends that are loaded at run time: plain data only.
//
// A tensor's shape is logical and in PyTorch's order ([T,B,C,H,W], weights [O,C,kh,kw]). Its storage is channels-last:
// the channel axis (the third from the end for rank 4 and 5, the last otherwise) is moved to the end, dense, row-major.
// A spike tensor stores one bit per element, packed along the channels into ceil(C / 32) words of 32 bits per pixel;
// channel c is bit c % 32 of word c / 32, and the bits past C are 0.
#pragma once
#include <cstddef>
#include <cstdint>

namespace spikeloom {

constexpr int32_t kAbi = 1;
constexpr int kMaxRank = 6;
constexpr int kMaxTensors = 24;
constexpr int kMaxAttributes = 16;

enum class DType : int32_t { f32 = 0, f64 = 1, bf16 = 2, u8 = 3, i32 = 4, spike = 5 };

struct TensorView {
  void* data;  // null: an optional tensor that was not given
  DType dtype;
  int32_t rank;
  int64_t dims[kMaxRank];
};

// Filled by a kernel that cannot go on; the stream reports it at the next read.
struct Status {
  bool failed;
  char message[256];
};

// One queued call: the tensors in the order of the signature (inputs, outputs, saved), then the attributes.
struct Call {
  const TensorView* tensors;
  const double* attributes;
  void* context;  // the backend's own: the thread pool on the CPU, the stream on CUDA
  Status* status;
};

using Kernel = void (*)(const Call&);

// What a backend offers. `score` 0 means it cannot run here, and `reason` says why.
struct Backend {
  int32_t abi;
  const char* name;
  int32_t score;
  const char* reason;
  const char* description;
  void* (*createContext)(int32_t device, Status* status);
  void (*destroyContext)(void* context);
  void* (*allocate)(void* context, size_t bytes, Status* status);
  void (*release)(void* context, void* data);
  // Both copies return when they and all work queued before them are done; with 0 bytes they only wait.
  void (*copyIn)(void* context, void* data, const void* host, size_t bytes, Status* status);
  void (*copyOut)(void* context, void* host, const void* data, size_t bytes, Status* status);
  Kernel (*find)(const char* op, DType real);
};

// The one symbol a backend library exports.
using BackendEntry = const Backend* (*)();
constexpr char kBackendSymbol[] = "spikeloomBackend";

}  // namespace spikeloom
