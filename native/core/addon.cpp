// The only file that knows N-API: tensors by handle, one generic body for every op, transfers that answer with promises.
// A thread that is being ended takes no exceptions any more; without this, throwing one there would end the process.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#include <napi.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/layout.h"
#include "core/recorder.h"
#include "core/registry.h"
#include "core/store.h"
#include "core/tensor.h"
#include "cpu/backend.h"
#include "events/decoder.h"
#include "images/jpeg_library.h"
#include "images/render.h"

namespace spikeloom {
namespace {

// All state of one Node environment.
struct Engine {
  explicit Engine(Napi::Env env) : env(env) {}
  ~Engine();
  Device& device(int32_t index);
  // Whether tensors and calls of this device belong to the recording under way.
  bool records(int32_t index) const { return recorder && !isPaused && recorder->device() == index; }

  Napi::Env env;
  Store store;
  std::vector<const Backend*> backends = {cpuBackend()};
  std::vector<std::unique_ptr<Device>> devices;
  Napi::ThreadSafeFunction answers;  // carries finished transfers to the JavaScript thread
  int pending = 0;                   // reads on their way; the process stays alive for them
  int64_t place = 0;
  std::unique_ptr<Recorder> recorder;  // while a recording is under way
  bool isPaused = false;               // whether tensors and calls are as outside of it
  std::map<int64_t, std::unique_ptr<Recorder>> left;  // recordings that go on later
  int64_t recordingsLeft = 0;
  std::map<int64_t, Recording> programs;
  int64_t programsMade = 0;
};

struct PendingRead {
  explicit PendingRead(Napi::Env env) : promise(Napi::Promise::Deferred::New(env)) {}
  Napi::Promise::Deferred promise;
  Transfer transfer;
  Napi::ObjectReference into;  // what is read into
};

Engine& engineOf(Napi::Env env) { return *env.GetInstanceData<Engine>(); }

[[noreturn]] void refuse(Napi::Env env, const std::string& message) { throw Napi::Error::New(env, message); }

// The recording that a tensor was made in.
Recorder& recorderOf(Engine& engine, const Storage* storage) {
  for (const auto& [id, recorder] : engine.left) {
    if (recorder->made(storage)) return *recorder;
  }
  return *engine.recorder;
}

Device& Engine::device(int32_t index) {
  if (index < 0 || index >= static_cast<int32_t>(devices.size()) || !devices[static_cast<size_t>(index)]) refuse(env, "no such device");
  return *devices[static_cast<size_t>(index)];
}

Engine::~Engine() {
  recorder.reset();
  left.clear();
  devices.clear();
  answers.Release();
}

int64_t integer(const Napi::Value& value) { return value.As<Napi::Number>().Int64Value(); }

// ---- tensors

void setShape(TensorView& view, const Napi::CallbackInfo& info, size_t first) {
  const size_t rank = info.Length() - first;
  if (rank > kMaxRank) refuse(info.Env(), "a tensor has at most " + std::to_string(kMaxRank) + " dimensions, not " + std::to_string(rank));
  view.rank = static_cast<int32_t>(rank);
  double elements = 1;
  for (size_t i = 0; i < rank; i++) {
    view.dims[i] = integer(info[first + i]);
    if (view.dims[i] < 1) refuse(info.Env(), "a dimension is at least 1, not " + std::to_string(view.dims[i]));
    elements *= static_cast<double>(view.dims[i]);
  }
  if (elements > 1e12) refuse(info.Env(), "a tensor of more than 10^12 elements cannot be held");
}

Napi::Value empty(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  const int32_t index = static_cast<int32_t>(integer(info[0]));
  Device& device = engine.device(index);
  TensorView view{nullptr, static_cast<DType>(integer(info[1])), 0, {}};
  setShape(view, info, 2);
  Status status{};
  const size_t bytes = storedBytes(view);
  if (engine.records(index)) {
    Storage* storage = engine.recorder->make(bytes);
    view.data = storage->data;
    return Napi::Number::New(info.Env(), static_cast<double>(engine.store.add(view, storage)));
  }
  view.data = device.arena->take(bytes, &status);
  if (!view.data) {
    refuse(info.Env(), "out of memory: " + std::to_string(bytes) + " bytes for one tensor, " + std::to_string(device.arena->bytesInUse()) +
                           " in use (" + status.message + "); make the batch, the width or the steps smaller");
  }
  return Napi::Number::New(info.Env(), static_cast<double>(engine.store.add(view, new Storage{view.data, bytes, index, 0})));
}

const TensorView& viewOf(Engine& engine, int64_t handle) {
  const TensorView* view = engine.store.view(handle);
  if (!view) refuse(engine.env, "this tensor was freed (its scope has ended, or dispose() was called); return it from the scope or keep() it");
  return *view;
}

Napi::Value alias(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  const int64_t handle = integer(info[0]);
  TensorView view = viewOf(engine, handle);
  setShape(view, info, 1);
  if (storedBytes(view) != storedBytes(viewOf(engine, handle))) refuse(info.Env(), "a view keeps the number of bytes of its tensor");
  return Napi::Number::New(info.Env(), static_cast<double>(engine.store.add(view, engine.store.storage(handle))));
}

Napi::Value release(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  bool known = false;
  Storage* storage = engine.store.remove(integer(info[0]), &known);
  if (storage && Recorder::isVirtual(storage)) {
    recorderOf(engine, storage).freed(storage);
  } else if (storage) {
    engine.device(storage->device).recycle(storage);
  }
  return Napi::Boolean::New(info.Env(), known);
}

// Whether no other tensor shares this one's memory.
Napi::Value isOnlyView(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  const int64_t handle = integer(info[0]);
  viewOf(engine, handle);
  return Napi::Boolean::New(info.Env(), engine.store.storage(handle)->views == 1);
}

// ---- transfers

void enqueue(Device& device, Transfer* transfer) {
  Task& task = device.stream->next();
  task.control = nullptr;
  task.transfer = transfer;
  device.stream->push();
}

// A tensor that a transfer reaches, and its device.
Storage& memoryOf(Engine& engine, int64_t handle) {
  Storage* storage = engine.store.storage(handle);
  if (!storage || !Recorder::isVirtual(storage)) return *storage;
  refuse(engine.env,
         "what is made while a step is recorded has no memory yet, so its numbers cannot be written or read there; make constants and inputs "
         "before the recording, and read results behind a replay");
}

// The part of a tensor that begins at an index of its first axis and has so many bytes in the host's order.
TensorView partOf(Napi::Env env, TensorView view, int64_t first, size_t bytes) {
  const size_t row = view.rank < 2 ? 0 : hostBytes(view) / static_cast<size_t>(view.dims[0]);
  const int64_t rows = row > 0 && bytes % row == 0 ? static_cast<int64_t>(bytes / row) : 0;
  if (rows == 0 || first < 0 || first > view.dims[0] - rows) {
    refuse(env, "a part of a tensor is whole rows of its first axis, of two axes or more: " + std::to_string(bytes) + " bytes from row " + std::to_string(first) + " on are none");
  }
  view.data = static_cast<char*>(view.data) + static_cast<size_t>(first) * (storedBytes(view) / static_cast<size_t>(view.dims[0]));
  view.dims[0] = rows;
  return view;
}

// write(handle, data): replaces the elements by a copy of the typed array; write(handle): by zeros; write(handle, data, first): those from an
// index of the first axis on.
Napi::Value write(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  const int64_t handle = integer(info[0]);
  const TensorView& view = viewOf(engine, handle);
  Device& device = engine.device(memoryOf(engine, handle).device);
  auto transfer = std::make_unique<Transfer>();
  transfer->kind = Transfer::Kind::write;
  transfer->tensor = view;
  if (!info[1].IsUndefined()) {
    const auto array = info[1].As<Napi::TypedArray>();
    const char* data = static_cast<const char*>(array.ArrayBuffer().Data()) + array.ByteOffset();
    if (!info[2].IsUndefined()) {
      transfer->tensor = partOf(info.Env(), view, integer(info[2]), array.ByteLength());
    } else if (array.ByteLength() != hostBytes(view)) {
      refuse(info.Env(), "a tensor of " + std::to_string(hostBytes(view)) + " bytes cannot take " + std::to_string(array.ByteLength()));
    }
    transfer->host.assign(data, data + array.ByteLength());
  }
  enqueue(device, transfer.release());
  return info.Env().Undefined();
}

// Throws where the environment is a thread that is being ended: nothing can be told there any more.
void settle(Napi::Env env, PendingRead& read) {
  const Napi::HandleScope scope(env);
  Engine& engine = engineOf(env);
  if (--engine.pending == 0) engine.answers.Unref(env);
  if (!read.transfer.error.empty()) {
    read.promise.Reject(Napi::Error::New(env, read.transfer.error).Value());
    return;
  }
  read.promise.Resolve(read.into.IsEmpty() ? env.Undefined() : Napi::Value(read.into.Value()));
}

void answer(Napi::Env env, Napi::Function, PendingRead* read) {
  const std::unique_ptr<PendingRead> owned(read);
  if (env == nullptr) return read->into.SuppressDestruct();  // the environment is being torn down
  try {
    settle(env, *read);
  } catch (const Napi::Error&) {
  }
}

// `into`: a typed array of as many bytes as the tensor has in the host's order; none for a marker.
Napi::Value ask(Engine& engine, Device& device, Transfer::Kind kind, const TensorView& view, const Napi::Value& into) {
  auto* read = new PendingRead(engine.env);
  read->transfer.kind = kind;
  read->transfer.tensor = view;
  if (into.IsTypedArray()) {
    const auto array = into.As<Napi::TypedArray>();
    read->into = Napi::Persistent(static_cast<const Napi::Object&>(array));
    read->transfer.into = static_cast<char*>(array.ArrayBuffer().Data()) + array.ByteOffset();
  }
  Napi::ThreadSafeFunction answers = engine.answers;
  read->transfer.done = [answers, read](Transfer*) {
    answers.BlockingCall(read, [](Napi::Env env, Napi::Function f, PendingRead* r) { answer(env, f, r); });
  };
  if (engine.pending++ == 0) engine.answers.Ref(engine.env);
  const Napi::Value promise = read->promise.Promise();
  enqueue(device, &read->transfer);
  return promise;
}

// read(handle, array): fills the array with the tensor's elements in the host's order, and gives it, when all work queued before is done.
// The stream's thread writes; nobody else touches the array meanwhile.
Napi::Value read(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  const int64_t handle = integer(info[0]);
  const TensorView& view = viewOf(engine, handle);
  if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().ByteLength() != hostBytes(view)) {
    refuse(info.Env(), "a tensor of " + std::to_string(hostBytes(view)) + " bytes is read into an array of as many");
  }
  return ask(engine, engine.device(memoryOf(engine, handle).device), Transfer::Kind::read, view, info[1]);
}

Napi::Value finish(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  return ask(engine, engine.device(static_cast<int32_t>(integer(info[0]))), Transfer::Kind::marker, TensorView{}, info.Env().Undefined());
}

// ---- ops

// call(op, tensors, attributes, ...numbers): the numbers are `tensors` handles (0: not given), then the attributes. Bound once per op.
napi_value callOp(napi_env rawEnv, napi_callback_info rawInfo) {
  napi_value argv[kMaxTensors + kMaxAttributes];
  size_t argc = kMaxTensors + kMaxAttributes;
  void* bound = nullptr;
  napi_get_cb_info(rawEnv, rawInfo, &argc, argv, nullptr, &bound);
  const Napi::Env env(rawEnv);
  try {
    Engine& engine = engineOf(env);
    const size_t code = reinterpret_cast<size_t>(bound);
    const size_t op = code >> 8;
    const size_t tensors = code & 0xff;
    Device* device = nullptr;
    int32_t index = -1;
    DType real = DType::f32;
    KernelCall call;
    Storage* storages[kMaxTensors] = {};
    for (size_t i = 0; i < tensors; i++) {
      int64_t handle = 0;
      napi_get_value_int64(rawEnv, argv[i], &handle);
      call.tensors[i] = handle == 0 ? TensorView{} : viewOf(engine, handle);
      if (handle == 0) continue;
      storages[i] = engine.store.storage(handle);
      const int32_t home = storages[i]->device;
      if (index < 0) {
        index = home;
        device = &engine.device(home);
      }
      if (home != index) refuse(env, ops()[op].name + ": the tensors live on different devices; move them to one with to()");
      if (call.tensors[i].dtype == DType::f64) real = DType::f64;
    }
    if (!device) refuse(env, ops()[op].name + ": no tensor was given");
    call.kernel = device->kernel(op, real);
    if (!call.kernel) {
      refuse(env, ops()[op].name + ": no kernel for " + (real == DType::f64 ? "f64" : "f32") + " on device '" + device->backend->name + "'");
    }
    call.merged = engine.records(index) ? device->merged(op, real) : nullptr;
    call.op = ops()[op].name.c_str();
    call.place = engine.place;
    call.tensorCount = static_cast<int32_t>(tensors);
    for (size_t i = tensors; i < argc; i++) napi_get_value_double(rawEnv, argv[i], &call.attributes[i - tensors]);
    if (engine.records(index)) {
      engine.recorder->call(call, storages);
      return nullptr;
    }
    Task& task = device->stream->next();
    task.call = call;
    task.transfer = nullptr;
    task.control = nullptr;
    device->stream->push();
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
  }
  return nullptr;
}

// bind(op, tensors): the function that queues this op; `tensors` counts inputs, outputs and saved of the signature.
Napi::Value bind(const Napi::CallbackInfo& info) {
  const size_t op = static_cast<size_t>(integer(info[0]));
  const size_t tensors = static_cast<size_t>(integer(info[1]));
  if (op >= ops().size()) refuse(info.Env(), "no such op");
  if (tensors > kMaxTensors) refuse(info.Env(), ops()[op].name + ": more than " + std::to_string(kMaxTensors) + " tensors in the signature");
  napi_value function = nullptr;
  napi_create_function(info.Env(), ops()[op].name.c_str(), NAPI_AUTO_LENGTH, callOp, reinterpret_cast<void*>((op << 8) | tensors), &function);
  return Napi::Value(info.Env(), function);
}

Napi::Value describeOps(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!registrationErrors().empty()) refuse(env, "the addon is not sound: " + registrationErrors().front());
  auto list = Napi::Array::New(env, ops().size());
  for (size_t i = 0; i < ops().size(); i++) list[static_cast<uint32_t>(i)] = Napi::String::New(env, ops()[i].signature);
  return list;
}

