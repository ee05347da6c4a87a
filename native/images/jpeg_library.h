// libjpeg-turbo where there is one: its header when the addon is built, its library when the addon runs. Neither is
// needed for the rest.
#pragma once
#if __has_include(<jpeglib.h>) && __has_include(<jconfig.h>)
#include <cstddef>
#include <cstdio>

#include <jpeglib.h>
#endif

#if defined(LIBJPEG_TURBO_VERSION) && LIBJPEG_TURBO_VERSION_NUMBER >= 1005000
#define SPIKELOOM_JPEG 1
#endif

namespace spikeloom::images {

// Why JPEG files cannot be decoded here; empty where they can.
const char* jpegProblem();

#if SPIKELOOM_JPEG
struct JpegLibrary {
  decltype(&jpeg_std_error) stdError = nullptr;
  decltype(&jpeg_CreateDecompress) createDecompress = nullptr;
  decltype(&jpeg_mem_src) memorySource = nullptr;
  decltype(&jpeg_read_header) readHeader = nullptr;
  decltype(&jpeg_start_decompress) startDecompress = nullptr;
  decltype(&jpeg_crop_scanline) cropScanline = nullptr;
  decltype(&jpeg_skip_scanlines) skipScanlines = nullptr;
  decltype(&jpeg_read_scanlines) readScanlines = nullptr;
  decltype(&jpeg_destroy_decompress) destroyDecompress = nullptr;
  const char* problem = "";
};

// Opened at first use; its functions are there where `problem` is empty.
const JpegLibrary& jpegLibrary();
#endif

}  // namespace spikeloom::images
