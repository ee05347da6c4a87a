// Recorded steps for JavaScript: a part of addon.cpp, which includes it within its namespace.

Recorder& recorderOf(Engine& engine) {
  if (!engine.recorder) refuse(engine.env, "no recording is under way");
  return *engine.recorder;
}

// From here to endRecording() or cancelRecording(), calls on this device are noted and not queued.
Napi::Value beginRecording(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  const int32_t index = static_cast<int32_t>(integer(info[0]));
  if (engine.recorder) refuse(info.Env(), "a recording holds no other one, and one is under way; end it first");
  engine.recorder = std::make_unique<Recorder>(engine.device(index), index, engine.store);
  return info.Env().Undefined();
}

Napi::Value cutRecording(const Napi::CallbackInfo& info) {
  recorderOf(engineOf(info.Env())).cut();
  return info.Env().Undefined();
}

// pauseRecording(yes): what is made meanwhile has memory at once, as if it had been made before the recording.
Napi::Value pauseRecording(const Napi::CallbackInfo& info) {
  engineOf(info.Env()).isPaused = info[0].ToBoolean();
  return info.Env().Undefined();
}

// leaveRecording(): as if none were under way, until resumeRecording(what this gave).
Napi::Value leaveRecording(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  recorderOf(engine);
  engine.left[++engine.recordingsLeft] = std::move(engine.recorder);
  return Napi::Number::New(info.Env(), static_cast<double>(engine.recordingsLeft));
}

Napi::Value resumeRecording(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  const auto found = engine.left.find(integer(info[0]));
  if (found == engine.left.end()) refuse(info.Env(), "no such recording was left");
  if (engine.recorder) refuse(info.Env(), "a recording holds no other one, and one is under way; end it first");
  engine.recorder = std::move(found->second);
  engine.left.erase(found);
  return info.Env().Undefined();
}

Napi::Value cancelRecording(const Napi::CallbackInfo& info) {
  engineOf(info.Env()).recorder.reset();
  return info.Env().Undefined();
}

// arrangeRecording(): the first half of what endRecording() does, which takes a moment; nothing may be noted behind it.
Napi::Value arrangeRecording(const Napi::CallbackInfo& info) {
  recorderOf(engineOf(info.Env())).arrange();
  return info.Env().Undefined();
}

// endRecording(dry): what was recorded and its memory; `program` names it for replay(), or is 0 after a dry recording,
// which keeps nothing.
Napi::Value endRecording(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  const bool dry = info[0].ToBoolean();
  recorderOf(engine);
  const std::unique_ptr<Recorder> recorder = std::move(engine.recorder);
  if (!dry) trimHeap();  // of what making and recording a network took
  Recording recording;
  Status status{};
  int64_t program = 0;
  if (dry) {
    recording = recorder->plan();
  } else if (recorder->finish(&recording, &status)) {
    engine.programs[program = ++engine.programsMade] = recording;
    recording.program->number = program;
  } else {
    refuse(info.Env(), "out of memory: " + std::to_string(recording.workspaceBytes + recording.resultBytes) + " bytes for a recorded step (" +
                           status.message + "); make the batch, the width or the steps smaller");
  }
  auto object = Napi::Object::New(info.Env());
  const auto set = [&](const char* name, double value) { object[name] = Napi::Number::New(info.Env(), value); };
  set("program", static_cast<double>(program));
  set("calls", static_cast<double>(recording.program->calls.size()));
  set("parts", static_cast<double>(recording.program->parts.size()));
  set("workspaceBytes", static_cast<double>(recording.workspaceBytes));
  set("leastBytes", static_cast<double>(recording.leastBytes));
  set("resultBytes", static_cast<double>(recording.resultBytes));
  return object;
}

// replay(program, part, timed): queues all calls of the part as one task; timed: each is waited for, see callSeconds().
Napi::Value replay(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  const auto found = engine.programs.find(integer(info[0]));
  const size_t part = static_cast<size_t>(integer(info[1]));
  if (found == engine.programs.end()) refuse(info.Env(), "this recorded step was disposed; record it anew");
  if (engine.recorder) refuse(info.Env(), "a recorded step cannot be replayed while another one is recorded; replay it behind the recording");
  const Recording& recording = found->second;
  Device& device = engine.device(recording.device);
  if (part >= recording.program->parts.size()) refuse(info.Env(), "a recorded step has no part " + std::to_string(part));
  if (recording.workspaceBytes > device.workspace->bytes()) refuse(info.Env(), "out of memory: a recorded step has lost its workspace; record it anew");
  if (!device.workspace->begin(recording.program.get(), part)) {
    refuse(info.Env(), "the parts of a recorded step are replayed in their order, with no other recorded step between; part " + std::to_string(part) +
                           " does not follow the one replayed last; begin with part 0");
  }
  Task& task = device.stream->next();
  task.program = recording.program;
  task.part = part;
  task.use = info[2].ToBoolean() ? Use::time : Use::replay;
  task.workspace = device.workspace->data();
  device.stream->push();
  return info.Env().Undefined();
}

// callSeconds(program): of each call in the last timed replay, which the caller has waited for.
Napi::Value callSeconds(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  const auto found = engine.programs.find(integer(info[0]));
  if (found == engine.programs.end()) refuse(info.Env(), "this recorded step was disposed; record it anew");
  const std::vector<double>& seconds = found->second.program->seconds;
  auto list = Napi::Float64Array::New(info.Env(), seconds.size());
  std::copy(seconds.begin(), seconds.end(), list.Data());
  return list;
}

// Harmless when done already.
Napi::Value freeProgram(const Napi::CallbackInfo& info) {
  Engine& engine = engineOf(info.Env());
  const auto found = engine.programs.find(integer(info[0]));
  if (found == engine.programs.end()) return info.Env().Undefined();
  Device& device = engine.device(found->second.device);
  if (device.backend->captures) {
    Task& task = device.stream->next();
    task.program = found->second.program;
    task.use = Use::forget;
    device.stream->push();
  }
  for (Storage* storage : found->second.held) device.release(storage);
  device.workspace->leave(found->second.program.get());
  engine.programs.erase(found);
  return info.Env().Undefined();
}