// Which dtypes of an op a backend has kernels for: bit 0 f32, bit 1 f64.
Napi::Value supports(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  const size_t backend = static_cast<size_t>(integer(info[0]));
  const std::string op = info[1].As<Napi::String>();
  if (backend >= engine.backends.size()) refuse(info.Env(), "no such backend");
  int bits = 0;
  if (engine.backends[backend]->find(op.c_str(), DType::f32)) bits |= 1;
  if (engine.backends[backend]->find(op.c_str(), DType::f64)) bits |= 2;
  return Napi::Number::New(info.Env(), bits);
}

#include "core/addon_steps.inl"

#include "core/addon_events.inl"

#include "core/addon_images.inl"

// ---- backends and devices

Napi::Object describe(Napi::Env env, const Backend* backend, size_t index) {
  auto object = Napi::Object::New(env);
  object["index"] = Napi::Number::New(env, static_cast<double>(index));
  object["name"] = Napi::String::New(env, backend->name);
  object["score"] = Napi::Number::New(env, backend->score);
  object["reason"] = Napi::String::New(env, backend->reason);
  object["description"] = Napi::String::New(env, backend->description);
  return object;
}

// addBackend(path): loads a backend library and describes it; throws when it cannot be loaded.
Napi::Value addBackend(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  std::string why;
  const Backend* backend = loadBackend(info[0].As<Napi::String>(), &why);
  if (!backend) refuse(info.Env(), why);
  engine.backends.push_back(backend);
  return describe(info.Env(), backend, engine.backends.size() - 1);
}

