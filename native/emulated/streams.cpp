// Streams, events and graphs. A stream's work waits in its queue until somebody asks for it: the host, by waiting or by
// looking for the error of a kernel, or a stream that waits for an event of this one. So streams are as far apart as
// the program allows, and a wait that is missing shows in the numbers. A captured stream keeps its work, and a graph
// does it again. A captured stream's event draws the stream that waits for it into the capture. The branches of a graph
// are done as far apart as their events allow, too: at one launch the others as late as can be, at the next the first.
#include <algorithm>

#include "emulated/runtime.h"

namespace spikeloom::emulated {
namespace {

std::vector<EmulatedStream*>& streams() {
  static std::vector<EmulatedStream*> all;
  return all;
}

cudaError_t refuseWait() { return refuse(cudaErrorStreamCaptureUnsupported, "a stream that is captured cannot be waited for"); }

cudaError_t refuseCaptured() { return refuse(cudaErrorCapturedEvent, "an event of a capture means nothing outside of it"); }

// What is to be done at a launch of a graph, in its order.
class Order {
 public:
  explicit Order(const EmulatedGraph& graph) : nodes(graph.nodes), isTaken_(nodes.size()) {}

  void takeBehind(const std::vector<size_t>& before) {
    for (const size_t i : before) take(i);
  }
  void takeAll(bool isOfOrigin) {
    for (size_t i = 0; i < nodes.size(); i++) {
      if (nodes[i].isOfOrigin == isOfOrigin) take(i);
    }
  }

  const std::vector<EmulatedGraph::Node>& nodes;
  std::vector<size_t> taken;

 private:
  // A node, and before it what it has to follow.
  void take(size_t i) {
    if (isTaken_[i]) return;
    isTaken_[i] = true;
    takeBehind(nodes[i].behind);
    taken.push_back(i);
  }

  std::vector<bool> isTaken_;
};

}  // namespace

void Queue::doUntil(uint64_t place) {
  while (done < place) {
    const Item next = std::move(left.front());
    left.pop_front();
    done++;
    kernelsLeft -= next.isKernel;
    next.work(device);
  }
}

void doQueued(int device, Which which) {
  for (const EmulatedStream* stream : streams()) {
    if (device >= 0 && stream->device != device) continue;
    if (which == Which::blocking && !stream->isBlocking) continue;
    if (which == Which::withKernels && stream->queue->kernelsLeft == 0) continue;
    stream->queue->doAll();
  }
}

cudaError_t enqueue(EmulatedStream* stream, Work work, bool isKernel) {
  if (stream) stream->endsInKernel = isKernel;
  if (stream && stream->capture) {
    stream->capture->nodes.push_back({std::move(work), stream->behind, stream->isOrigin});
    stream->behind = {stream->capture->nodes.size() - 1};
  } else if (stream) {
    stream->queue->left.push_back({std::move(work), isKernel});
    stream->queue->queued++;
    stream->queue->kernelsLeft += isKernel;
  } else {
    doQueued(hostThread().device, Which::blocking);
    work(hostThread().device);
  }
  return cudaSuccess;
}

bool isCaptureUnderWay() {
  return std::any_of(streams().begin(), streams().end(), [](const EmulatedStream* s) {
    return s->isOrigin && (s->owner == std::thread::id() || s->owner == std::this_thread::get_id());
  });
}

}  // namespace spikeloom::emulated

using namespace spikeloom::emulated;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const Guard guard(lock());
  const auto queue = std::make_shared<Queue>();
  queue->device = hostThread().device;
  *stream = new EmulatedStream{queue->device, queue, !(flags & cudaStreamNonBlocking), nullptr};
  streams().push_back(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Guard guard(lock());
  stream->queue->doAll();
  streams().erase(std::remove(streams().begin(), streams().end(), stream), streams().end());
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Guard guard(lock());
  if (stream && stream->capture) return refuseWait();
  if (stream) stream->queue->doAll();
  else doQueued(hostThread().device, Which::blocking);
  return takeFault(stream ? stream->device : hostThread().device);
}
cudaError_t cudaStreamQuery(cudaStream_t stream) { return cudaStreamSynchronize(stream); }

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const Guard guard(lock());
  if (stream) stream->endsInKernel = false;
  const auto capture = event->capture.lock();
  if (event->isCaptured && !capture) return refuseCaptured();
  if (stream && stream->capture && stream->capture != capture) {
    return refuse(cudaErrorStreamCaptureIsolation, "a stream that is captured waits for what is not of its capture");
  }
  if (capture && stream) {
    stream->capture = capture;
    stream->behind.insert(stream->behind.end(), event->behind.begin(), event->behind.end());
  } else if (event->mark) {
    return enqueue(stream, [mark = event->mark](int) { mark->reach(); });
  }
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new EmulatedEvent;
  (*event)->isTimed = !(flags & cudaEventDisableTiming);
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const Guard guard(lock());
  event->capture.reset();
  event->mark.reset();
  event->isCaptured = stream && stream->capture;
  if (event->isCaptured) {
    event->capture = stream->capture;
    event->behind = stream->behind;
    return cudaSuccess;
  }
  const auto queue = stream ? stream->queue : std::make_shared<Queue>();
  const auto mark = std::make_shared<Mark>(queue, stream ? queue->queued + 1 : 0);
  event->mark = mark;
  return enqueue(stream, [mark](int) { mark->time = std::chrono::steady_clock::now(); });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Guard guard(lock());
  if (event->isCaptured) return refuseCaptured();
  if (event->mark) event->mark->reach();
  return takeFault(hostThread().device);
}
cudaError_t cudaEventQuery(cudaEvent_t event) { return cudaEventSynchronize(event); }

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  const Guard guard(lock());
  if (!from->isTimed || !to->isTimed || !from->mark || !to->mark) return failed(cudaErrorInvalidResourceHandle);
  for (const cudaEvent_t event : {from, to}) event->mark->reach();
  *milliseconds = std::chrono::duration<float, std::milli>(to->mark->time - from->mark->time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const Guard guard(lock());
  if (!stream || stream->capture) return refuse(cudaErrorInvalidValue, "a capture begins on a stream of its own that is not being captured");
  stream->capture = std::make_shared<EmulatedGraph>();
  stream->endsInKernel = false;
  stream->isOrigin = true;
  stream->owner = mode == cudaStreamCaptureModeGlobal ? std::thread::id() : std::this_thread::get_id();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Guard guard(lock());
  if (!stream || !stream->isOrigin) return refuse(cudaErrorInvalidValue, "a capture ends on the stream it began on");
  const auto capture = stream->capture;
  Order joined(*capture);
  joined.takeBehind(stream->behind);
  for (EmulatedStream* each : streams()) {
    if (each->capture != capture) continue;
    each->capture.reset();
    each->endsInKernel = false;
    each->behind.clear();
  }
  stream->isOrigin = false;
  *graph = nullptr;
  if (joined.taken.size() < capture->nodes.size()) {
    return refuse(cudaErrorStreamCaptureUnjoined, "a capture ends while a stream that was drawn into it is not waited for");
  }
  *graph = new EmulatedGraph(std::move(*capture));
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const Guard guard(lock());
  *status = stream && stream->capture ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new EmulatedGraphExec{*graph};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  const Guard guard(lock());
  const bool isOriginFirst = exec->launches++ % 2 == 0;
  Order order(exec->graph);
  order.takeAll(isOriginFirst);
  order.takeAll(!isOriginFirst);
  for (const size_t i : order.taken) enqueue(stream, exec->graph.nodes[i].work);
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
