// Decoders of event recordings for JavaScript: a part of addon.cpp, which includes it within its namespace.

// useLargePages(array), of an array that was not touched yet.
Napi::Value useLargePages(const Napi::CallbackInfo& info) {
  const auto array = info[0].As<Napi::TypedArray>();
  askForLargePages(elementsOf<void>(array, nullptr), array.ByteLength());
  return info.Env().Undefined();
}

// decodeEvents(decoder, state, bytes, width, height, x, y, p, t): fills the four arrays from their beginning; see
// native/events/decoder.h. Gives [stop, bytes used, events, x, y, bytes due, problem].
Napi::Value decodeEvents(const Napi::CallbackInfo& info) {
  const std::string name = info[0].As<Napi::String>();
  const EventDecoder* decoder = nullptr;
  for (const EventDecoder& each : kEventDecoders) {
    if (name == each.name) decoder = &each;
  }
  if (!decoder) refuse(info.Env(), "no decoder is called '" + name + "'");
  size_t stateBytes = 0, columns = 0, rows = 0, polarities = 0, times = 0;
  void* kept = elementsOf<void>(info[1], &stateBytes);
  EventInput input{};
  input.bytes = elementsOf<const uint8_t>(info[2], &input.size);
  input.width = info[3].As<Napi::Number>().Uint32Value();
  input.height = info[4].As<Napi::Number>().Uint32Value();
  EventOutput output{};
  output.x = elementsOf<uint16_t>(info[5], &columns);
  output.y = elementsOf<uint16_t>(info[6], &rows);
  output.p = elementsOf<uint8_t>(info[7], &polarities);
  output.t = elementsOf<double>(info[8], &times);
  output.capacity = std::min({columns, rows, polarities, times});
  if (stateBytes != sizeof(EventState)) refuse(info.Env(), "decodeEvents: a state has " + std::to_string(sizeof(EventState)) + " bytes");
  EventState state;
  std::memcpy(&state, kept, sizeof state);
  const EventResult result = decoder->decode(&state, input, output);
  std::memcpy(kept, &state, sizeof state);
  auto list = Napi::Array::New(info.Env(), 7);
  uint32_t at = 0;
  for (const double value : {static_cast<double>(result.stop), static_cast<double>(input.used), static_cast<double>(output.count),
                             static_cast<double>(result.x), static_cast<double>(result.y), static_cast<double>(result.due)}) {
    list[at++] = Napi::Number::New(info.Env(), value);
  }
  list[at] = Napi::String::New(info.Env(), result.problem);
  return list;
}

// unpackLz4(bytes, out): gives the bytes written, -1 where `out` has no room, or the rule that the frame breaks; see
// native/events/lz4.h.
Napi::Value unpackLz4Frame(const Napi::CallbackInfo& info) {
  size_t size = 0, capacity = 0;
  const auto* bytes = elementsOf<const uint8_t>(info[0], &size);
  auto* out = elementsOf<uint8_t>(info[1], &capacity);
  const Unpacked found = unpackLz4(bytes, size, out, capacity);
  if (*found.problem) return Napi::String::New(info.Env(), found.problem);
  return Napi::Number::New(info.Env(), found.full ? -1 : static_cast<double>(found.size));
}