// openDevice(backend, number): the number by which tensors name the device.
Napi::Value openDevice(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  const size_t backend = static_cast<size_t>(integer(info[0]));
  if (backend >= engine.backends.size()) refuse(info.Env(), "no such backend");
  Status status{};
  auto device = Device::open(engine.backends[backend], static_cast<int32_t>(integer(info[1])), &status);
  if (!device) refuse(info.Env(), status.message);
  engine.devices.push_back(std::move(device));
  return Napi::Number::New(info.Env(), static_cast<double>(engine.devices.size() - 1));
}

Napi::Value stats(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  Device& device = engine.device(static_cast<int32_t>(integer(info[0])));
  auto object = Napi::Object::New(info.Env());
  const auto set = [&](const char* name, double value) { object[name] = Napi::Number::New(info.Env(), value); };
  set("handles", static_cast<double>(engine.store.live()));
  set("bytesInUse", static_cast<double>(device.arena->bytesInUse()));
  set("peakBytes", static_cast<double>(device.arena->peakBytes()));
  set("bytesReserved", static_cast<double>(device.arena->bytesReserved()));
  set("systemAllocations", static_cast<double>(device.arena->systemAllocations()));
  set("queued", static_cast<double>(device.stream->queued()));
  set("capturesRun", static_cast<double>(device.stream->capturesRun()));
  set("callsMerged", static_cast<double>(device.stream->callsMerged()));
  object["captureProblem"] = Napi::String::New(info.Env(), device.stream->captureProblem());
  return object;
}

