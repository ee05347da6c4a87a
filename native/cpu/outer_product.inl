// sum[r][c] += sum over p of a[p][r] * b[p][c], rows and columns padded to whole tiles. The sum of a tile stays in
// registers for one call, so a caller hands over a few hundred p at a time.
struct OuterShape {
  int64_t rows, columns;  // padded
  int tileRows, vectors;
};

template <class T>
OuterShape outerShape(int64_t rows, int64_t columns) {
  constexpr int L = kLanes<T>, kMost = kVectorBytes == 64 ? 8 : 4;
  const int tile = rows >= kMost ? kMost : rows >= 3 ? 4 : static_cast<int>(rows);
  const int vectors = columns <= L ? 1 : 2;
  return {(rows + tile - 1) / tile * tile, (columns + vectors * L - 1) / (vectors * L) * (vectors * L), tile, vectors};
}

template <class T, int MR, int NV>
void outerTile(int64_t n, const T* a, int64_t aStep, const T* b, int64_t bStep, T* sum) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[MR][NV];
  for (int m = 0; m < MR; m++) {
    for (int v = 0; v < NV; v++) acc[m][v] = load(sum + m * bStep + v * L);
  }
  for (int64_t p = 0; p < n; p++, a += aStep, b += bStep) {
    Vec<T> y[NV];
    for (int v = 0; v < NV; v++) y[v] = load(b + v * L);
    for (int m = 0; m < MR; m++) {
      const Vec<T> x = splat(a[m]);
      for (int v = 0; v < NV; v++) acc[m][v] = mulAdd(x, y[v], acc[m][v]);
    }
  }
  for (int m = 0; m < MR; m++) {
    for (int v = 0; v < NV; v++) store(sum + m * bStep + v * L, acc[m][v]);
  }
}

template <class T, int MR>
void outerTiles(int64_t n, const T* a, const T* b, const OuterShape& s, T* sum) {
  for (int64_t c = 0; c < s.columns; c += s.vectors * kLanes<T>) {
    for (int64_t r = 0; r < s.rows; r += MR) {
      T* tile = sum + r * s.columns + c;
      if (s.vectors == 1) outerTile<T, MR, 1>(n, a + r, s.rows, b + c, s.columns, tile);
      else outerTile<T, MR, 2>(n, a + r, s.rows, b + c, s.columns, tile);
    }
  }
}

template <class T>
void addOuterProducts(int64_t n, const T* a, const T* b, const OuterShape& s, T* sum) {
  switch (s.tileRows) {
    case 8: return outerTiles<T, 8>(n, a, b, s, sum);
    case 4: return outerTiles<T, 4>(n, a, b, s, sum);
    case 2: return outerTiles<T, 2>(n, a, b, s, sum);
    default: return outerTiles<T, 1>(n, a, b, s, sum);
  }
}
