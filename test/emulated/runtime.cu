// The runtime around the kernels: queues, graphs, memory, devices. main() runs every case of this folder.
#include "harness.h"

namespace {

using harness::Memory;

__global__ void addOne(int* y, int amount) { y[threadIdx.x] += amount; }
__global__ void missOne(int* y) { y[-1] = 0; }

std::string textOf(cudaError_t error) { return error == cudaSuccess ? "fine" : cudaGetErrorString(error); }

CASE(a_graph_does_its_work_when_launched) {
  Memory<int> y(std::vector<int>{1, 2});
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  cudaStreamCreate(&stream);
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  for (int amount : {10, 100}) spikeloom::emulated::launch(addOne, 1, 2, 0, stream, y.data, amount);
  const std::vector<int> captured = y.read();
  cudaStreamEndCapture(stream, &graph);
  cudaGraphInstantiate(&exec, graph, 0);
  cudaGraphDestroy(graph);
  cudaGraphLaunch(exec, stream);
  cudaGraphLaunch(exec, stream);
  const std::string before = harness::expect(harness::outcome(), captured, {1, 2});
  const std::string result = before == "fine" ? harness::expect(harness::outcome(), y.read(), {221, 222}) : before;
  cudaGraphExecDestroy(exec);
  cudaStreamDestroy(stream);
  return result;
}

// ---- branches of a graph

__global__ void addFrom(int* y, const int* x) { y[threadIdx.x] += x[threadIdx.x]; }

// Two streams, the second drawn into the capture of the first one by an event.
struct Fork {
  cudaStream_t main, aside;
  cudaEvent_t event;
  Memory<int> x{std::vector<int>{1, 2}}, y{std::vector<int>{0, 0}};

  Fork() {
    cudaStreamCreateWithFlags(&main, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&aside, cudaStreamNonBlocking);
    cudaEventCreate(&event);
    cudaStreamBeginCapture(main, cudaStreamCaptureModeThreadLocal);
    follow(main, aside);
  }
  ~Fork() {
    cudaEventDestroy(event);
    cudaStreamDestroy(aside);
    cudaStreamDestroy(main);
  }
  void follow(cudaStream_t first, cudaStream_t then) {
    cudaEventRecord(event, first);
    cudaStreamWaitEvent(then, event);
  }
  void raise() { spikeloom::emulated::launch(addOne, 1, 2, 0, main, x.data, 10); }
  void take() { spikeloom::emulated::launch(addFrom, 1, 2, 0, aside, y.data, x.data); }
  // What is in y after two launches of the graph.
  std::string expect(const std::vector<int>& values) {
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    const std::string ended = textOf(cudaStreamEndCapture(main, &graph));
    if (ended != "fine") return ended;
    cudaGraphInstantiate(&exec, graph, 0);
    for (int i = 0; i < 2; i++) cudaGraphLaunch(exec, main);
    cudaStreamSynchronize(main);
    cudaGraphExecDestroy(exec);
    cudaGraphDestroy(graph);
    return harness::expect(harness::outcome(), y, values);
  }
};

CASE(a_branch_that_waits_for_what_it_reads) {
  Fork fork;
  fork.raise();
  fork.follow(fork.main, fork.aside);
  fork.take();
  fork.follow(fork.aside, fork.main);
  return fork.expect({11 + 21, 12 + 22});
}
CASE(a_branch_that_reads_too_early) {
  Fork fork;
  fork.raise();
  fork.take();
  fork.follow(fork.aside, fork.main);
  return fork.expect({11 + 21, 12 + 22});
}
CASE(what_a_branch_reads_is_overwritten_behind_it) {
  Fork fork;
  fork.take();
  fork.follow(fork.aside, fork.main);
  fork.raise();
  return fork.expect({1 + 11, 2 + 12});
}
CASE(what_a_branch_reads_is_overwritten_too_early) {
  Fork fork;
  fork.take();
  fork.raise();
  fork.follow(fork.aside, fork.main);
  return fork.expect({1 + 11, 2 + 12});
}
CASE(a_branch_that_nobody_waits_for) {
  Fork fork;
  fork.take();
  return fork.expect({1 + 1, 2 + 2});
}
CASE(an_event_of_a_capture_outside_of_it) {
  Fork fork;
  cudaGraph_t graph;
  fork.follow(fork.aside, fork.main);
  cudaStreamEndCapture(fork.main, &graph);
  cudaGraphDestroy(graph);
  return textOf(cudaStreamWaitEvent(fork.aside, fork.event)) + "; " + textOf(cudaEventSynchronize(fork.event));
}
CASE(an_event_of_before_in_a_capture) {
  Fork fork;
  cudaStream_t other;
  cudaStreamCreate(&other);
  cudaEventRecord(fork.event, other);
  const std::string result = textOf(cudaStreamWaitEvent(fork.main, fork.event));
  cudaStreamDestroy(other);
  cudaGraph_t graph;
  cudaStreamEndCapture(fork.main, &graph);
  cudaGraphDestroy(graph);
  return result;
}

std::string whileCapturing(cudaError_t (*body)(cudaStream_t)) {
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaStreamCreate(&stream);
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  const std::string result = textOf(body(stream));
  cudaGetLastError();
  cudaStreamEndCapture(stream, &graph);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  return result;
}
CASE(memory_while_capturing) {
  return whileCapturing([](cudaStream_t) {
    void* data = nullptr;
    return cudaMalloc(&data, 4);
  });
}
CASE(a_wait_while_capturing) {
  return whileCapturing([](cudaStream_t stream) { return cudaStreamSynchronize(stream); });
}

CASE(what_is_queued_behind_a_fault_is_left_out) {
  Memory<int> y(std::vector<int>{1, 2});
  spikeloom::emulated::launch(missOne, 1, 1, 0, nullptr, y.data);
  spikeloom::emulated::launch(addOne, 1, 2, 0, nullptr, y.data, 10);
  const std::string told = harness::outcome();
  if (told.find("4 bytes before the start of an allocation of 8 bytes") == std::string::npos) return told;
  return harness::expect(harness::outcome(), y.read(), {1, 2});
}

// ---- streams that go their own ways

struct TwoStreams {
  cudaStream_t copies, work;
  cudaEvent_t event;
  int *pinned, *landing;
  Memory<int> y{2};

