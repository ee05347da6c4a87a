// The native code without Node: memory, handles, queue, threads, layout, and some kernels at every instruction-set level this machine
// has. Made for runs under the sanitizers (scripts/sanitize.mjs): every tensor here ends exactly where its memory ends.
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/layout.h"
#include "core/memory_plan.h"
#include "core/recorder.h"
#include "core/registry.h"
#include "core/store.h"
#include "core/tensor.h"
#include "cpu/backend.h"
#include "cpu/thread_pool.h"

namespace {

using namespace spikeloom;

int passed = 0, failed = 0;

void check(bool holds, const std::string& what) {
  (holds ? passed : failed)++;
  if (!holds) std::printf("FAILED: %s\n", what.c_str());
}

// A small generator: the same numbers everywhere.
struct Draws {
  uint32_t state = 1;
  uint32_t below(uint32_t n) {
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % n;
  }
};

TensorView viewOf(DType dtype, const std::vector<int64_t>& dims) {
  TensorView view{nullptr, dtype, static_cast<int32_t>(dims.size()), {}};
  for (size_t i = 0; i < dims.size(); i++) view.dims[i] = dims[i];
  return view;
}

// A tensor in memory of exactly its own size.
class Tensor {
 public:
  Tensor(DType dtype, const std::vector<int64_t>& dims) : view(viewOf(dtype, dims)) {
    if (posix_memalign(&view.data, 256, storedBytes(view)) != 0) throw std::bad_alloc();
    std::memset(view.data, 0xff, storedBytes(view));  // what a kernel leaves unwritten shows
  }
  ~Tensor() { std::free(view.data); }
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;

  template <class E>
  void set(const std::vector<E>& host) {
    fromHost(view, host.data(), view.data);
  }
  template <class E>
  std::vector<E> get() const {
    std::vector<E> host(static_cast<size_t>(count(view)));
    toHost(view, view.data, host.data());
    return host;
  }

