// The queue, recorded steps, threads.
#include <algorithm>
#include <atomic>
#include <stdexcept>

#include "core/device.h"
#include "core/early_updates.h"
#include "core/late_gradients.h"
#include "core/lanes.h"
#include "core/memory_plan.h"
#include "core/recorder.h"
#include "cpu/thread_pool.h"
#include "test/self_check/check.h"

namespace spikeloom {

namespace {

std::vector<int> order;

void note(const Call& call) { order.push_back(static_cast<int>(call.attributes[0])); }
void breakDown(const Call& call) { fail(call, "no %s", "luck"); }
void outOfMemory(const Call&) { throw std::bad_alloc(); }
void setOne(const Call& call) { as<float>(call.tensors[0])[0] = 1; }
void refuseThreads(void*, int) { throw std::runtime_error("no threads"); }
void addOne(const Call& call) { as<float>(call.tensors[0])[0] += 1; }

KernelCall callOf(Kernel kernel, double value, const TensorView& view = {}) {
  KernelCall call{kernel, nullptr, "test", static_cast<int64_t>(value), 1, {}, {}};
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

}  // namespace

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
  Task& setting = stream.next();
  setting.transfer = nullptr;
  setting.control = refuseThreads;
  stream.push();
  check(waitFor(stream) == "no threads", "a setting that cannot be had is a failure too");

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

namespace {

bool overlap(const Life& a, const Life& b) {
  return a.first <= b.last && b.first <= a.last && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

}  // namespace

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

// Updates of two weights at the end, where the gradient of the second one is made first and the first weight is read
// last.
void checkEarlyUpdates() {
  char w1 = 0, w2 = 0, found = 0, x = 0, g1 = 0, g2 = 0;  // memory by its address: x, g1 and g2 stand for the recording's
  static const void* passing[] = {&x, &g1, &g2};
  const auto isPassing = [](const void* data) { return std::find(std::begin(passing), std::end(passing), data) != std::end(passing); };
  const auto program = [&](bool hasRows, bool isChecked, bool inRows = false, int64_t weights = 1) {
    Program made;
    const auto add = [&](std::vector<void*> touched, uint32_t written, bool isMerged = false) {
      KernelCall call = callOf(note, 0);
      call.merged = isMerged ? [](const Call*, size_t) {} : MergedKernel{};
      call.tensorCount = static_cast<int32_t>(touched.size());
      for (size_t t = 0; t < touched.size(); t++) call.tensors[t].data = touched[t];
      call.written = written;
      call.number = static_cast<uint32_t>(made.calls.size());
      made.calls.push_back(call);
    };
    add({&x, &g2}, 2);
    add({&w1, &g1}, 2);
    add({&w1, &x}, 2);
    if (isChecked) add({&x, &found}, 2);
    add({&w1, &g1, nullptr}, 1, hasRows);
    add({&w2, &g2, nullptr}, 1, hasRows);
    made.calls.back().tensors[0] = viewOf(DType::f32, {weights});
    made.calls.back().tensors[0].data = &w2;
    made.parts = {made.calls.size()};
    advanceUpdates(made, isPassing, inRows);
    std::vector<uint32_t> order;
    for (const KernelCall& call : made.calls) order.push_back(call.number);
    return order;
  };
  using Order = std::vector<uint32_t>;
  check(program(false, false) == Order{0, 4, 1, 2, 3}, "an update goes behind its gradient and the last read of its weight");
  check(program(false, true) == Order{0, 1, 2, 3, 4, 5}, "no update passes a check");
  check(program(true, false) == Order{0, 1, 2, 3, 4}, "updates that run in rows stay side by side");
  check(program(true, false, true) == Order{0, 1, 2, 3, 4}, "and wait for each other where they are small");
  check(program(true, false, true, 1 << 20) == Order{0, 4, 1, 2, 3}, "but not where one is a row of its own");
  const auto written = [](const char* name) {
    for (const Op& op : ops()) {
      if (op.name == name) return op.written & 0xff;
    }
    return 0u;
  };
  check(written("momentumUpdate") == 0xe3 && written("needFinite") == 0xfe && written("normAffine") == 0xf0, "a signature says what its op writes");
}

// A weight's gradient, eight times as large as what it is made of, beside a block of ten times that size, which a later
// call reads last.
void checkLateGradients() {
  float w = 0, kept = 0, x = 0, g = 0, y = 0, norm = 0, found = 0;  // w and found are no memory of the recording
  static const void* passing[] = {&kept, &x, &g, &y, &norm};
  static const size_t sizes[] = {10, 1, 8, 1, 1};
  const auto isPassing = [](const void* data) { return std::find(std::begin(passing), std::end(passing), data) != std::end(passing); };
  const auto bytesOf = [&](const void* data) {
    const auto at = std::find(std::begin(passing), std::end(passing), data);
    return at == std::end(passing) ? 0 : sizes[at - std::begin(passing)];
  };
  using Touched = std::vector<void*>;
  struct Added {
    Touched touched;  // behind the update
    uint32_t written;
  };
  const auto program = [&](const std::vector<Added>& between, void* last, bool isCut = false) {
    Program made;
    const auto add = [&](const Touched& touched, uint32_t written) {
      KernelCall call = callOf(note, 0);
      call.tensorCount = static_cast<int32_t>(touched.size());
      for (size_t t = 0; t < touched.size(); t++) call.tensors[t].data = touched[t];
      call.written = written;
      call.number = static_cast<uint32_t>(made.calls.size());
      made.calls.push_back(call);
    };
    add({&kept}, 1);
    add({&x}, 1);
    add({&x, &g}, 2);
    add({&w, &g}, 1);
    if (isCut) made.parts.push_back(made.calls.size());
    for (const Added& call : between) add(call.touched, call.written);
    add({&kept, last, &y}, 4);
    add({&y}, 1);
    made.parts.push_back(made.calls.size());
    advanceUpdates(made, isPassing, false);
    putOffGradients(made, isPassing, bytesOf);
    std::vector<uint32_t> order;
    for (const KernelCall& call : made.calls) order.push_back(call.number);
    return order;
  };
  using Order = std::vector<uint32_t>;
  check(program({}, nullptr) == Order{0, 1, 4, 2, 3, 5}, "a gradient that fits nowhere else waits for the end of a large block, and its update with it");
  check(program({}, &w) == Order{0, 1, 2, 3, 4, 5}, "but not where a call before that reads the weight");
  check(program({}, &x) == Order{0, 1, 4, 2, 3, 5}, "reading what it is made of holds up nothing");
  check(program({{{&x}, 1}}, nullptr) == Order{0, 1, 2, 3, 4, 5, 6}, "writing that does");
  check(program({{{&x, &found}, 2}}, nullptr) == Order{0, 1, 2, 3, 4, 5, 6}, "no update passes a check");
  check(program({{{&g, &norm}, 2}}, nullptr) == Order{0, 1, 2, 3, 4, 5, 6}, "a gradient that others read stays where it is");
  check(program({}, nullptr, true) == Order{0, 1, 2, 3, 4, 5}, "and so does one whose part ends before that");
}

// A gradient, perhaps a check, an update in a row, and ten calls of a chain.
void checkLanes() {
  float w = 0, g = 0, found = 0, x = 0;
  static const void* passing[] = {&g, &x};
  const auto isPassing = [](const void* data) { return std::find(std::begin(passing), std::end(passing), data) != std::end(passing); };
  const auto program = [&](bool isChecked) {
    Program made;
    const auto add = [&](std::vector<void*> touched, uint32_t written, bool isMerged = false) {
      KernelCall call = callOf(note, 0);
      call.merged = isMerged ? [](const Call*, size_t) {} : MergedKernel{};
      call.tensorCount = static_cast<int32_t>(touched.size());
      for (size_t t = 0; t < touched.size(); t++) {
        call.tensors[t] = viewOf(DType::f32, {1});
        call.tensors[t].data = touched[t];
      }
      call.written = written;
      made.calls.push_back(call);
    };
    add({&g}, 1);
    if (isChecked) add({&g, &found}, 2);
    add({&w, &g}, 1, true);
    for (int i = 0; i < 10; i++) add({&x}, 1);
    made.parts = {made.calls.size()};
    advanceUpdates(made, isPassing, true);
    chooseAside(made, isPassing);
    planRows(made);
    planWaits(made);
    return made;
  };
  const Program alone = program(false);
  check(alone.calls[0].isAside && alone.calls[1].isAside && countAside(alone, 0) == 2, "an update with many calls behind it runs aside, and so does its gradient");
  check(alone.calls[1].waitsFor == -1 && alone.joins == std::vector<int64_t>{1}, "what follows in a lane needs no wait, but the end of the part does");
  Program checked = program(true);
  check(!checked.calls[0].isAside && checked.calls[2].isAside && countAside(checked, 0) == 1, "a gradient that is checked does not");
  check(checked.calls[2].waitsFor == 1 && checked.calls[1].isAwaited, "an update waits for the check in front of it");
  check(checked.joins == std::vector<int64_t>{2} && checked.calls[2].isAwaited, "and the end of its part waits for it");
  stayInLine(checked, 0);
  check(countAside(checked, 0) == 0 && checked.joins == std::vector<int64_t>{-1}, "a part in one lane waits for nothing");
}

// Records w = x + 1; y = w + 1 on fake kernels (one tensor each, written in place), replays it, and looks at memory and
// handles.
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

// ---- threads

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

}  // namespace spikeloom