  TwoStreams() {
    cudaStreamCreateWithFlags(&copies, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&work, cudaStreamNonBlocking);
    cudaEventCreate(&event);
    cudaMallocHost(&pinned, 8);
    cudaMalloc(&landing, 8);
  }
  ~TwoStreams() {
    cudaFree(landing);
    cudaFreeHost(pinned);
    cudaEventDestroy(event);
    cudaStreamDestroy(work);
    cudaStreamDestroy(copies);
  }
  // Brings two numbers to y by way of landing, from one stream to the other.
  void bring(int first, int second, bool isAwaited) {
    pinned[0] = first;
    pinned[1] = second;
    cudaMemcpyAsync(landing, pinned, 8, cudaMemcpyHostToDevice, copies);
    cudaEventRecord(event, copies);
    if (isAwaited) cudaStreamWaitEvent(work, event);
    cudaMemcpyAsync(y.data, landing, 8, cudaMemcpyDeviceToDevice, work);
  }
  std::vector<int> result() {
    cudaStreamSynchronize(work);
    return y.read();
  }
};
const int kNothing = 0x7ff47ff4;  // what nobody wrote

CASE(a_stream_waits_for_another) {
  TwoStreams two;
  two.bring(1, 2, true);
  spikeloom::emulated::launch(addOne, 1, 2, 0, two.work, two.y.data, 10);
  return harness::expect(harness::outcome(), two.result(), {11, 12});
}
CASE(a_stream_that_does_not_wait_comes_too_early) {
  TwoStreams two;
  two.bring(1, 2, false);
  return harness::expect("fine", two.result(), {kNothing, kNothing});
}

// ---- kernels that may begin before the one ahead of them is done

using spikeloom::emulated::Start;

template <bool kIsRight>
__global__ void doubled(int* y) {
  if (kIsRight || threadIdx.x == 0) cudaGridDependencySynchronize();
  y[threadIdx.x] *= 2;
}
template <bool kIsRight>
std::string afterAnother(Start start, bool behindCopy) {
  TwoStreams two;
  two.bring(1, 2, true);
  spikeloom::emulated::launch(addOne, 1, 2, 0, two.work, two.y.data, 10);
  if (behindCopy) cudaMemsetAsync(two.y.data, 0, sizeof(int), two.work);
  spikeloom::emulated::launch(doubled<kIsRight>, start, 1, 2, 0, two.work, two.y.data);
  const std::string said = harness::outcome(), done = textOf(cudaStreamSynchronize(two.work));
  return harness::expect(said == "fine" ? done : said, two.y, {22, 24});
}
CASE(begins_early_and_waits) { return afterAnother<true>(Start::early, false); }
CASE(begins_early_and_a_thread_does_not_wait) { return afterAnother<false>(Start::early, false); }
CASE(could_begin_early_and_a_thread_does_not_wait) { return afterAnother<false>(Start::late, false); }
CASE(does_not_begin_early) { return afterAnother<false>(Start::usual, false); }
CASE(begins_early_behind_no_kernel) { return afterAnother<true>(Start::early, true); }

CASE(an_event_stands_for_what_was_before_it) {
  TwoStreams two;
  two.bring(1, 2, true);
  cudaEventRecord(two.event, two.work);  // the wait is for the event as it was
  return harness::expect("fine", two.result(), {1, 2});
}
CASE(pinned_memory_that_is_used_again_behind_its_event) {
  TwoStreams two;
  two.bring(1, 2, true);
  cudaEventSynchronize(two.event);
  two.pinned[0] = 7;
  return harness::expect("fine", two.result(), {1, 2});
}
CASE(pinned_memory_that_is_used_again_too_early) {
  TwoStreams two;
  two.bring(1, 2, true);
  two.pinned[0] = 7;
  return harness::expect("fine", two.result(), {7, 2});
}
CASE(a_device_is_waited_for_as_a_whole) {
  TwoStreams two;
  two.bring(1, 2, true);
  cudaDeviceSynchronize();
  return harness::expect("fine", two.y.read(), {1, 2});
}

CASE(memory_that_is_not_there) {
  void* data = nullptr;
  const std::string first = textOf(cudaMalloc(&data, size_t{2} << 30));
  cudaGetLastError();
  size_t left = 0, all = 0;
  cudaMemGetInfo(&left, &all);
  return first == "out of memory" && data == nullptr && left == all && all == size_t{64} << 20 ? "fine" : first;
}
CASE(a_copy_past_the_end) {
  Memory<int> y(2);
  const int host[3] = {1, 2, 3};
  const std::string result = textOf(cudaMemcpy(y.data, host, sizeof host, cudaMemcpyHostToDevice));
  cudaGetLastError();
  return result;
}
CASE(freed_twice) {
  int* y = nullptr;
  cudaMalloc(&y, 4);
  cudaFree(y);
  const std::string result = textOf(cudaFree(y));
  cudaGetLastError();
  return result;
}

}  // namespace

int main() {
  for (const harness::Case& each : harness::cases()) std::printf("%s\t%s\n", each.name, each.run().c_str());
}