// The device's own memory as [bytes that nobody uses, all bytes]; undefined where it does not say.
Napi::Value memoryLeft(const Napi::CallbackInfo& info) {
  Device& device = engineOf(info.Env()).device(static_cast<int32_t>(integer(info[0])));
  if (!device.backend->memory) return info.Env().Undefined();
  size_t left = 0, all = 0;
  device.backend->memory(device.context, &left, &all);
  auto pair = Napi::Array::New(info.Env(), 2);
  pair[0u] = Napi::Number::New(info.Env(), static_cast<double>(left));
  pair[1u] = Napi::Number::New(info.Env(), static_cast<double>(all));
  return pair;
}

// Why nothing runs on the device any more; undefined while it works.
Napi::Value lost(const Napi::CallbackInfo& info) {
  Device& device = engineOf(info.Env()).device(static_cast<int32_t>(integer(info[0])));
  const char* reason = device.backend->lost ? device.backend->lost(device.context) : nullptr;
  return reason ? Napi::Value(Napi::String::New(info.Env(), reason)) : info.Env().Undefined();
}

Napi::Value resetPeak(const Napi::CallbackInfo& info) {
  engineOf(info.Env()).device(static_cast<int32_t>(integer(info[0]))).arena->resetPeak();
  return info.Env().Undefined();
}

