// JPEG files through libjpeg-turbo. The library reports by longjmp, so nothing with a destructor may be made between a
// call of it and the setjmp above: every call goes through Decoder::run(), whose body is calls of the library and plain
// numbers alone.
#include <csetjmp>
#include <cstring>
#include <vector>

#include "images/jpeg_library.h"
#include "images/render.h"
#include "images/resample.h"

#if SPIKELOOM_JPEG
#include <jerror.h>
#endif

namespace spikeloom::images {

#if SPIKELOOM_JPEG
namespace {

constexpr long kMostMemory = 256L << 20;  // coefficients of a progressive file; 85 million pixels with halved colours
constexpr int kMostScans = 200;           // a file of a few bytes a scan would keep the decoder busy for minutes

// The library's error handler and where it jumps to.
struct Escape {
  jpeg_error_mgr manager;
  jmp_buf target;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void escape(j_common_ptr info) {
  auto* self = reinterpret_cast<Escape*>(info->err);
  info->err->format_message(info, self->message);
  if (info->err->msg_code == JERR_NO_BACKING_STORE) {
    std::snprintf(self->message, sizeof self->message, "decoding it takes more than %ld MiB of memory", kMostMemory >> 20);
  }
  longjmp(self->target, 1);
}

// What the library calls a warning is an error here where pixels are missing or wrong; stray bytes and odd headers are
// not.
void warn(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_JPEG_EOF:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_BOGUS_PROGRESSION:
      escape(info);
    default:
      return;
  }
}

void watch(j_common_ptr info) {
  auto* decoder = reinterpret_cast<j_decompress_ptr>(info);
  if (decoder->input_scan_number <= kMostScans) return;
  auto* self = reinterpret_cast<Escape*>(info->err);
  std::snprintf(self->message, sizeof self->message, "it has more than %d scans", kMostScans);
  longjmp(self->target, 1);
}

void nothing(j_common_ptr) {}

// a * b / 255, rounded
uint8_t share(int a, int b) {
  const int product = a * b + 128;
  return static_cast<uint8_t>((product + (product >> 8)) >> 8);
}

// Adobe writes CMYK inverted: 255 is no ink. In place, four bytes a pixel to three.
void cmykToRgb(uint8_t* row, int columns) {
  for (int x = 0; x < columns; x++) {
    const uint8_t* from = row + 4 * x;
    const int light = from[3];
    uint8_t* to = row + 3 * x;
    for (int c = 0; c < 3; c++) to[c] = static_cast<uint8_t>(light - share(255 - from[c], light));
  }
}

class Decoder {
 public:
  Decoder(const uint8_t* bytes, size_t length) : api(jpegLibrary()), length(length) {
    info.err = api.stdError(&errors.manager);
    errors.manager.error_exit = escape;
    errors.manager.emit_message = warn;
    errors.manager.output_message = nothing;
    progress.progress_monitor = watch;
    isOpen = run([&] {
      api.createDecompress(&info, JPEG_LIB_VERSION, sizeof info);
      info.mem->max_memory_to_use = kMostMemory;
      info.progress = &progress;
      api.memorySource(&info, const_cast<uint8_t*>(bytes), static_cast<unsigned long>(length));
      api.readHeader(&info, TRUE);
    });
  }
  ~Decoder() {
    if (info.mem) api.destroyDecompress(&info);
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // Whether the header was read and names a picture that is not too large.
  bool header(Fault* fault) const {
    if (!isOpen) return fail(fault, errors.message);
    if (double{1} * info.image_width * info.image_height <= kMostPixels) return true;
    return fail(fault, "a picture has at most 100 million pixels, but this one " + std::to_string(info.image_width) + " x " +
                           std::to_string(info.image_height));
  }
  Size size() const { return {static_cast<int>(info.image_width), static_cast<int>(info.image_height)}; }

  void render(const Window& window, uint8_t* out, Fault* fault) {
    const double scale = start(window, fault);
    if (scale == 0) return;
    Resampler resampler(window, scale, static_cast<int>(info.output_width), static_cast<int>(info.output_height));
    const int top = resampler.down().begin, rows = resampler.down().end - top;
    const int column = seek(resampler.across(), top, fault);
    if (column < 0) return;
    const bool isCmyk = info.output_components == 4;
    std::vector<uint8_t> row(static_cast<size_t>(info.output_width) * static_cast<size_t>(info.output_components));
    uint8_t* data = row.data();
    for (int y = 0; y < rows; y++) {
      if (!run([&] { api.readScanlines(&info, &data, 1); })) return void(fail(fault, errors.message));
      if (isCmyk) cmykToRgb(data, static_cast<int>(info.output_width));
      resampler.row(y, data, column);
    }
    resampler.finish(out);
  }

 private:
  // Runs calls of the library; false where it gave up. `body` makes nothing that would have to be destroyed.
  template <class Body>
  bool run(Body body) {
    if (setjmp(errors.target)) return false;
    body();
    return true;
  }

  bool fail(Fault* fault, const std::string& message) const {
    fault->message = message;
    fault->offset = info.mem && info.src ? length - info.src->bytes_in_buffer : 0;
    if (fault->offset > length) fault->offset = length;  // the library makes up an end where there is none
    return false;
  }

  // Chooses the size to decode at, 1/8, 1/4, 1/2 or 1, the smallest that still has the window's pixels. 0: failed.
  double start(const Window& window, Fault* fault) {
    int eighths = 1;
    while (eighths < 8 && (window.width * eighths < 8.0 * window.wide || window.height * eighths < 8.0 * window.high)) eighths *= 2;
    const bool isCmyk = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
    info.scale_num = static_cast<unsigned>(eighths);
    info.scale_denom = 8;
    info.out_color_space = isCmyk ? JCS_CMYK : JCS_RGB;
    if (!run([&] { api.startDecompress(&info); })) {
      fail(fault, errors.message);
      return 0;
    }
    return eighths / 8.0;
  }

  // Leaves out the columns and rows that nobody needs; the first column that is made, or -1: failed. The two columns
  // more on each side are what the library's interpolation of colours looks at.
  int seek(const Axis& across, int top, Fault* fault) {
    const int right = static_cast<int>(info.output_width);
    JDIMENSION column = static_cast<JDIMENSION>(across.begin < 2 ? 0 : across.begin - 2);
    JDIMENSION columns = static_cast<JDIMENSION>(across.end + 2 > right ? right : across.end + 2) - column;
    const bool isPart = column > 0 || static_cast<int>(columns) < right;
    const bool done = run([&] {
      if (isPart) api.cropScanline(&info, &column, &columns);
      if (top > 0) api.skipScanlines(&info, static_cast<JDIMENSION>(top));
    });
    if (done) return isPart ? static_cast<int>(column) : 0;
    fail(fault, errors.message);
    return -1;
  }

  const JpegLibrary& api;
  size_t length;
  jpeg_decompress_struct info{};
  Escape errors{};
  jpeg_progress_mgr progress{};
  bool isOpen = false;
};

}  // namespace

Size jpegSize(const uint8_t* bytes, size_t length, Fault* fault) {
  const Decoder decoder(bytes, length);
  return decoder.header(fault) ? decoder.size() : Size{};
}

void renderJpeg(const uint8_t* bytes, size_t length, const Window& window, uint8_t* out, Fault* fault) {
  Decoder decoder(bytes, length);
  if (!decoder.header(fault)) return;
  fault->message = windowProblem(window, decoder.size());
  if (fault->message.empty()) decoder.render(window, out, fault);
}

#else

Size jpegSize(const uint8_t*, size_t, Fault* fault) {
  fault->message = jpegProblem();
  return {};
}

void renderJpeg(const uint8_t*, size_t, const Window&, uint8_t*, Fault* fault) { fault->message = jpegProblem(); }

#endif

}  // namespace spikeloom::images
