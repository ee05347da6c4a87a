// Products with bits as sums of what fires (AVX2): words become lists of the bits that are set, and each entry of a
// list costs one addition a vector. Rows are 16 S numbers, floats or 16-bit integers; an entry is how far its row lies
// from the first, in bytes.
//
//   sums[16 S] += sum over entries of  rows[entry][16 S]
//
// The order of terms is that of the entries.

// The places of a byte's set bits, in order.
struct BitPlaces {
  alignas(64) uint8_t of[256][8] = {};
  constexpr BitPlaces() {
    for (int byte = 0; byte < 256; byte++) {
      for (int bit = 0, n = 0; bit < 8; bit++) {
        if (byte >> bit & 1) of[byte][n++] = static_cast<uint8_t>(bit);
      }
    }
  }
};
constexpr BitPlaces kBitPlaces;

// A list in the making. Behind its end lies room for kListSlack entries.
constexpr int64_t kListSlack = 8;
struct SpikeList {
  uint32_t* end;
  const __m256i size;  // of a row, in bytes

  SpikeList(uint32_t* to, int64_t rowBytes) : end(to), size(_mm256_set1_epi32(static_cast<int>(rowBytes))) {}

  // A word whose bit 0 stands for the row at `first`.
  __attribute__((always_inline)) void add(uint32_t word, int64_t first) {
    __m256i at = _mm256_set1_epi32(static_cast<int>(first));
#pragma GCC unroll 4
    for (int byte = 0; byte < 4; byte++) {
      const uint32_t bits = word >> byte * 8 & 255;
      const __m256i places = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kBitPlaces.of[bits])));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(end), _mm256_add_epi32(_mm256_mullo_epi32(places, size), at));
      end += __builtin_popcount(bits);
      at = _mm256_add_epi32(at, _mm256_slli_epi32(size, 3));
    }
  }
};

template <class T, int S>
struct ListSums {
  typedef uint16_t WholeVec __attribute__((vector_size(kVectorBytes)));  // sums of weights that are not finite wrap around
  using Row = std::conditional_t<sizeof(T) == 4, Vec<float>, WholeVec>;
  static constexpr int kVectors = S * static_cast<int>(sizeof(T)) / 2;
  Row sums[kVectors];

  __attribute__((always_inline)) void clear() {
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; i++) sums[i] = Row{};
  }
  __attribute__((always_inline)) void loadFrom(const T* from) {
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; i++) sums[i] = *(reinterpret_cast<const Row*>(from) + i);
  }
  __attribute__((always_inline)) void storeTo(T* to) const {
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; i++) *(reinterpret_cast<Row*>(to) + i) = sums[i];
  }

  // Entries count from `rows`, which need not be an address of a row itself.
  __attribute__((always_inline)) void add(uintptr_t rows, const uint32_t* entry, const uint32_t* end) {
    for (; entry < end; entry++) {
      const Row* row = reinterpret_cast<const Row*>(rows + *entry);
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; i++) sums[i] += row[i];
    }
  }

  // 16-bit integers 16 i .. 16 i + 15 as words.
  __attribute__((always_inline)) Words words(int i) const { return shortsAsWords((__m256i)sums[i]); }
};
