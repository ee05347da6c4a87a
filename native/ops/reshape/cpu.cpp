// Between pictures and rows of features (flatten and its gradient) a picture's channels and pixels are swapped in one
// go; anything else is gathered element by element: the rare case, where neither that nor a view of the same memory
// will do.
#define SPIKELOOM_FILE "ops/reshape/cpu.cpp"
#include "cpu/levels.h"
#include "ops/reshape/reshape.h"

#include "cpu/level_begin.inl"
#include "cpu/rows.inl"

// out[c * rows + r] = in[r * columns + c]
template <class T>
void transpose(const T* in, int64_t rows, int64_t columns, T* out) {
  for (int64_t c = 0; c < columns; c++) {
    for (int64_t r = 0; r < rows; r++) out[c * rows + r] = in[r * columns + c];
  }
}

template <class F>
void eachBit(const uint32_t* words, int64_t n, F&& body) {
  for (int64_t k = 0; k < n; k++) {
    for (uint32_t word = words[k]; word != 0; word &= word - 1) body(k * 32 + __builtin_ctz(word));
  }
}

void setBit(uint32_t* words, int64_t i) { words[i / 32] |= 1u << (i % 32); }

// The spikes of a picture [inner][C] at bit c * inner + p of its row, or back.
void swapSpikes(const RestOrder& picture, const uint32_t* in, uint32_t* out, bool isFlattened) {
  const int64_t words = spikeWords(picture.C), rowWords = spikeWords(picture.C * picture.inner);
  std::fill(out, out + (isFlattened ? rowWords : picture.inner * words), 0u);
  if (isFlattened) {
    for (int64_t p = 0; p < picture.inner; p++) {
      eachBit(in + p * words, words, [&](int64_t c) { setBit(out, c * picture.inner + p); });
    }
  } else {
    eachBit(in, rowWords, [&](int64_t at) { setBit(out + at % picture.inner * words, at / picture.inner); });
  }
}

template <class T>
void swapAxes(const Call& call, const RestOrder& picture, bool isFlattened) {
  const TensorView &x = call.tensors[0], &y = call.tensors[1];
  const int64_t size = picture.C * picture.inner, rowWords = spikeWords(size), pictureWords = picture.inner * spikeWords(picture.C);
  const int64_t inWords = isFlattened ? pictureWords : rowWords, outWords = isFlattened ? rowWords : pictureWords;
  parallelPixels(call, count(x) / size, size, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; i++) {
      if (x.dtype == DType::spike) swapSpikes(picture, as<uint32_t>(x) + i * inWords, as<uint32_t>(y) + i * outWords, isFlattened);
      else if (isFlattened) transpose(as<T>(x) + i * size, picture.inner, picture.C, as<T>(y) + i * size);
      else transpose(as<T>(x) + i * size, picture.C, picture.inner, as<T>(y) + i * size);
    }
  });
}

template <class T>
void gather(const Call& call, const RestOrder& from, const RestOrder& to) {
  const bool spikes = call.tensors[0].dtype == DType::spike;
  const int64_t inWords = spikeWords(from.C), outWords = spikeWords(to.C);
  parallelPixels(call, pixels(call.tensors[1]), to.C, [&](int64_t begin, int64_t end, int) {
    for (int64_t pixel = begin; pixel < end; pixel++) {
      uint32_t* words = as<uint32_t>(call.tensors[1]) + pixel * outWords;
      for (int64_t k = 0; spikes && k < outWords; k++) words[k] = 0;
      for (int64_t c = 0; c < to.C; c++) {
        const int64_t position = to.position(pixel, c);
        const int64_t p = from.pixel(position), k = from.channel(position);
        if (spikes) words[c / 32] |= (as<uint32_t>(call.tensors[0])[p * inWords + k / 32] >> (k % 32) & 1u) << (c % 32);
        else as<T>(call.tensors[1])[pixel * to.C + c] = as<T>(call.tensors[0])[p * from.C + k];
      }
    }
  });
}

template <class T>
void reorder(const Call& call) {
  const RestOrder from(call.tensors[0]), to(call.tensors[1]);
  if (to.inner == 1 && to.C == from.C * from.inner) return swapAxes<T>(call, from, true);
  if (from.inner == 1 && from.C == to.C * to.inner) return swapAxes<T>(call, to, false);
  gather<T>(call, from, to);
}

SPIKELOOM_KERNEL(kReorder, reorder)

#include "cpu/level_end.inl"
