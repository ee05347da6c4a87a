// The kernel of each function element by element: CUDA includes this text into its namespace, the CPU into that of every
// level. Both have mapOne(), mapTwo() and mapThree().

template <class T>
void expEach(const Call& call) {
  mapOne<T>(call, Exp{});
}
template <class T>
void logEach(const Call& call) {
  mapOne<T>(call, Log{});
}
template <class T>
void sqrtEach(const Call& call) {
  mapOne<T>(call, Sqrt{});
}
template <class T>
void sqrtGrad(const Call& call) {
  mapTwo<T>(call, SqrtSlope{});
}
template <class T>
void absEach(const Call& call) {
  mapOne<T>(call, Abs{});
}
template <class T>
void absGrad(const Call& call) {
  mapTwo<T>(call, AbsSlope{});
}
template <class T>
void tanhEach(const Call& call) {
  mapOne<T>(call, Tanh{});
}
template <class T>
void tanhGrad(const Call& call) {
  mapTwo<T>(call, TanhSlope{});
}
template <class T>
void powEach(const Call& call) {
  mapOne<T>(call, Pow<T>{static_cast<T>(call.attributes[0])});
}
template <class T>
void powGrad(const Call& call) {
  mapTwo<T>(call, PowSlope<T>{static_cast<T>(call.attributes[0])});
}
template <class T>
void shift(const Call& call) {
  mapOne<T>(call, Shift<T>{static_cast<T>(call.attributes[0])});
}
template <class T>
void clamp(const Call& call) {
  mapOne<T>(call, Clamp<T>{static_cast<T>(call.attributes[0]), static_cast<T>(call.attributes[1])});
}
template <class T>
void clampGrad(const Call& call) {
  mapTwo<T>(call, ClampSlope<T>{static_cast<T>(call.attributes[0]), static_cast<T>(call.attributes[1])});
}
template <class T>
void sub(const Call& call) {
  mapTwo<T>(call, Sub{});
}
template <class T>
void quotient(const Call& call) {
  mapTwo<T>(call, Div{});
}
template <class T>
void quotientGradY(const Call& call) {
  mapThree<T>(call, DivSlopeY{});
}
