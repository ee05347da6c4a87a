// Pictures for JavaScript: a part of addon.cpp, which includes it within its namespace. These run at once, in the
// caller's thread.

// Twelve numbers: the box x, y, width, height; what it is scaled to; the window's left, top, columns, rows; whether to
// mirror; the filter.
images::Window windowOf(const Napi::Value& value) {
  size_t count = 0;
  const double* v = elementsOf<double>(value, &count);
  if (count != 12) refuse(value.Env(), "a window is twelve numbers");
  for (size_t i = 0; i < 12; i++) {
    if (!(v[i] >= 0 && v[i] <= 1 << 24)) refuse(value.Env(), "number " + std::to_string(i) + " of a window is out of range");
  }
  const auto whole = [&](size_t i) { return static_cast<int>(v[i]); };
  const images::Filter filter = v[11] != 0 ? images::Filter::bicubic : images::Filter::bilinear;
  return {v[0], v[1], v[2], v[3], whole(4), whole(5), whole(6), whole(7), whole(8), whole(9), v[10] != 0, filter};
}

// Where the window's pixels go: bytes of an array from a place on.
uint8_t* roomFor(const images::Window& window, const Napi::Value& array, const Napi::Value& at) {
  size_t length = 0;
  uint8_t* bytes = elementsOf<uint8_t>(array, &length);
  const int64_t start = integer(at);
  const int64_t needed = int64_t{3} * window.columns * window.rows;
  if (start < 0 || start > static_cast<int64_t>(length) - needed) refuse(array.Env(), "there is no room for the picture");
  return bytes + start;
}

[[noreturn]] void refuse(Napi::Env env, const images::Fault& fault) {
  const Napi::Error error = Napi::Error::New(env, fault.message);
  error.Value().Set("offset", Napi::Number::New(env, static_cast<double>(fault.offset)));
  throw error;
}

// Why JPEG files cannot be decoded here; empty where they can.
Napi::Value jpegProblem(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), images::jpegProblem()); }

// jpegSize(bytes): [width, height]
Napi::Value jpegSize(const Napi::CallbackInfo& info) {
  size_t length = 0;
  const uint8_t* bytes = elementsOf<uint8_t>(info[0], &length);
  images::Fault fault;
  const images::Size size = images::jpegSize(bytes, length, &fault);
  if (!fault.message.empty()) refuse(info.Env(), fault);
  auto pair = Napi::Array::New(info.Env(), 2);
  pair[0u] = Napi::Number::New(info.Env(), size.width);
  pair[1u] = Napi::Number::New(info.Env(), size.height);
  return pair;
}

// renderJpeg(bytes, window, out, at)
Napi::Value renderJpeg(const Napi::CallbackInfo& info) {
  size_t length = 0;
  const uint8_t* bytes = elementsOf<uint8_t>(info[0], &length);
  const images::Window window = windowOf(info[1]);
  images::Fault fault;
  images::renderJpeg(bytes, length, window, roomFor(window, info[2], info[3]), &fault);
  if (!fault.message.empty()) refuse(info.Env(), fault);
  return info.Env().Undefined();
}

// renderPixels(rgb, width, height, window, out, at)
Napi::Value renderPixels(const Napi::CallbackInfo& info) {
  size_t length = 0;
  const uint8_t* rgb = elementsOf<uint8_t>(info[0], &length);
  const images::Size size{static_cast<int>(integer(info[1])), static_cast<int>(integer(info[2]))};
  const images::Window window = windowOf(info[3]);
  if (size.width < 1 || size.height < 1 || length != size_t{3} * static_cast<size_t>(size.width) * static_cast<size_t>(size.height)) {
    refuse(info.Env(), "a picture has three bytes a pixel");
  }
  const std::string problem = images::windowProblem(window, size);
  if (!problem.empty()) refuse(info.Env(), problem);
  images::renderPixels(rgb, size, window, roomFor(window, info[4], info[5]));
  return info.Env().Undefined();
}

// normalisePixels(pixels, plane, table, out): pixels [N,C,plane] through a table [C,256].
Napi::Value normalisePixels(const Napi::CallbackInfo& info) {
  size_t pixels = 0, table = 0, made = 0;
  const uint8_t* from = elementsOf<uint8_t>(info[0], &pixels);
  const float* values = elementsOf<float>(info[2], &table);
  float* to = elementsOf<float>(info[3], &made);
  const size_t plane = static_cast<size_t>(integer(info[1])), channels = table / 256;
  const bool fits = plane > 0 && channels > 0 && pixels % (plane * channels) == 0 && made == pixels;
  if (!fits) refuse(info.Env(), "pixels, table and result do not fit together");
  images::normalise(from, pixels / (plane * channels), channels, plane, values, to);
  return info.Env().Undefined();
}

void addImages(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports[name] = Napi::Function::New(env, function, name);
  };
  add("jpegSize", jpegSize);
  add("renderJpeg", renderJpeg);
  add("renderPixels", renderPixels);
  add("normalisePixels", normalisePixels);
  add("jpegProblem", jpegProblem);
}
