// Mapped files for JavaScript, which gets copies and never sees the mapping, and locks on files: a part of addon.cpp,
// which includes it within its namespace.

MappedFile& mappedFileOf(const Napi::Value& value) {
  if (!value.IsExternal()) refuse(value.Env(), "a mapped file is needed");
  return *value.As<Napi::External<MappedFile>>().Data();
}

// mapFile(descriptor): undefined where it cannot be mapped. It is closed at the latest when it is collected or its
// environment ends.
Napi::Value mapFile(const Napi::CallbackInfo& info) {
  auto file = MappedFile::open(info[0].As<Napi::Number>().Int32Value());
  if (!file) return info.Env().Undefined();
  return Napi::External<MappedFile>::New(info.Env(), file.release(), [](Napi::Env, MappedFile* closed) { delete closed; });
}

// readMapped(file, offset, bytes): fills `bytes`; false where the file does not have them any more.
Napi::Value readMapped(const Napi::CallbackInfo& info) {
  size_t length = 0;
  auto* bytes = elementsOf<uint8_t>(info[2], &length);
  const double offset = info[1].As<Napi::Number>().DoubleValue();
  const bool isPlace = offset >= 0 && offset < 9007199254740992.0;
  return Napi::Boolean::New(info.Env(), isPlace && mappedFileOf(info[0]).read(static_cast<uint64_t>(offset), length, bytes));
}

// lockFile(descriptor): false where the file was opened once more, here or in another process, and is locked there. The
// lock ends with the descriptor, however the process ends. A file system without locks refuses nobody.
Napi::Value lockFile(const Napi::CallbackInfo& info) {
  const int descriptor = info[0].As<Napi::Number>().Int32Value();
  return Napi::Boolean::New(info.Env(), ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK);
}

Napi::Value unmapFile(const Napi::CallbackInfo& info) {
  mappedFileOf(info[0]).close();
  return info.Env().Undefined();
}
