// Writes through pinned memory and a stream of copies, reads that are waited for later, graphs, marks of time.
#include "cuda/host.h"

#include <algorithm>
#include <cstring>

#include "cuda/trouble.h"

namespace spikeloom::cuda {
namespace {

HostSide& hostOf(void* context) { return *static_cast<Context*>(context)->host; }

// ---- graphs

void beginCapture(void* data, Status* status) {
  Context& context = *static_cast<Context*>(data);
  if (!enter(context, status)) return;
  context.host->isForked = false;
  // of this thread only: meanwhile the other one may take memory
  context.isCapturing = check(status, cudaStreamBeginCapture(context.streamForOthers(), cudaStreamCaptureModeThreadLocal), "beginning a graph");
}

void* endCapture(void* data, Status* status) {
  Context& context = *static_cast<Context*>(data);
  context.isCapturing = false;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t made = nullptr;
  const bool ended = check(status, cudaStreamEndCapture(context.streamForOthers(), &graph), "ending a graph");
  const bool fine = ended && check(status, cudaGraphInstantiate(&made, graph, 0), "preparing a graph");
  if (graph) cudaGraphDestroy(graph);
  if (!fine) {
    context.startsEarly = false;  // in case that was why
    return nullptr;
  }
  context.host->graphs.insert(made);
  return made;
}

void launchCapture(void* data, void* graph, Status* status) {
  const Context& context = *static_cast<Context*>(data);
  if (enter(context, status)) check(status, cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), context.streamForOthers()), "launching a graph");
}

// The wait: the device may still run it.
void releaseCapture(void* data, void* graph) {
  const Context& context = *static_cast<Context*>(data);
  cudaSetDevice(context.device);
  cudaStreamSynchronize(context.stream);
  cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
  context.host->graphs.erase(static_cast<cudaGraphExec_t>(graph));
}

int64_t generation(void* context) { return static_cast<Context*>(context)->scratchMoves; }

// ---- lanes: branches of a graph, each noted by a stream of its own. What is not noted stays on one stream.

