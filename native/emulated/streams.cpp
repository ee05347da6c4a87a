// Streams, events and graphs. A stream's work is done when its call returns, so there is nothing to wait for; a captured stream keeps its
// work, and a graph does it again. A captured stream's event draws the stream that waits for it into the capture.
#include <algorithm>

#include "emulated/runtime.h"

namespace spikeloom::emulated {
namespace {

std::vector<EmulatedStream*>& streams() {
  static std::vector<EmulatedStream*> all;
  return all;
}

cudaError_t refuseWait() { return refuse(cudaErrorStreamCaptureUnsupported, "a stream that is captured cannot be waited for"); }

}  // namespace

bool isCaptureUnderWay() {
  return std::any_of(streams().begin(), streams().end(), [](const EmulatedStream* s) {
    return s->isOrigin && (s->owner == std::thread::id() || s->owner == std::this_thread::get_id());
  });
}

}  // namespace spikeloom::emulated

using namespace spikeloom::emulated;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const Guard guard(lock());
  *stream = new EmulatedStream{hostThread().device, nullptr, false, {}};
  streams().push_back(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Guard guard(lock());
  streams().erase(std::remove(streams().begin(), streams().end(), stream), streams().end());
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Guard guard(lock());
  if (stream && stream->capture) return refuseWait();
  return takeFault(stream ? stream->device : hostThread().device);
}
cudaError_t cudaStreamQuery(cudaStream_t stream) { return cudaStreamSynchronize(stream); }

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const Guard guard(lock());
  if (const auto capture = event->capture.lock(); capture && stream) stream->capture = capture;
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
  if (stream && stream->capture) event->capture = stream->capture;
  else event->time = std::chrono::steady_clock::now();
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Guard guard(lock());
  if (event->capture.lock()) return refuseWait();
  return takeFault(hostThread().device);
}
cudaError_t cudaEventQuery(cudaEvent_t event) { return cudaEventSynchronize(event); }

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  if (!from->isTimed || !to->isTimed) return failed(cudaErrorInvalidResourceHandle);
  *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const Guard guard(lock());
  if (!stream || stream->capture) return refuse(cudaErrorInvalidValue, "a capture begins on a stream of its own that is not being captured");
  stream->capture = std::make_shared<EmulatedGraph>();
  stream->isOrigin = true;
  stream->owner = mode == cudaStreamCaptureModeGlobal ? std::thread::id() : std::this_thread::get_id();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Guard guard(lock());
  if (!stream || !stream->isOrigin) return refuse(cudaErrorInvalidValue, "a capture ends on the stream it began on");
  const auto capture = stream->capture;
  for (EmulatedStream* each : streams()) {
    if (each->capture == capture) each->capture.reset();
  }
  stream->isOrigin = false;
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
  for (const Work& work : exec->graph.work) enqueue(stream, work);
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
