// The only file that knows N-API: tensors by handle, one generic body for every op, transfers that answer with
// promises. A thread that is being ended takes no exceptions any more; without this, throwing one there would end the
// process.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#include <napi.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/layout.h"
#include "core/mapped_file.h"
#include "core/recorder.h"
#include "core/registry.h"
#include "core/store.h"
#include "core/tensor.h"
#include "cpu/backend.h"
#include "cpu/memory.h"
#include "events/decoder.h"
#include "events/lz4.h"
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

  // Whether a call can take a tensor now: it has memory, or the recording under way makes it.
  bool canUse(const Storage& storage) const {
    return !Recorder::isVirtual(&storage) || (records(storage.device) && recorder->made(&storage));
  }

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

// The memory of a typed array, shared or not.
template <class T>
T* elementsOf(const Napi::Value& value, size_t* count) {
  napi_typedarray_type type;
  void* data = nullptr;
  size_t length = 0;
  if (napi_get_typedarray_info(value.Env(), value, &type, &length, &data, nullptr, nullptr) != napi_ok) {
    refuse(value.Env(), "a typed array is needed");
  }
  if (count) *count = length;
  return static_cast<T*>(data);
}

#include "core/addon_tensors.inl"

#include "core/addon_transfers.inl"

// ---- ops

// call(op, tensors, attributes, ...numbers): the numbers are `tensors` handles (0: not given), then the attributes.
// Bound once per op.
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
    bool isRounded = false;
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
      if (!engine.canUse(*storages[i])) {
        refuse(env, ops()[op].name + ": what is made while a step is recorded has no memory before that ends, so only calls of the same recording take it; compute it again outside of the recording");
      }
      if (home != index) refuse(env, ops()[op].name + ": the tensors live on different devices; make them on one, as in tensor(data, { device })");
      if (call.tensors[i].dtype == DType::f64) real = DType::f64;
      isRounded |= call.tensors[i].dtype == DType::bf16;
    }
    if (!device) refuse(env, ops()[op].name + ": no tensor was given");
    if (isRounded && real == DType::f64 && ops()[op].name != "toReal") {
      refuse(env, ops()[op].name + ": bf16 goes with f32, not with f64; make the others f32");
    }
    call.kernel = device->kernel(op, real);
    if (!call.kernel) {
      refuse(env, ops()[op].name + ": no kernel for " + (real == DType::f64 ? "f64" : "f32") + " on device '" + device->backend->name + "'");
    }
    call.merged = engine.records(index) ? device->merged(op, real) : nullptr;
    call.op = ops()[op].name.c_str();
    call.written = ops()[op].written;
    call.made = ops()[op].made;
    call.filled = ops()[op].filled;
    call.place = engine.place;
    call.tensorCount = static_cast<int32_t>(tensors);
    for (size_t i = tensors; i < argc; i++) napi_get_value_double(rawEnv, argv[i], &call.attributes[i - tensors]);
    if (engine.records(index)) {
      engine.recorder->call(call, storages);
      return nullptr;
    }
    Task& task = device->stream->next();
    task.call = call;
    device->stream->push();
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
  } catch (const std::exception& error) {
    Napi::Error::New(env, error.what()).ThrowAsJavaScriptException();
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

#include "core/addon_files.inl"

#include "core/addon_images.inl"

#include "core/addon_devices.inl"

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
  add("arrangeRecording", arrangeRecording);
  add("endRecording", endRecording);
  add("cancelRecording", cancelRecording);
  add("replay", replay);
  add("callSeconds", callSeconds);
  add("freeProgram", freeProgram);
  add("decodeEvents", decodeEvents);
  add("useLargePages", useLargePages);
  add("unpackLz4", unpackLz4Frame);
  add("mapFile", mapFile);
  add("readMapped", readMapped);
  add("unmapFile", unmapFile);
  add("lockFile", lockFile);
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