void markLane(void* data, int64_t number, Status* status) {
  const Context& context = *static_cast<Context*>(data);
  if (!context.isCapturing || status->failed) return;
  cudaEvent_t& event = context.host->laneMarks[number];
  if (!event && !check(status, cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event")) return;
  check(status, cudaEventRecord(event, context.streamForOthers()), "marking a lane");
}

void waitForLane(void* data, int64_t number, Status* status) {
  const Context& context = *static_cast<Context*>(data);
  if (context.isCapturing) check(status, cudaStreamWaitEvent(context.streamForOthers(), context.host->laneMarks[number], 0), "waiting for a lane");
}

// The first time, an event draws the second stream into the graph.
void enterLane(void* data, int32_t lane, Status* status) {
  constexpr int64_t kFork = -1;
  Context& context = *static_cast<Context*>(data);
  const bool forks = context.isCapturing && lane == 1 && !context.host->isForked;
  if (forks) markLane(data, kFork, status);
  context.lane = lane;
  if (!forks) return;
  waitForLane(data, kFork, status);
  context.host->isForked = true;
}

// ---- reads

bool makeReads(HostSide& host, Status* status) {
  if (!host.reads.empty()) return true;
  void* memory = nullptr;
  if (!check(status, cudaMallocHost(&memory, HostSide::kReads * HostSide::kReadBytes), "taking pinned memory")) return false;
  host.readMemory = static_cast<char*>(memory);
  for (size_t i = 0; i < HostSide::kReads; i++) {
    ReadSlot slot;
    slot.memory = host.readMemory + i * HostSide::kReadBytes;
    if (!check(status, cudaEventCreateWithFlags(&slot.done, cudaEventDisableTiming), "making an event")) return false;
    host.reads.push_back(slot);
  }
  return true;
}

void* beginRead(void* data, const void* from, size_t bytes, Status* status) {
  const Context& context = *static_cast<Context*>(data);
  HostSide& host = *context.host;
  if (!enter(context, status) || !makeReads(host, status)) return nullptr;
  ReadSlot& slot = host.reads[host.nextRead % host.reads.size()];
  slot.bytes = bytes;
  slot.answer = cudaErrorNotReady;
  if (bytes > 0 && !check(status, cudaMemcpyAsync(slot.memory, from, bytes, cudaMemcpyDeviceToHost, context.streamForOthers()), "copying")) return nullptr;
  if (!check(status, cudaEventRecord(slot.done, context.streamForOthers()), "marking a read")) return nullptr;
  host.nextRead++;
  return &slot;
}

bool isReadDone(void*, void* read) {
  ReadSlot& slot = *static_cast<ReadSlot*>(read);
  slot.answer = cudaEventQuery(slot.done);
  if (slot.answer != cudaErrorNotReady) return true;
  cudaGetLastError();  // 'not ready' is an answer, not an error for the next launch to find
  return false;
}

void endRead(void* data, void* read, void* to, Status* status) {
  const ReadSlot& slot = *static_cast<ReadSlot*>(read);
  Context& context = *static_cast<Context*>(data);
  if (!enter(context, status)) return;
  const cudaError_t answer = slot.answer == cudaErrorNotReady ? cudaEventSynchronize(slot.done) : slot.answer;
  if (!check(status, answer, "the work queued before this")) return;
  if (slot.bytes > 0) std::memcpy(to, slot.memory, slot.bytes);
  reportTrouble(context, status);
}

// ---- time

void mark(void* data, int64_t number, Status* status) {
  const Context& context = *static_cast<Context*>(data);
  std::vector<cudaEvent_t>& marks = context.host->marks;
  if (!enter(context, status)) return;
  while (static_cast<int64_t>(marks.size()) <= number) {
    cudaEvent_t event = nullptr;
    if (!check(status, cudaEventCreate(&event), "making an event")) return;
    marks.push_back(event);
  }
  check(status, cudaEventRecord(marks[static_cast<size_t>(number)], context.streamForOthers()), "marking the time");
}

double secondsBetween(void* context, int64_t first, int64_t second, Status* status) {
  const std::vector<cudaEvent_t>& marks = hostOf(context).marks;
  float milliseconds = 0;
  check(status, cudaEventElapsedTime(&milliseconds, marks[static_cast<size_t>(first)], marks[static_cast<size_t>(second)]), "reading the time");
  return milliseconds * 1e-3;
}

}  // namespace

const Captures kCaptures = {beginCapture, endCapture, launchCapture, releaseCapture, generation};
const Lanes kLanes = {enterLane, markLane, waitForLane};
const LateReads kLateReads = {HostSide::kReadBytes, HostSide::kReads, beginRead, isReadDone, endRead};
const Clock kClock = {mark, secondsBetween};

// ---- writes

WriteRing::~WriteRing() {
  for (const Piece& piece : pieces_) cudaEventDestroy(piece.done);
  for (cudaEvent_t event : idle_) cudaEventDestroy(event);
  if (copies_) cudaStreamDestroy(copies_);
  if (arrived_) cudaEventDestroy(arrived_);
  if (landing_) cudaFree(landing_);
  if (memory_) cudaFreeHost(memory_);
}

void WriteRing::write(const Context& context, void* data, const void* host, size_t bytes, Status* status) {
  for (size_t at = 0; at < bytes; at += kPiece) {
    const size_t now = std::min(kPiece, bytes - at);
    char* pinned = take(now, status);
    if (!pinned) return;
    std::memcpy(pinned, static_cast<const char*>(host) + at, now);
    if (!queueCopy(context, static_cast<char*>(data) + at, pinned, now, status)) return;
    if (!keepUntilDone(context, status)) return;
  }
}

// The place in landing_ is free when that in the pinned memory is: take() has waited for what moved its bytes on.
bool WriteRing::queueCopy(const Context& context, void* to, const char* pinned, size_t bytes, Status* status) {
  if (bytes < kLarge || !openDetour()) {
    return check(status, cudaMemcpyAsync(to, pinned, bytes, cudaMemcpyHostToDevice, context.streamForOthers()), "copying");
  }
  char* landing = landing_ + (pinned - memory_);
  return check(status, cudaMemcpyAsync(landing, pinned, bytes, cudaMemcpyHostToDevice, copies_), "copying") &&
         check(status, cudaEventRecord(arrived_, copies_), "marking a copy") &&
         check(status, cudaStreamWaitEvent(context.streamForOthers(), arrived_, 0), "waiting for a copy") &&
         check(status, cudaMemcpyAsync(to, landing, bytes, cudaMemcpyDeviceToDevice, context.streamForOthers()), "copying");
}

bool WriteRing::openDetour() {
  if (detour_ != Detour::untried) return detour_ == Detour::open;
  void* landing = nullptr;
  const bool isOpen = cudaMalloc(&landing, kBytes) == cudaSuccess && cudaStreamCreateWithFlags(&copies_, cudaStreamNonBlocking) == cudaSuccess &&
                      cudaEventCreateWithFlags(&arrived_, cudaEventDisableTiming) == cudaSuccess;
  landing_ = static_cast<char*>(landing);
  if (!isOpen) cudaGetLastError();
  detour_ = isOpen ? Detour::open : Detour::refused;
  return isOpen;
}

// Room in one piece, of at most kPiece bytes: from the front again where the end of the memory is too close.
char* WriteRing::take(size_t bytes, Status* status) {
  constexpr size_t kAlign = 256;
  if (!memory_) {
    void* memory = nullptr;
    if (!check(status, cudaMallocHost(&memory, kBytes), "taking pinned memory")) return nullptr;
    memory_ = static_cast<char*>(memory);
  }
  const size_t size = (bytes + kAlign - 1) / kAlign * kAlign;
  const size_t at = taken_ % kBytes;
  const uint64_t begin = at + size <= kBytes ? taken_ : taken_ + (kBytes - at);
  while (!pieces_.empty() && (begin + size > free_ + kBytes || pieces_.size() == kMostPieces)) {
    if (!retire(status)) return nullptr;
  }
  taken_ = begin + size;
  return memory_ + begin % kBytes;
}

// Waits for the oldest copy.
bool WriteRing::retire(Status* status) {
  const Piece oldest = pieces_.front();
  if (!check(status, cudaEventSynchronize(oldest.done), "the work queued before this")) return false;
  pieces_.pop_front();
  idle_.push_back(oldest.done);
  free_ = oldest.end;
  return true;
}

bool WriteRing::keepUntilDone(const Context& context, Status* status) {
  cudaEvent_t event = nullptr;
  if (idle_.empty()) {
    if (!check(status, cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event")) return false;
  } else {
    event = idle_.back();
    idle_.pop_back();
  }
  pieces_.push_back({taken_, event});
  return check(status, cudaEventRecord(event, context.streamForOthers()), "marking a copy");
}

HostSide::~HostSide() {
  for (cudaGraphExec_t graph : graphs) cudaGraphExecDestroy(graph);
  for (cudaEvent_t event : marks) cudaEventDestroy(event);
  for (const auto& [number, event] : laneMarks) cudaEventDestroy(event);
  for (const ReadSlot& slot : reads) cudaEventDestroy(slot.done);
  if (readMemory) cudaFreeHost(readMemory);
}

}  // namespace spikeloom::cuda
