// Writes, and reads that answer with promises: a part of addon.cpp, which includes it within its namespace.

void enqueue(Device& device, Transfer* transfer) {
  Task& task = device.stream->next();
  task.transfer = transfer;
  device.stream->push();
}

// A tensor that a transfer reaches, and its device.
Storage& memoryOf(Engine& engine, int64_t handle) {
  Storage* storage = engine.store.storage(handle);
  if (!storage || !Recorder::isVirtual(storage)) return *storage;
  refuse(engine.env,
         "what is made while a step is recorded has no memory yet, so its numbers cannot be written or read there; make constants and inputs "
         "before the recording, as by tensor(), and read results behind a replay");
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

// Spikes come as bytes, each 0 or 1.
void needSpikes(Napi::Env env, const HostBytes& bytes) {
  uint8_t all = 0;
  for (const char byte : bytes) all |= static_cast<uint8_t>(byte);
  if (all <= 1) return;
  const auto wrong = std::find_if(bytes.begin(), bytes.end(), [](char byte) { return static_cast<uint8_t>(byte) > 1; });
  const int number = static_cast<uint8_t>(*wrong);
  refuse(env, "spike holds 0 and 1, but number " + std::to_string(wrong - bytes.begin()) + " is " + std::to_string(number));
}

// write(handle, data): replaces the elements by a copy of the typed array; write(handle): by zeros; write(handle, data,
// first): those from an index of the first axis on.
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
    const char* data = elementsOf<const char>(array, nullptr);
    if (!info[2].IsUndefined()) {
      transfer->tensor = partOf(info.Env(), view, integer(info[2]), array.ByteLength());
    } else if (array.ByteLength() != hostBytes(view)) {
      refuse(info.Env(), "a tensor of " + std::to_string(hostBytes(view)) + " bytes cannot take " + std::to_string(array.ByteLength()));
    }
    transfer->host.assign(data, data + array.ByteLength());
    if (view.dtype == DType::spike) needSpikes(info.Env(), transfer->host);
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
    read->transfer.into = elementsOf<char>(array, nullptr);
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

// read(handle, array): fills the array with the tensor's elements in the host's order, and gives it, when all work
// queued before is done. The stream's thread writes; nobody else touches the array meanwhile.
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
