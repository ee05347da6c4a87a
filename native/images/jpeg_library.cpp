#include "images/jpeg_library.h"

#include <dlfcn.h>

#include <string>

namespace spikeloom::images {

#if SPIKELOOM_JPEG
namespace {

// The library's name tells the layout of its structures, which the header fixed.
#if JPEG_LIB_VERSION >= 80
#define SPIKELOOM_JPEG_ABI "8"
#elif JPEG_LIB_VERSION >= 70
#define SPIKELOOM_JPEG_ABI "7"
#else
#define SPIKELOOM_JPEG_ABI "62"
#endif
#if defined(__APPLE__)
constexpr char kName[] = "libjpeg." SPIKELOOM_JPEG_ABI ".dylib";
#else
constexpr char kName[] = "libjpeg.so." SPIKELOOM_JPEG_ABI;
#endif

JpegLibrary open() {
  JpegLibrary library;
  static std::string problem;
  void* handle = dlopen(kName, RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    problem = std::string("libjpeg-turbo cannot be loaded (") + dlerror() + "); install it (Debian: apt install libjpeg62-turbo)";
    library.problem = problem.c_str();
    return library;
  }
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, name));
    if (function || !problem.empty()) return;
    problem = std::string(kName) + " has no " + name + ": it is not libjpeg-turbo 1.5 or later";
  };
  find(library.stdError, "jpeg_std_error");
  find(library.createDecompress, "jpeg_CreateDecompress");
  find(library.memorySource, "jpeg_mem_src");
  find(library.readHeader, "jpeg_read_header");
  find(library.startDecompress, "jpeg_start_decompress");
  find(library.cropScanline, "jpeg_crop_scanline");
  find(library.skipScanlines, "jpeg_skip_scanlines");
  find(library.readScanlines, "jpeg_read_scanlines");
  find(library.destroyDecompress, "jpeg_destroy_decompress");
  library.problem = problem.c_str();
  return library;
}

}  // namespace

const JpegLibrary& jpegLibrary() {
  static const JpegLibrary library = open();
  return library;
}

const char* jpegProblem() { return jpegLibrary().problem; }

#else

const char* jpegProblem() {
  return "the addon was built without libjpeg-turbo's header; install it (Debian: apt install libjpeg62-turbo-dev), remove build/Release and build again";
}

#endif

}  // namespace spikeloom::images
