// Winograd's minimal filtering of 3x3 kernels (stride 1, padding 1) by tiles of 4x4 pixels, F(4x4, 3x3): 36 products
// make 16 target pixels, where each kernel element alone would take 144 (Lavin and Gray, "Fast Algorithms for
// Convolutional Neural Networks").
//
//   Y = A^T [(G g G^T) . (B^T d B)] A,   d: the 6x6 source pixels of a tile, g: the kernel, . by elements
//
// The matrices follow from six points at which polynomials are evaluated: 0, p, -p, q, -q and infinity. What is here
// makes one dimension of a tile: kTarget pixels of kSource, the first of which lies kFirst beside them, by kProducts.
constexpr int kTileSide = 4, kTileReach = 6, kTilePositions = kTileReach * kTileReach;
struct FourPixels {
  static constexpr int kTarget = kTileSide, kSource = kTileReach, kProducts = kTileReach, kFirst = -1;
};

// p = 1, q = 2: whole numbers remain whole. Y is 24 times as large a dimension.
//
//         4  0 -5  0  1  0          6  0  0            1 -2 -2  1  1  0
//         0 -4 -4  1  1  0          2  2  2      A^T = 0 -2  2  2 -2  0
//   B^T = 0  4 -4 -1  1  0      G = 2 -2  2            0 -2 -2  4  4  0
//         0 -2 -1  2  1  0          1  2  4            0 -2  2  8 -8  4
//         0  2 -1 -2  1  0          1 -2  4
//         0  4  0 -5  0  1          0  0  6
struct WholePoints : FourPixels {
  static constexpr int kScale = 24;

  template <class V>
  static void source(const V d[6], V v[6]) {
    const V e = d[4] - d[2] * 4, o = d[3] - d[1] * 4, f = d[4] - d[2], h = (d[3] - d[1]) * 2;
    v[0] = (d[0] - d[2]) * 4 + f;
    v[1] = e + o, v[2] = e - o, v[3] = f + h, v[4] = f - h;
    v[5] = (d[1] - d[3]) * 4 + (d[5] - d[3]);
  }
  template <class V>
  static void kernel(V g0, V g1, V g2, V* u, int step) {
    const V e = (g0 + g2) * 2, o = g1 * 2, f = g0 + g2 * 4;
    u[0] = g0 * 6, u[step] = e + o, u[2 * step] = e - o, u[3 * step] = f + o, u[4 * step] = f - o, u[5 * step] = g2 * 6;
  }
  template <class V>
  static void target(const V m[6], V y[4]) {
    const V p = (m[1] + m[2]) * 2, o = (m[1] - m[2]) * 2, q = m[3] + m[4], r = (m[3] - m[4]) * 2;
    y[0] = m[0] + q - p, y[1] = r - o, y[2] = q * 4 - p, y[3] = r * 4 - o + m[5] * 4;
  }
};

// p = 2/3, q = 3/2: of the points tried these magnify errors of factors least, 4.7 times (1 and 2: 11 times). The rows
// of q stand 3/2 times in B^T, which then reach about as far.
//
//         1   0     -s     0    1  0          1    0      0             1  1  1  1  1  0
//         0 -p q^2 -q^2    p    1  0          1/a  p/a  p^2/a     A^T = 0  p -p  q -q  0      s = p^2 + q^2
//   B^T = 0  p q^2 -q^2   -p    1  0      G = 1/a -p/a  p^2/a           0 p^2 p^2 q^2 q^2 0   a = 2 p^2 (p^2 - q^2)
//         0  -1    -2/3   9/4  3/2 0          1/b  q/b  q^2/b           0 p^3 -p^3 q^3 -q^3 1  b = 3 q^2 (q^2 - p^2)
//         0   1    -2/3  -9/4  3/2 0          1/b -q/b  q^2/b
//         0   1      0    -s    0  1          0    0      1
struct RealPoints : FourPixels {
  static constexpr float p = 2.0f / 3, q = 1.5f, p2 = p * p, q2 = q * q;
  static constexpr float kSourceGrowth = p * q2 + q2 + p + 1;  // the largest sum of magnitudes in a row of B^T

