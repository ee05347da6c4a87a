// Squares of one vector each way, of elements of 4 or 8 bytes, transposed in registers.
template <class E>
constexpr int kSquare = kVectorBytes / static_cast<int>(sizeof(E));

template <class E>
struct Square {
  typedef E Row __attribute__((vector_size(kVectorBytes)));
  Row row[kSquare<E>];
};

// The elements of a and b in turns: of their first halves, or of their second ones.
template <int kFirst, class Row, int... kIndex>
inline Row inTurns(Row a, Row b, std::integer_sequence<int, kIndex...>) {
  constexpr int kSide = sizeof...(kIndex);
  return __builtin_shufflevector(a, b, (kFirst + kIndex / 2 + kIndex % 2 * kSide)...);
}

// out[r][c] = in[c][r], rows `rowTo` and columns `columnFrom` apart: log2 of the side times rows are merged in turns with
// those half the side behind.
template <class E>
void transposeSquare(const E* in, int64_t columnFrom, E* out, int64_t rowTo) {
  constexpr int kSide = kSquare<E>;
  constexpr std::make_integer_sequence<int, kSide> kLanes{};
  Square<E> square, merged;
  for (int k = 0; k < kSide; k++) std::memcpy(&square.row[k], in + k * columnFrom, kVectorBytes);
#pragma GCC unroll 4
  for (int done = 1; done < kSide; done *= 2) {
#pragma GCC unroll 16
    for (int k = 0; k < kSide / 2; k++) {
      merged.row[2 * k] = inTurns<0>(square.row[k], square.row[k + kSide / 2], kLanes);
      merged.row[2 * k + 1] = inTurns<kSide / 2>(square.row[k], square.row[k + kSide / 2], kLanes);
    }
    square = merged;
  }
  for (int k = 0; k < kSide; k++) std::memcpy(out + k * rowTo, &square.row[k], kVectorBytes);
}
