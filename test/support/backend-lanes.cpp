// A backend for tests, built with g++, of two lanes: what is noted is run as late as its waits allow, at one launch the second lane, at the
// next the first. Memory of the process; kernels add and relu. With TEST_DEAF it hears no wait, with TEST_NARROW nothing is noted that is not
// on the first lane.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace {

using namespace spikeloom;

// A call, or a mark, or a wait for one.
struct Note {
  Kernel kernel = nullptr;
  std::vector<TensorView> tensors;
  int64_t number = 0;
  bool isWait = false;
};

struct Row {
  std::vector<Note> lanes[2];
  size_t done[2] = {0, 0};
  size_t calls = 0;  // of the first lane that are done
  std::set<int64_t> passed;
  size_t launches = 0;
};

struct Context {
  Row* noting = nullptr;
  int lane = 0;
  size_t waits = 0;  // noted so far
  size_t ahead = 0;  // how many calls of the first lane were done at most before one of the second
};

#if !defined(TEST_DEAF)
#define TEST_DEAF false
#endif
#if !defined(TEST_NARROW)
#define TEST_NARROW false
#endif
constexpr int64_t kFork = -1;
Context& of(void* context) { return *static_cast<Context*>(context); }
std::vector<Note>& lane(Context& context) { return context.noting->lanes[context.lane]; }

void fail(Status* status, const char* message) {
  status->failed = true;
  std::strcpy(status->message, message);
}

template <float (*compute)(float, float), int inputs>
void each(const Call& call) {
  Context& context = of(call.context);
  if (context.noting && context.lane == 1 && TEST_NARROW) return fail(call.status, "there is one lane");
  if (context.noting) return lane(context).push_back({each<compute, inputs>, {call.tensors, call.tensors + inputs + 1}});
  const TensorView& z = call.tensors[inputs];
  for (int64_t i = 0; i < count(z); i++) as<float>(z)[i] = compute(as<float>(call.tensors[0])[i], as<float>(call.tensors[inputs - 1])[i]);
}

float sum(float x, float y) { return x + y; }
float rectified(float x, float) { return x > 0 ? x : 0; }

Kernel find(const char* op, DType real) {
  if (real != DType::f32) return nullptr;
  if (std::strcmp(op, "add") == 0) return each<sum, 2>;
  return std::strcmp(op, "relu") == 0 ? each<rectified, 1> : nullptr;
}

// A lane to its end, or until it has passed a mark.
void run(void* context, Row& row, int lane, int64_t until) {
  while (row.done[lane] < row.lanes[lane].size() && !row.passed.contains(until)) {
    const Note& note = row.lanes[lane][row.done[lane]++];
    Status status{};
    if (note.kernel) {
      note.kernel({note.tensors.data(), nullptr, context, &status});
      if (lane == 0) row.calls++;
      else of(context).ahead = std::max(of(context).ahead, row.calls);
    } else if (note.isWait) {
      run(context, row, 1 - lane, note.number);
    } else {
      row.passed.insert(note.number);
    }
  }
}

const Captures kCaptures = {
    [](void* context, Status*) { of(context).noting = new Row; },
    [](void* context, Status* status) -> void* {
      Row* row = std::exchange(of(context).noting, nullptr);
      const std::vector<Note>& aside = row->lanes[1];
      const bool isJoined = std::any_of(row->lanes[0].begin(), row->lanes[0].end(), [&](const Note& note) { return note.isWait && note.number == aside.back().number; });
      if (aside.empty() || isJoined || TEST_DEAF) return row;
      fail(status, "the second lane is not waited for");
      delete row;
      return nullptr;
    },
    [](void* context, void* data, Status*) {
      constexpr int64_t kNever = -2;
      Row& row = *static_cast<Row*>(data);
      row.done[0] = row.done[1] = row.calls = 0;
      row.passed.clear();
      const int first = static_cast<int>(row.launches++ % 2);
      run(context, row, first, kNever);
      run(context, row, 1 - first, kNever);
    },
    [](void*, void* row) { delete static_cast<Row*>(row); },
    [](void*) -> int64_t { return 0; },
};

void mark(void* context, int64_t number, Status*) {
  if (of(context).noting) lane(of(context)).push_back({nullptr, {}, number});
}

void wait(void* context, int64_t number, Status*) {
  if (!of(context).noting) return;
  of(context).waits += number != kFork;
  if (!TEST_DEAF) lane(of(context)).push_back({nullptr, {}, number, true});
}

const Lanes kLanes = {
    [](void* data, int32_t lane, Status* status) {
      Context& context = of(data);
      const bool forks = lane == 1 && context.noting && context.noting->lanes[1].empty();
      if (forks) mark(data, kFork, status);
      context.lane = lane;
      if (forks) wait(data, kFork, status);
    },
    mark,
    wait,
};

const Backend kBackend = {
    kAbi,
    "test",
    1,
    "",
    "memory of the process, two lanes",
    [](int32_t, Status*) -> void* { return new Context; },
    [](void* context) { delete static_cast<Context*>(context); },
    [](void*, size_t bytes, Status*) { return std::calloc(1, bytes); },
    [](void*, void* data) { std::free(data); },
    [](void*, void* data, const void* host, size_t bytes, Status*) { std::memcpy(data, host, bytes); },
    [](void*, void* host, const void* data, size_t bytes, Status*) {
      if (bytes > 0) std::memcpy(host, data, bytes);
    },
    find,
    // what a test asks for
    [](void* context, size_t* waits, size_t* ahead) {
      *waits = of(context).waits;
      *ahead = of(context).ahead;
    },
    [](void*) -> const char* { return nullptr; },
    &kCaptures,
    nullptr,
    nullptr,
    false,
    nullptr,
    &kLanes,
};

}  // namespace

extern "C" const Backend* spikeloomBackend() { return &kBackend; }
