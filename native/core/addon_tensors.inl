// Tensors by handle for JavaScript: a part of addon.cpp, which includes it within its namespace.

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

void needHandle(const Engine& engine) {
  if (!engine.store.isFull()) return;
  refuse(engine.env, "out of memory: " + std::to_string(Store::kMostTensors) +
                         " tensors are alive, which is as many as there are handles; dispose() those no longer needed, or make them in scope()");
}

Napi::Value empty(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  const int32_t index = static_cast<int32_t>(integer(info[0]));
  Device& device = engine.device(index);
  TensorView view{nullptr, static_cast<DType>(integer(info[1])), 0, {}};
  setShape(view, info, 2);
  needHandle(engine);
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
  device.stream->beginAnew(view.data, bytes);
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
  const TensorView& old = viewOf(engine, handle);
  if (storedBytes(view) != storedBytes(old) || count(view) != count(old)) refuse(info.Env(), "a view keeps the number of elements of its tensor");
  const auto isWhole = [](const TensorView& t) { return channels(t) % 32 == 0; };
  if (view.dtype == DType::spike && channels(view) != channels(old) && !(isWhole(view) && isWhole(old))) {
    refuse(info.Env(), "a view of spikes keeps the channels of its tensor, or both have whole words of 32; reshape() moves the bits");
  }
  needHandle(engine);
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
