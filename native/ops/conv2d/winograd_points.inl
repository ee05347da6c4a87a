// Winograd's minimal filtering of 3x3 kernels (stride 1, padding 1) by tiles of 4x4 pixels, F(4x4, 3x3): 36 products make 16 target pixels, where each
// kernel element alone would take 144 (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks").
//
//   Y = A^T [(G g G^T) . (B^T d B)] A,   d: the 6x6 source pixels of a tile, g: the kernel, . by elements
//
// The matrices follow from six points at which polynomials are evaluated: 0, p, -p, q, -q and infinity. What is here makes one dimension
// of a tile.
constexpr int kTileSide = 4, kTileReach = 6, kTilePositions = kTileReach * kTileReach;

// p = 1, q = 2: whole numbers remain whole.
//
//         4  0 -5  0  1  0            6  0  0              1 -2 -2  1  1  0
//         0 -4 -4  1  1  0            2  2  2     24 A^T = 0 -2  2  2 -2  0
//   B^T = 0  4 -4 -1  1  0     G =    2 -2  2              0 -2 -2  4  4  0
//         0 -2 -1  2  1  0            1  2  4              0 -2  2  8 -8  4
//         0  2 -1 -2  1  0            1 -2  4
//         0  4  0 -5  0  1            0  0  6
struct WholePoints {
  static constexpr int kScale = 24;            // of target()
  static constexpr int kLargestKernel = 7 * 7;  // of a tile's G g G^T, where |g| <= 1

  template <class V>
  static void source(const V d[6], V v[6]) {
    const V e = d[4] - (d[2] << 2), o = d[3] - (d[1] << 2), f = d[4] - d[2], h = (d[3] - d[1]) << 1;
    v[0] = ((d[0] - d[2]) << 2) + f;
    v[1] = e + o, v[2] = e - o, v[3] = f + h, v[4] = f - h;
    v[5] = ((d[1] - d[3]) << 2) + (d[5] - d[3]);
  }
  template <class V>
  static void target(const V m[6], V y[4]) {
    const V p = (m[1] + m[2]) << 1, o = (m[1] - m[2]) << 1, q = m[3] + m[4], r = (m[3] - m[4]) << 1;
    y[0] = m[0] + q - p, y[1] = r - o, y[2] = (q << 2) - p, y[3] = (r << 2) - o + (m[5] << 2);
  }
  template <class V>
  static void kernel(V g0, V g1, V g2, V* u, int step) {
    const V e = (g0 + g2) << 1, o = g1 << 1, f = g0 + (g2 << 2);
    u[0] = (g0 << 2) + (g0 << 1), u[step] = e + o, u[2 * step] = e - o, u[3 * step] = f + o, u[4 * step] = f - o, u[5 * step] = (g2 << 2) + (g2 << 1);
  }
};