  static void source(const Vec<float> d[6], Vec<float> v[6]) {
    const Vec<float> e = plus(d[4], -q2, d[2]), o = plus(d[3], -q2, d[1]);
    const Vec<float> f = plus(d[4] * q, -p, d[2]), h = plus(-d[1], q2, d[3]);
    v[0] = plus(d[0] + d[4], -(p2 + q2), d[2]);
    v[1] = plus(e, p, o), v[2] = plus(e, -p, o), v[3] = f + h, v[4] = f - h;
    v[5] = plus(d[1] + d[5], -(p2 + q2), d[3]);
  }
  static void kernel(Vec<float> g0, Vec<float> g1, Vec<float> g2, Vec<float>* u, int step) {
    constexpr float a = 1 / (2 * p2 * (p2 - q2)), b = 1 / (3 * q2 * (q2 - p2));
    const Vec<float> e = plus(g0 * a, p2 * a, g2), o = g1 * (p * a), f = plus(g0 * b, q2 * b, g2), h = g1 * (q * b);
    u[0] = g0, u[step] = e + o, u[2 * step] = e - o, u[3 * step] = f + h, u[4 * step] = f - h, u[5 * step] = g2;
  }
  static void target(const Vec<float> m[6], Vec<float> y[4]) {
    const Vec<float> e = m[1] + m[2], o = (m[1] - m[2]) * p, f = m[3] + m[4], h = (m[3] - m[4]) * q;
    y[0] = m[0] + e + f, y[1] = o + h, y[2] = plus(e * p2, q2, f), y[3] = plus(plus(m[5], p2, o), q2, h);
  }

 private:
  static Vec<float> plus(Vec<float> a, float factor, Vec<float> b) { return mulAdd(splat(factor), b, a); }
};

// Pictures of 2x2 pixels as a whole, of which four kernel elements fall outside: 9 products instead of 16.
//
//   y0 = g1 (d0 + d1) + (g2 - g1) d1
//   y1 = g1 (d0 + d1) + (g0 - g1) d0
struct TwoPixels {
  static constexpr int kTarget = 2, kSource = 2, kProducts = 3, kFirst = 0;
  static constexpr float kSourceGrowth = 2;

  static void source(const Vec<float> d[2], Vec<float> v[3]) { v[0] = d[0], v[1] = d[0] + d[1], v[2] = d[1]; }
  static void kernel(Vec<float> g0, Vec<float> g1, Vec<float> g2, Vec<float>* u, int step) {
    u[0] = g0 - g1, u[step] = g1, u[2 * step] = g2 - g1;
  }
  static void target(const Vec<float> m[3], Vec<float> y[2]) { y[0] = m[1] + m[2], y[1] = m[1] + m[0]; }
};

// Products of a tile.
template <class Points>
constexpr int kPositions = Points::kProducts * Points::kProducts;

// G g G^T of a kernel's nine elements.
template <class Points, class V>
__attribute__((always_inline)) inline void transformKernel(const V g[9], V u[kPositions<Points>]) {
  constexpr int n = Points::kProducts;
  V rows[n * 3];
#pragma GCC unroll 3
  for (int j = 0; j < 3; j++) Points::kernel(g[j], g[3 + j], g[6 + j], rows + j, 3);
#pragma GCC unroll 6
  for (int i = 0; i < n; i++) Points::kernel(rows[i * 3], rows[i * 3 + 1], rows[i * 3 + 2], u + i * n, 1);
}

// Whether tiles take at most so many of the products that kernel elements take, of which those outside of the picture
// are left out.
bool areTiled(const Geometry& g) { return g.kh == 3 && g.kw == 3 && g.sh == 1 && g.sw == 1 && g.ph == 1 && g.pw == 1; }
bool paysTiles(const Geometry& g, double share) {
  if (!areTiled(g)) return false;
  const int64_t tiles = ceilDivide(g.P, kTileSide) * ceilDivide(g.Q, kTileSide), direct = (3 * g.P - 2) * (3 * g.Q - 2);
  return static_cast<double>(kTilePositions * tiles) <= share * static_cast<double>(direct);
}
