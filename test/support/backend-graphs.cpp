// A backend for tests, built with g++, with all that a device may offer: rows of calls that are noted and run as one, reads that are late, a
// clock, its memory, its loss. Memory of the process; kernels add and relu, and mul, which refuses to be noted.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <vector>

#include "core/tensor.h"

namespace {

using namespace spikeloom;

struct Row {
  struct Note {
    Kernel kernel;
    std::vector<TensorView> tensors;
  };
  std::vector<Note> notes;
};

struct Read {
  std::vector<char> bytes;
  int polls;
};

struct Context {
  Row* noting = nullptr;
  int64_t generation = 0;
  size_t rows = 0;
  std::deque<Read> reads;
  bool isLost = false;
};

Context& of(void* context) { return *static_cast<Context*>(context); }

void fail(Status* status, const char* message) {
  status->failed = true;
  std::snprintf(status->message, sizeof status->message, "%s", message);
}

constexpr float kMoves = 100, kFalls = 666;  // first elements that move the memory of kernels, or end the device

template <float (*compute)(float, float), int inputs>
void each(const Call& call) {
  Context& context = of(call.context);
  if (context.noting) {
    context.noting->notes.push_back({each<compute, inputs>, {call.tensors, call.tensors + inputs + 1}});
    return;
  }
  const float* x = as<float>(call.tensors[0]);
  const float* y = as<float>(call.tensors[inputs - 1]);
  float* z = as<float>(call.tensors[inputs]);
  if (x[0] == kMoves) context.generation++;
  if (x[0] == kFalls) context.isLost = true;
  if (context.isLost) return fail(call.status, "the device fell over");
  for (int64_t i = 0; i < count(call.tensors[inputs]); i++) z[i] = compute(x[i], y[i]);
}

float sum(float x, float y) { return x + y; }
float product(float x, float y) { return x * y; }
float rectified(float x, float) { return x > 0 ? x : 0; }

void unnotable(const Call& call) {
  if (of(call.context).noting) return fail(call.status, "products are not noted");
  each<product, 2>(call);
}

Kernel find(const char* op, DType real) {
  if (real != DType::f32) return nullptr;
  if (std::strcmp(op, "add") == 0) return each<sum, 2>;
  if (std::strcmp(op, "relu") == 0) return each<rectified, 1>;
  return std::strcmp(op, "mul") == 0 ? unnotable : nullptr;
}

const Captures kCaptures = {
    [](void* context, Status*) { of(context).noting = new Row; },
    [](void* context, Status*) -> void* {
      of(context).rows++;
      Row* row = of(context).noting;
      of(context).noting = nullptr;
      return row;
    },
    [](void* context, void* row, Status* status) {
      for (const Row::Note& note : static_cast<Row*>(row)->notes) note.kernel({note.tensors.data(), nullptr, context, status});
    },
    [](void* context, void* row) {
      of(context).rows--;
      delete static_cast<Row*>(row);
    },
    [](void* context) { return of(context).generation; },
};

const LateReads kLateReads = {
    16, 2,
    [](void* context, const void* data, size_t bytes, Status* status) -> void* {
      if (of(context).isLost) return fail(status, "the device fell over"), nullptr;
      const char* from = static_cast<const char*>(data);
      of(context).reads.push_back({{from, from + bytes}, 3});
      return &of(context).reads.back();
    },
    [](void*, void* read) { return --static_cast<Read*>(read)->polls < 0; },
    [](void* context, void* read, void* host, Status*) {
      const std::vector<char>& bytes = static_cast<Read*>(read)->bytes;
      if (!bytes.empty()) std::memcpy(host, bytes.data(), bytes.size());
      of(context).reads.pop_front();
    },
};

// A second from mark to mark.
const Clock kClock = {
    [](void*, int64_t, Status*) {},
    [](void*, int64_t first, int64_t second, Status*) { return static_cast<double>(second - first); },
};

const Backend kBackend = {
    kAbi,
    "test",
    1,
    "",
    "memory of the process",
    [](int32_t, Status*) -> void* { return new Context; },
    [](void* context) { delete static_cast<Context*>(context); },
    [](void*, size_t bytes, Status*) { return std::malloc(bytes); },
    [](void*, void* data) { std::free(data); },
    [](void*, void* data, const void* host, size_t bytes, Status*) { std::memcpy(data, host, bytes); },
    [](void*, void* host, const void* data, size_t bytes, Status*) {
      if (bytes > 0) std::memcpy(host, data, bytes);
    },
    find,
    // all: 1000; left: less the rows that are kept
    [](void* context, size_t* left, size_t* all) {
      *all = 1000;
      *left = *all - of(context).rows;
    },
    [](void* context) -> const char* { return of(context).isLost ? "the device fell over" : nullptr; },
    &kCaptures,
    &kLateReads,
    &kClock,
};

}  // namespace

extern "C" const Backend* spikeloomBackend() { return &kBackend; }
