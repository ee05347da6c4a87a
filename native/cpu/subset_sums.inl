// Products with bits as sums out of tables (AVX-512): four numbers have 16 sums of some of them, and four bits of a word
// choose one. The 16 sums are the lanes of a vector, out of which 16 words choose at once, so that a permutation and an
// addition do the work of 64 products, however many bits are set. A tile is 4 rows of numbers x 16 P words.
//
//   sums[r][w] += sum over groups g of 4 bits of  tables[g][r][bits 4g .. 4g+3 of words[w]]
constexpr int kSubsetRows = 4, kSubsetBits = 4, kSubsetGroups = 32 / kSubsetBits;                // groups of a word
constexpr int64_t kSubsetSums = 1 << kSubsetBits, kSubsetTable = kSubsetSums * kSubsetRows;  // numbers of a table, of a group's tables
constexpr int64_t kSubsetWords = 64;                                                         // of the largest tile

constexpr int64_t kSubsetNumbers = 16, kSubsetNumberTables = 4;  // whose tables are made at a time

SPIKELOOM_SIXTEEN Floats loadSubset(const float* p, int64_t n, bool rounded) { return loadRounded(p, n, rounded); }

// The tables of 16 numbers, four by four: table i, at to + i * step, has in lane j the sum of those of numbers 4i ..
// 4i+3 whose bit is set in j.
__attribute__((always_inline)) inline void storeSubsetSums(__m512 x, int64_t tables, float* to, int64_t step) {
  // per quarter: 0, x0, x1, x0 + x1 and 0, x2, x3, x2 + x3
  const __m512 low = _mm512_add_ps(_mm512_maskz_permute_ps(0xaaaa, x, 0x00), _mm512_maskz_permute_ps(0xcccc, x, 0x55));
  const __m512 high = _mm512_add_ps(_mm512_maskz_permute_ps(0xaaaa, x, 0xaa), _mm512_maskz_permute_ps(0xcccc, x, 0xff));
  __m512i order = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  const auto put = [&](__m512 quarter) __attribute__((always_inline)) {
    _mm512_storeu_ps(to, _mm512_add_ps(quarter, _mm512_permutexvar_ps(order, high)));
    order = _mm512_add_epi32(order, _mm512_set1_epi32(4));
    to += step;
  };
  if (tables > 0) put(_mm512_shuffle_f32x4(low, low, 0x00));
  if (tables > 1) put(_mm512_shuffle_f32x4(low, low, 0x55));
  if (tables > 2) put(_mm512_shuffle_f32x4(low, low, 0xaa));
  if (tables > 3) put(_mm512_shuffle_f32x4(low, low, 0xff));
}

SPIKELOOM_SIXTEEN Floats addChosen(const float* table, Words choice, bool odd, Floats sum) {
  const __m512 chosen = _mm512_permutexvar_ps(choice, _mm512_loadu_ps(table));
  return odd ? _mm512_fmadd_ps(chosen, _mm512_set1_ps(1.0f), sum) : _mm512_add_ps(chosen, sum);
}

template <int P>
struct SubsetTile {
  Floats rows[kSubsetRows][P];

  __attribute__((always_inline)) void clear() {
#pragma GCC unroll 4
    for (int r = 0; r < kSubsetRows; r++) {
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) rows[r][p] = allFloats(0);
    }
  }
  __attribute__((always_inline)) void loadFrom(const float* from, int64_t step) {
#pragma GCC unroll 4
    for (int r = 0; r < kSubsetRows; r++) {
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) rows[r][p] = loadFloats(from + r * step + p * 16);
    }
  }
  __attribute__((always_inline)) void storeTo(float* to, int64_t step) const {
#pragma GCC unroll 4
    for (int r = 0; r < kSubsetRows; r++) {
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) storeFloats(to + r * step + p * 16, rows[r][p]);
    }
  }

  // Every second sum is taken as 1 * sum + rest (the same bits): multiply-adds and additions have units of their own on
  // some processors.
  __attribute__((always_inline)) void add(const float* tables, const uint32_t* words, int64_t groups) {
    Words choice[P];
#pragma GCC unroll 4
    for (int p = 0; p < P; p++) choice[p] = loadWords(words + p * 16);
    for (int64_t g = 0; g < groups; g++, tables += kSubsetTable) {
#pragma GCC unroll 4
      for (int r = 0; r < kSubsetRows; r++) {
#pragma GCC unroll 4
        for (int p = 0; p < P; p++) rows[r][p] = addChosen(tables + r * kSubsetSums, choice[p], (r + p) % 2, rows[r][p]);
      }
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) choice[p] = shiftRight<kSubsetBits>(choice[p]);
    }
  }
};