  TensorView view;
};

// ---- memory

void checkArena() {
  const Backend* backend = cpuBackend();
  Status status{};
  void* context = backend->createContext(0, &status);
  int drains = 0;
  {
    Arena arena(backend, context, [&] { drains++; });
    size_t last = 0;
    for (size_t bytes = 1; bytes < 40000; bytes += 37) {
      const size_t size = Arena::sizeClass(bytes);
      check(size >= bytes && size >= last && (bytes <= 256 || size * 4 <= bytes * 5), "size class of " + std::to_string(bytes));
      check(Arena::sizeClass(size) == size, "a class is its own class: " + std::to_string(size));
      last = size;
    }
    void* first = arena.take(1000, &status);
    arena.give(first, 1000);
    check(arena.take(1001, &status) == first, "a block of the same class comes back");
    check(arena.bytesInUse() == Arena::sizeClass(1000), "bytes in use count classes");
    arena.give(first, 1001);

    const auto round = [&] {
      std::vector<std::pair<void*, size_t>> held;
      for (size_t bytes = 1; bytes < 3000; bytes += 113) {
        held.emplace_back(arena.take(bytes, &status), bytes);
        std::memset(held.back().first, 1, bytes);
      }
      for (const auto& [data, bytes] : held) arena.give(data, bytes);
    };
    round();
    const int64_t allocations = arena.systemAllocations();
    const size_t reserved = arena.bytesReserved(), peak = arena.peakBytes();
    for (int i = 0; i < 5; i++) round();
    check(arena.systemAllocations() == allocations && arena.bytesReserved() == reserved, "no growth after the first round");
    check(arena.peakBytes() == peak && arena.bytesInUse() == 0, "the peak stays, nothing is in use");
    check(drains == 0, "nothing went back to the system");
    arena.resetPeak();
    check(arena.peakBytes() == 0, "the peak starts again");
    status = {};
    check(arena.take(size_t{1} << 50, &status) == nullptr && status.failed, "a pebibyte is refused");
    check(drains == 1 && arena.bytesReserved() == 0, "idle blocks went back first, once the stream was idle");
    status = {};
    arena.give(arena.take(10, &status), 10);
    check(!status.failed, "it goes on after a refusal");
  }
  backend->destroyContext(context);
}

void checkStore() {
  Store store;
  Storage first{nullptr, 4, 0, 0}, second{nullptr, 8, 0, 0};
  const TensorView view = viewOf(DType::f32, {1});
  bool known = false;
  const int64_t a = store.add(view, &first), b = store.add(view, &first);
  check(a != b && store.live() == 2 && first.views == 2, "two views of one storage");
  check(store.remove(a, &known) == nullptr && known, "the first view leaves the storage");
  check(store.view(a) == nullptr && store.storage(a) == nullptr, "a freed handle is unknown");
  check(store.remove(b, &known) == &first && known, "the last view gives it back");
  check(store.remove(b, &known) == nullptr && !known, "twice freed is known as such");
  const int64_t c = store.add(view, &second);
  check(c != a && c != b && store.view(a) == nullptr && store.storage(c) == &second, "a slot used again has a new handle");
  for (const int64_t wrong : {int64_t{0}, int64_t{-1}, int64_t{1} << 52, int64_t{0x7fffffff}, INT64_MIN, INT64_MAX}) {
    check(store.view(wrong) == nullptr, "no tensor " + std::to_string(wrong));
    check(store.remove(wrong, &known) == nullptr && !known, "nothing to free at " + std::to_string(wrong));
  }
  int64_t handle = c;
  for (int i = 0; i < 1000; i++) {
    store.remove(handle, &known);
    const int64_t next = store.add(view, &second);
    if (next == handle || next <= 0 || next >= int64_t{1} << 53) check(false, "handles stay new, positive and below 2^53");
    handle = next;
  }
  check(store.live() == 1, "one is live");
}

// ---- the queue

std::vector<int> order;

void note(const Call& call) { order.push_back(static_cast<int>(call.attributes[0])); }
void breakDown(const Call& call) { fail(call, "no %s", "luck"); }
void outOfMemory(const Call&) { throw std::bad_alloc(); }
void setOne(const Call& call) { as<float>(call.tensors[0])[0] = 1; }
void addOne(const Call& call) { as<float>(call.tensors[0])[0] += 1; }

KernelCall callOf(Kernel kernel, double value, const TensorView& view = {}) {
  KernelCall call{kernel, "test", static_cast<int64_t>(value), 1, {}, {}};
  call.tensors[0] = view;
  call.attributes[0] = value;
  return call;
}

void queueCall(Stream& stream, Kernel kernel, double value, const TensorView& view = {}) {
  Task& task = stream.next();
  task.call = callOf(kernel, value, view);
  task.transfer = nullptr;
  task.control = nullptr;
  stream.push();
}

void queueTransfer(Stream& stream, Transfer* transfer) {
  Task& task = stream.next();
  task.control = nullptr;
  task.transfer = transfer;
  stream.push();
}

void queueWrite(Stream& stream, const TensorView& view, float value) {
  auto* write = new Transfer{Transfer::Kind::write, view, HostBytes(sizeof value), nullptr, "", {}};
  std::memcpy(write->host.data(), &value, sizeof value);
  queueTransfer(stream, write);
}

// Waits for the work queued so far. Returns why it failed ("" if it did not); a read's bytes arrive at `into`.
std::string waitFor(Stream& stream, Transfer::Kind kind = Transfer::Kind::marker, const TensorView& view = {}, void* into = nullptr) {
  int answers = 0;
  Transfer read{kind, view, {}, into, "", [&](Transfer*) { answers++; }};
  queueTransfer(stream, &read);
  stream.drain();
  check(answers == 1, "one answer for one question");
  return read.error;
}

void checkStream() {
  Status status{};
  const Tensor one(DType::f32, {1});  // it outlives the queue, as the arena's memory does
  const auto device = Device::open(cpuBackend(), 0, &status);
  Stream& stream = *device->stream;
  constexpr int kCalls = 10000;  // more than the queue holds
  order.clear();
  for (int i = 0; i < kCalls; i++) queueCall(stream, note, i);
  check(waitFor(stream).empty() && order.size() == kCalls, "every call ran");
  bool rising = true;
  for (int i = 0; i < static_cast<int>(order.size()); i++) rising = rising && order[static_cast<size_t>(i)] == i;
  check(rising, "calls run in their order");

  order.clear();
  queueCall(stream, note, 1);
  queueCall(stream, breakDown, 7);
  queueCall(stream, note, 2);
  check(waitFor(stream) == "test: no luck [call 7]", "a failure is told with its call");
  check(order == std::vector<int>{1}, "what is behind a failure is skipped");
  queueCall(stream, note, 3);
  check(waitFor(stream).empty() && order.back() == 3, "after the answer it goes on");
  queueCall(stream, outOfMemory, 0);
  check(waitFor(stream) == "test: out of memory", "a kernel without memory is a failure too");

  queueWrite(stream, one.view, 2.5f);
  queueCall(stream, addOne, 0, one.view);
  float value = 0;
  check(waitFor(stream, Transfer::Kind::read, one.view, &value).empty(), "a tensor is read");
  check(value == 3.5f, "written, computed, read in order");
  queueCall(stream, breakDown, 0);
  queueWrite(stream, one.view, 9.f);
  value = 0;
  check(!waitFor(stream, Transfer::Kind::read, one.view, &value).empty() && value == 0, "no bytes after a failure");
  check(*as<float>(one.view) == 3.5f, "a write behind a failure is skipped");
  check(stream.queued() == 0, "nothing is queued");
  // The device ends with writes on their way: they are dropped, and freed.
  for (int i = 0; i < 50; i++) queueWrite(stream, one.view, 1.f);
}

// ---- recorded steps

bool overlap(const Life& a, const Life& b) {
  return a.first <= b.last && b.first <= a.last && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

void checkMemoryPlan() {
  Draws draws;
  for (int round = 0; round < 60; round++) {
    std::vector<Life> lives;
    size_t sum = 0;
    const uint32_t blocks = 1 + draws.below(80), calls = 1 + draws.below(60);
    for (uint32_t i = 0; i < blocks; i++) {
      const int64_t first = draws.below(calls), last = first + draws.below(calls);
      lives.push_back({1 + draws.below(20) * draws.below(5000), first, last});
      sum += (lives.back().bytes + 255) / 256 * 256;
    }
    const size_t total = planMemory(lives), least = leastMemory(lives);
    bool apart = true, inside = true;
    for (size_t i = 0; i < lives.size(); i++) {
      inside = inside && lives[i].offset % kBlockAlignment == 0 && lives[i].offset + lives[i].bytes <= total;
      for (size_t j = 0; j < i; j++) apart = apart && !overlap(lives[i], lives[j]);
    }
    check(apart, "blocks that live at the same time lie apart");
    check(inside, "blocks are aligned and lie within the slab");
    check(total <= sum && total >= least, "a plan needs no more than all blocks and no less than those that live at once");
  }
  std::vector<Life> none;
  check(planMemory(none) == 0 && leastMemory(none) == 0, "nothing needs nothing");
  std::vector<Life> chain;
  for (int64_t i = 0; i < 50; i++) chain.push_back({4096, i, i + 1});
  check(planMemory(chain) == 2 * 4096, "a chain of calls needs two blocks");
}

// Records w = x + 1; y = w + 1 on fake kernels (one tensor each, written in place), replays it, and looks at memory and handles.
void checkRecorder() {
  Status status{};
  const auto device = Device::open(cpuBackend(), 0, &status);
  Store store;
  const size_t before = device->arena->bytesInUse();
  const auto make = [&](Recorder& recorder) {
    TensorView view = viewOf(DType::f32, {1});
    Storage* storage = recorder.make(storedBytes(view));
    view.data = storage->data;
    return store.add(view, storage);
  };
  const auto call = [&](Recorder& recorder, Kernel kernel, int64_t handle, double value) {
    Storage* storage = store.storage(handle);
    recorder.call(callOf(kernel, value, *store.view(handle)), &storage);
  };
  const auto forget = [&](Recorder& recorder, int64_t handle) {
    bool known = false;
    Storage* last = store.remove(handle, &known);
    if (last) recorder.freed(last);
  };
  {
    Recorder cancelled(*device, 0, store);
    call(cancelled, addOne, make(cancelled), 0);
  }
  check(store.live() == 0 && device->arena->bytesInUse() == before, "a cancelled recording leaves nothing");

  auto recorder = std::make_unique<Recorder>(*device, 0, store);
  const int64_t kept = make(*recorder), passing = make(*recorder);
  call(*recorder, setOne, passing, 0);
  recorder->cut();
  call(*recorder, setOne, kept, 0);
  call(*recorder, addOne, kept, 1);
  forget(*recorder, passing);
  Recording recording;
  check(recorder->finish(&recording, &status), "there is memory for a small step");
  recorder.reset();
  check(recording.program->parts == std::vector<size_t>{1, 3}, "a cut makes two parts");
  check(recording.workspaceBytes == 256 && recording.resultBytes == 256, "one block passes, one stays");
  const TensorView result = *store.view(kept);
  for (const size_t part : {0, 1, 0, 1}) {
    check(device->workspace->begin(recording.program.get(), part), "parts in their order may run");
    Task& task = device->stream->next();
    task.program = recording.program;
    task.part = part;
    task.workspace = device->workspace->data();
    task.transfer = nullptr;
    task.control = nullptr;
    device->stream->push();
  }
  check(!device->workspace->begin(recording.program.get(), 1), "a part may not run twice");
  float value = 0;
  check(waitFor(*device->stream, Transfer::Kind::read, result, &value).empty(), "a replay has results");
  check(value == 2.f, "every replay computes the same");
  bool known = false;
  check(store.remove(kept, &known) == nullptr, "a program holds its results without their handles");
  for (Storage* storage : recording.held) device->release(storage);
  device->workspace->leave(recording.program.get());
  check(device->arena->bytesInUse() == before, "a freed program leaves nothing");
}

void checkThreadPool() {
  ThreadPool pool(3);
  const auto everyTaskOnce = [&pool](int64_t tasks) {
    std::vector<std::atomic<int>> seen(static_cast<size_t>(tasks));
    std::atomic<bool> known{true};
    const int threads = pool.size();
    auto body = [&](int64_t task, int thread) {
      seen[static_cast<size_t>(task)]++;
      if (thread < 0 || thread >= threads) known = false;
    };
    const TaskBody run = [](void* closure, int64_t task, int thread) { (*static_cast<decltype(body)*>(closure))(task, thread); };
    bool all = pool.run(tasks, run, &body);
    for (const auto& n : seen) all = all && n == 1;
    return all && known;
  };
  for (const int threads : {3, 1, 4, 4, 2, 7, 2}) {
    pool.resize(threads);
    check(pool.size() == threads, "the pool has " + std::to_string(threads) + " threads");
    for (const int64_t tasks : {0, 1, 2, 3, 17, 1000}) check(everyTaskOnce(tasks), std::to_string(tasks) + " tasks, each once");
  }
  bool all = true;
  for (int i = 0; i < 2000; i++) all = all && everyTaskOnce(1 + i % 5);
  check(all, "many small jobs");
  const TaskBody tooLarge = [](void*, int64_t task, int) {
    if (task % 3 == 1) throw std::bad_alloc();
  };
  check(!pool.run(10, tooLarge, nullptr), "a task without memory is told");
  check(everyTaskOnce(10), "and the pool goes on");

  CpuContext context(2);
  void* small = context.scratch(0, 1, 100);
  std::memset(small, 1, 100);
  check(context.scratch(0, 1, 50) == small, "scratch is kept");
  std::memset(context.scratch(0, 1, 100000), 1, 100000);
  check(context.scratch(1, 1, 10) != context.scratch(0, 1, 10), "each thread has its own");
}

// ---- layout

void checkRoundTrip(DType dtype, const std::vector<int64_t>& dims, Draws& draws) {
  const Tensor t(dtype, dims);
  std::vector<uint8_t> host(hostBytes(t.view)), back(hostBytes(t.view), 0xaa);
  for (auto& byte : host) byte = static_cast<uint8_t>(draws.below(dtype == DType::spike ? 2 : 256));
  fromHost(t.view, host.data(), t.view.data);
  toHost(t.view, t.view.data, back.data());
  check(back == host, "round trip of rank " + std::to_string(dims.size()) + ", type " + std::to_string(static_cast<int>(dtype)));
  if (dtype != DType::spike) return;
  const int64_t words = spikeWords(channels(t.view)), used = channels(t.view) % 32;
  bool clear = true;
  for (int64_t p = 0; used != 0 && p < pixels(t.view); p++) clear = clear && as<uint32_t>(t.view)[p * words + words - 1] >> used == 0;
  check(clear, "bits past the channels are 0");
}

void checkLayout() {
  Draws draws;
  const std::vector<std::vector<int64_t>> shapes = {{},        {1},          {5},          {33},           {3, 31},           {2, 32, 1},
                                                    {4, 2, 65}, {2, 33, 3, 5}, {1, 1, 1, 7}, {3, 2, 64, 1, 2}, {2, 3, 5, 7, 1}, {2, 1, 3, 31, 2, 3}};
  for (const auto& dims : shapes) {
    for (const DType dtype : {DType::f32, DType::f64, DType::bf16, DType::u8, DType::i32, DType::spike}) checkRoundTrip(dtype, dims, draws);
  }
  Tensor t(DType::i32, {1, 3, 2, 2});
  t.set<int32_t>({0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23});
  const int32_t* rest = as<int32_t>(t.view);
  check(rest[0] == 0 && rest[1] == 10 && rest[2] == 20 && rest[3] == 1, "channels come last at rest");
}

// ---- kernels

template <class T>
constexpr DType kReal = sizeof(T) == 8 ? DType::f64 : DType::f32;

// Calls an op on tensors in the order of its signature; null for those not given.
template <class T>
void callOp(CpuContext& context, Level level, const char* name, const std::vector<const Tensor*>& tensors, const std::vector<double>& attributes) {
  Kernel kernel = nullptr;
  for (const Op& op : ops()) {
    if (op.name == name) kernel = findCpuKernel(op, level, kReal<T>);
  }
  check(kernel != nullptr, std::string("there is a kernel for ") + name);
  if (!kernel) return;
  TensorView views[kMaxTensors] = {};
  double values[kMaxAttributes] = {};
  for (size_t i = 0; i < tensors.size(); i++) views[i] = tensors[i] ? tensors[i]->view : TensorView{};
  for (size_t i = 0; i < attributes.size(); i++) values[i] = attributes[i];
  Status status{};
  kernel(Call{views, values, &context, &status});
  check(!status.failed, std::string(name) + ": " + status.message);
}

// Small whole numbers: every sum of their products is exact in any order.
template <class T>
std::vector<T> wholeNumbers(int64_t n, Draws& draws) {
  std::vector<T> values(static_cast<size_t>(n));
  for (auto& v : values) v = static_cast<T>(static_cast<int>(draws.below(9)) - 4);
  return values;
}

template <class T>
void checkRelu(CpuContext& context, Level level, Draws& draws) {
  for (const int64_t n : {1, 7, 33, 40001}) {
    Tensor x(kReal<T>, {n}), y(kReal<T>, {n}), gy(kReal<T>, {n}), gx(kReal<T>, {n});
    const auto values = wholeNumbers<T>(n, draws), slopes = wholeNumbers<T>(n, draws);
    x.set(values);
    gy.set(slopes);
    callOp<T>(context, level, "relu", {&x, &y}, {});
    callOp<T>(context, level, "reluGrad", {&gy, &y, &gx}, {});
    auto expected = values, gradient = slopes;
    for (size_t i = 0; i < values.size(); i++) {
      if (values[i] <= 0) expected[i] = gradient[i] = 0;
    }
    check(y.get<T>() == expected && gx.get<T>() == gradient, "relu of " + std::to_string(n));
  }
}

struct Conv {
  int64_t N, C, H, W, O, kh, kw, sh, sw, ph, pw;
  int64_t P() const { return (H + 2 * ph - kh) / sh + 1; }
  int64_t Q() const { return (W + 2 * pw - kw) / sw + 1; }

  // Calls body(x index, w index, y index, o) for every product of the convolution.
  template <class F>
  void eachProduct(F&& body) const {
    for (int64_t i = 0; i < N * O * P() * Q() * C * kh * kw; i++) {
      int64_t r = i;
      const auto take = [&r](int64_t size) {
        const int64_t part = r % size;
        r /= size;
        return part;
      };
      const int64_t b = take(kw), a = take(kh), c = take(C), q = take(Q()), p = take(P()), o = take(O), n = take(N);
      const int64_t h = p * sh + a - ph, w = q * sw + b - pw;
      if (h < 0 || h >= H || w < 0 || w >= W) continue;
      body(static_cast<size_t>(((n * C + c) * H + h) * W + w), static_cast<size_t>(((o * C + c) * kh + a) * kw + b),
           static_cast<size_t>(((n * O + o) * P() + p) * Q() + q), static_cast<size_t>(o));
    }
  }
};

template <class T>
void checkConv(CpuContext& context, Level level, const Conv& g, bool spikes, Draws& draws) {
  const std::vector<int64_t> in = {g.N, g.C, g.H, g.W}, out = {g.N, g.O, g.P(), g.Q()}, kernel = {g.O, g.C, g.kh, g.kw};
  Tensor x(spikes ? DType::spike : kReal<T>, in), w(kReal<T>, kernel), bias(kReal<T>, {g.O}), y(kReal<T>, out), gy(kReal<T>, out),
      gx(kReal<T>, in), gxSum(kReal<T>, in), arrived(kReal<T>, in), gw(kReal<T>, kernel), gb(kReal<T>, {g.O});
  auto xs = wholeNumbers<T>(count(x.view), draws);
  if (spikes) {
    std::vector<uint8_t> fired(xs.size());
    for (size_t i = 0; i < xs.size(); i++) xs[i] = fired[i] = static_cast<uint8_t>(draws.below(2));
    x.set(fired);
  } else {
    x.set(xs);
  }
  const auto ws = wholeNumbers<T>(count(w.view), draws), bs = wholeNumbers<T>(g.O, draws), gys = wholeNumbers<T>(count(gy.view), draws);
  const auto before = wholeNumbers<T>(count(gx.view), draws);
  arrived.set(before);
  w.set(ws);
  bias.set(bs);
  gy.set(gys);
  const std::vector<double> window = {double(g.sh), double(g.sw), double(g.ph), double(g.pw)};
  callOp<T>(context, level, "conv2d", {&x, &w, &bias, &y}, window);
  callOp<T>(context, level, "conv2dGradX", {&gy, &w, nullptr, &gx}, window);
  callOp<T>(context, level, "conv2dGradX", {&gy, &w, &arrived, &gxSum}, window);
  callOp<T>(context, level, "conv2dGradW", {&gy, &x, &gw, &gb}, window);

  std::vector<T> ey(gys.size()), egx(xs.size(), T(0)), egw(ws.size(), T(0)), egb(bs.size(), T(0));
  const size_t area = static_cast<size_t>(g.P() * g.Q());
  for (size_t i = 0; i < ey.size(); i++) {
    ey[i] = bs[i / area % bs.size()];
    egb[i / area % bs.size()] += gys[i];
  }
  g.eachProduct([&](size_t xi, size_t wi, size_t yi, size_t) {
    ey[yi] += xs[xi] * ws[wi];
    egx[xi] += gys[yi] * ws[wi];
    egw[wi] += gys[yi] * xs[xi];
  });
  const std::string name = std::string("conv2d on ") + (spikes ? "spikes" : "numbers") + ", " + std::to_string(g.C) + " to " + std::to_string(g.O);
  check(y.get<T>() == ey, name);
  check(gx.get<T>() == egx, name + ": gradient of x");
  for (size_t i = 0; i < egx.size(); i++) egx[i] += before[i];
  check(gxSum.get<T>() == egx, name + ": gradient of x, added to what has arrived");
  check(gw.get<T>() == egw && gb.get<T>() == egb, name + ": gradient of the weights");
}

template <class T>
void checkLif(CpuContext& context, Level level, int64_t C, bool soft, Draws& draws) {
  const std::vector<int64_t> shape = {3, 2, C, 3, 1}, state = {2, C, 3, 1};
  Tensor x(kReal<T>, shape), v0(kReal<T>, state), s(DType::spike, shape), v(kReal<T>, state), gs(kReal<T>, shape), gx(kReal<T>, shape),
      gv0(kReal<T>, state);
  auto xs = wholeNumbers<T>(count(x.view), draws), vs = wholeNumbers<T>(count(v0.view), draws);
  for (auto& value : xs) value *= T(0.3);
  x.set(xs);
  v0.set(vs);
  gs.set(wholeNumbers<T>(count(gs.view), draws));
  const T decay = T(0.25), vth = T(0.5), threshold = T(1);
  callOp<T>(context, level, "lif", {&x, &v0, nullptr, &s, &v}, {0.25, 0.5, 1, soft ? 1.0 : 0.0});
  callOp<T>(context, level, "lifGrad", {&gs, nullptr, &x, &s, &v0, nullptr, &gx, &gv0, nullptr}, {0.25, 0.5, 1, soft ? 1.0 : 0.0, 0, 0, 1});
  std::vector<uint8_t> fired(xs.size());
  for (size_t i = 0; i < xs.size(); i++) {
    T& now = vs[i % vs.size()];
    const T u = decay * now + xs[i];
    fired[i] = u / vth > threshold;
    now = soft ? u - (fired[i] ? threshold * vth : T(0)) : fired[i] ? T(0) : u;
  }
  const std::string name = "lif of " + std::to_string(C) + " channels" + (soft ? ", soft" : "");
  check(s.get<uint8_t>() == fired, name + ": spikes");
  check(v.get<T>() == vs, name + ": membrane");
  bool finite = true;
  for (const auto* t : {&gx, &gv0}) {
    for (const T value : t->template get<T>()) finite = finite && std::isfinite(value);
  }
  check(finite, name + ": gradients are whole");
}

template <class T>
void checkKernels(CpuContext& context, Level level) {
  Draws draws;
  checkRelu<T>(context, level, draws);
  const Conv convs[] = {{2, 33, 5, 7, 5, 3, 3, 1, 1, 1, 1}, {1, 3, 6, 5, 17, 3, 2, 2, 1, 0, 1}, {3, 64, 1, 1, 1, 1, 1, 1, 1, 0, 0},
                        {1, 1, 9, 8, 2, 5, 5, 2, 3, 2, 2},  {2, 31, 3, 3, 40, 1, 1, 2, 2, 0, 0}};
  for (const Conv& g : convs) {
    checkConv<T>(context, level, g, true, draws);
    checkConv<T>(context, level, g, false, draws);
  }
  for (const int64_t C : {1, 31, 32, 33, 64, 70}) {
    checkLif<T>(context, level, C, false, draws);
    checkLif<T>(context, level, C, true, draws);
  }
}

}  // namespace

int main() {
  check(registrationErrors().empty(), "every op is registered once");
  checkArena();
  checkStore();
  checkStream();
  checkMemoryPlan();
  checkRecorder();
  checkThreadPool();
  checkLayout();
  for (int level = 0; level <= static_cast<int>(bestLevel()); level++) {
    CpuContext context(2);
    const int before = failed;
    checkKernels<float>(context, static_cast<Level>(level));
    checkKernels<double>(context, static_cast<Level>(level));
    if (failed > before) std::printf("  at level %s\n", levelName(static_cast<Level>(level)));
  }
  std::printf("self-check: %d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
