// Places of a picture that windows slide over (core/pool_window.h), as a thread finds them from a number.
#pragma once
#include "core/pool_window.h"
#include "cuda/elementwise.cuh"

namespace spikeloom::cuda {

// A pixel of N pictures of `rows` x `columns`.
struct PicturePlace {
  int64_t n, row, column;

  __device__ PicturePlace(int64_t pixel, int64_t rows, int64_t columns) {
    const Division line = divide(pixel, columns), picture = divide(line.quotient, rows);
    n = picture.quotient;
    row = picture.rest;
    column = line.rest;
  }
};

}  // namespace spikeloom::cuda