Napi::Value setThreads(const Napi::CallbackInfo& info) {
  Device& device = engineOf(info.Env()).device(static_cast<int32_t>(integer(info[0])));
  const int threads = static_cast<int>(integer(info[1]));
  if (device.backend != cpuBackend()) refuse(info.Env(), "threads belong to the device 'cpu'");
  if (threads < 1 || threads > 256) refuse(info.Env(), "threads are 1 to 256, not " + std::to_string(threads));
  Task& task = device.stream->next();
  task.transfer = nullptr;
  task.control = setCpuThreads;
  task.argument = threads;
  device.stream->push();
  return info.Env().Undefined();
}

Napi::Value setPlace(const Napi::CallbackInfo& info) {
  engineOf(info.Env()).place = integer(info[0]);
  return info.Env().Undefined();
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* engine = new Engine(env);
  env.SetInstanceData<Engine>(engine);
  const auto nothing = Napi::Function::New(env, [](const Napi::CallbackInfo&) {});
  engine->answers = Napi::ThreadSafeFunction::New(env, nothing, "spikeloom", 0, 1);
  engine->answers.Unref(env);

  const auto add = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports[name] = Napi::Function::New(env, function, name);
  };
  add("ops", describeOps);
  add("bind", bind);
  add("supports", supports);
  add("empty", empty);
  add("alias", alias);
  add("isOnlyView", isOnlyView);
  add("free", release);
  add("write", write);
  add("read", read);
  add("finish", finish);
  add("addBackend", addBackend);
  add("openDevice", openDevice);
  add("stats", stats);
  add("memoryLeft", memoryLeft);
  add("lost", lost);
  add("resetPeak", resetPeak);
  add("setThreads", setThreads);
  add("setPlace", setPlace);
  add("beginRecording", beginRecording);
  add("cutRecording", cutRecording);
  add("pauseRecording", pauseRecording);
  add("leaveRecording", leaveRecording);
  add("resumeRecording", resumeRecording);
  add("endRecording", endRecording);
  add("cancelRecording", cancelRecording);
  add("replay", replay);
  add("callSeconds", callSeconds);
  add("freeProgram", freeProgram);
  add("decodeEvents", decodeEvents);
  addImages(env, exports);
  exports["abi"] = Napi::Number::New(env, kAbi);
  exports["cpu"] = describe(env, cpuBackend(), 0);
  exports["level"] = Napi::String::New(env, levelName(activeLevel()));
  exports["bestLevel"] = Napi::String::New(env, levelName(bestLevel()));
  exports["levelProblem"] = Napi::String::New(env, levelProblem());
  return exports;
}

}  // namespace
}  // namespace spikeloom

static Napi::Object initSpikeloom(Napi::Env env, Napi::Object exports) { return spikeloom::init(env, exports); }
NODE_API_MODULE(spikeloom, initSpikeloom)
