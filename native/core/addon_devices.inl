// Backends and devices for JavaScript: a part of addon.cpp, which includes it within its namespace.

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
  set("callsAside", static_cast<double>(device.stream->callsAside()));
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
  task.control = setCpuThreads;
  task.argument = threads;
  device.stream->push();
  return info.Env().Undefined();
}

Napi::Value setPlace(const Napi::CallbackInfo& info) {
  engineOf(info.Env()).place = integer(info[0]);
  return info.Env().Undefined();
}
