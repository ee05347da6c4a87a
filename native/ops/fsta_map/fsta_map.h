// FSTA's frequencies and what is learned over them, two zero-padded convolutions as one:
//
//   F[b,o] = sum over filters i of w[o,i] (*) (basis[i] (*) S[b])
//          = sum over offsets d of w with p+d inside the picture, and e of basis, of M[o,d,e] S[b,p+d+e]        at pixel p
//   M[o,d,e] = sum over i of w[o,i,d] basis[i,e]
//
// Which d are inside depends on how near p is to the border alone, for rows and columns apart: pixels with the same d
// form a class, at most q x q of them, and each class has one kernel of n x n, n = q+k-1:
//
//   E[o,class,f] = sum over d inside for the class of M[o,d,f-d]          F[b,o,p] = sum over f of E[o,class of p,f] S[b,p+f]
//
// fstaKernels makes E out of the filters alone, fstaMap the map of a picture.
//
// Gradients: gS is the map of gF with the convolutions in the other order, M'[d,e] = M[-e,-d] (fstaKernels, back: 1),
// summed over o.
//   gE[o,class,f] = sum over b and p in class of gF[b,o,p] S[b,p+f];  gM[o,d,e] = sum over the classes with d inside of gE[o,class,d+e];
//   gw[o,i,d] = sum over e of gM[o,d,e] basis[i,e].  The basis is constant and has none.
#pragma once
#include "core/host_device.h"
#include "core/tensor.h"

namespace spikeloom {

// E lies [o][class of rows][row of f][class of columns][column of f].
inline constexpr char kFstaKernels[] =
    "fstaKernels(basis:real[K,1,k,k], w:real[O,K,q,q]; height:int, width:int, back:int) -> E:real[O,Y,X]";
// outer: the side of the filters whose offsets make the classes, q or, back, k. Of I and J one is 1 and the other M.
inline constexpr char kFstaMap[] = "fstaMap(x:real[B,I,H,W], E:real[M,Y,X]; outer:int) -> y:real[B,J,H,W]";
inline constexpr char kFstaMapGradW[] = "fstaMapGradW(gF:real[B,O,H,W], S:real[B,1,H,W], basis:real[K,1,k,k]) -> gw:real[O,K,q,q]";

// The classes of one axis: positions from which the same offsets -reach to reach lead to pixels.
template <class Int = int64_t>
struct BorderClasses {
  Int size, reach, count;

  BorderClasses() = default;
  SPIKELOOM_HD BorderClasses(Int size_, Int reach_)
      : size(size_), reach(reach_), count(size_ < 2 * reach_ + 1 ? size_ : 2 * reach_ + 1) {}

  SPIKELOOM_HD Int of(Int at) const {
    const Int fromEnd = count - (size - at);
    return fromEnd > reach ? fromEnd : at < reach ? at : reach;
  }

  // The positions of a class. All but the middle one of a picture with room for it have one.
  SPIKELOOM_HD Int begin(Int c) const { return c <= reach ? c : size - (count - c); }
  SPIKELOOM_HD Int end(Int c) const { return c == reach && size > count ? size - reach : begin(c) + 1; }

  // Indices (offset + reach) of the offsets that are inside for a class.
  SPIKELOOM_HD Int firstInside(Int c) const { return reach > begin(c) ? reach - begin(c) : 0; }
  SPIKELOOM_HD Int endInside(Int c) const {
    const Int room = size - end(c) + 1;
    return room < reach + 1 ? reach + room : 2 * reach + 1;
  }
};

}  // namespace spikeloom
