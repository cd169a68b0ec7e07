// BatchNorm, ReLU and 2x2 max-pooling of an NHWC batch in one pass over the memory, and the gradient: see fused_norm.py.
//
// Values are float or bfloat16 (as uint16_t); everything is computed in float, sums over an image's pixels are added in
// double and always in the same order, so that results do not depend on the number of threads.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#ifdef __AVX512F__
constexpr int LANES = 16;  // channels at a time: a register of the processor; no result depends on it
#else
constexpr int LANES = 8;
#endif
// For each output: which pixel of its window is the largest, 0 to 3, or INACTIVE where ReLU gives zero
constexpr uint8_t INACTIVE = 4;
typedef float F __attribute__((vector_size(4 * LANES)));
typedef int32_t I __attribute__((vector_size(4 * LANES)));
typedef uint32_t U __attribute__((vector_size(4 * LANES)));
typedef uint16_t H __attribute__((vector_size(2 * LANES)));
typedef uint8_t B __attribute__((vector_size(LANES)));

template <class V, class T> inline V read(const T* p, int n) {
  V v{};
  if (n == LANES) memcpy(&v, p, sizeof(V));
  else memcpy(&v, p, n * sizeof(T));
  return v;
}
template <class V, class T> inline void write(T* p, const V& v, int n) {
  if (n == LANES) memcpy(p, &v, sizeof(V));
  else memcpy(p, &v, n * sizeof(T));
}
inline F load(const float* p, int n) { return read<F>(p, n); }
inline F load(const uint16_t* p, int n) { return (F)(__builtin_convertvector(read<H>(p, n), U) << 16); }
inline void store(float* p, F v, int n) { write(p, v, n); }
inline void store(uint16_t* p, F v, int n) {  // round to nearest, ties to even; NaN stays NaN
  U bits = (U)v, rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  U nan = (U)(v != v);
  write(p, __builtin_convertvector((nan & 0x7fc0) | (~nan & rounded), H), n);
}
inline F choose(I mask, F yes, F no) { return (F)((mask & (I)yes) | (~mask & (I)no)); }
inline I which(const uint8_t* p, int n) { return __builtin_convertvector(read<B>(p, n), I); }

struct Shape {
  int64_t n, h, w, c;
  int window;  // 2 pools, 1 does not
  int64_t out_h() const { return h / window; }
  int64_t out_w() const { return w / window; }
  int64_t pixels() const { return n * h * w; }
};

// body(first channel, lanes) for each block of channels; inlined, so that all full blocks know their size
template <class Body> inline __attribute__((always_inline)) void blocks(int64_t channels, Body body) {
  int64_t c = 0;
  for (; c + LANES <= channels; c += LANES) body(c, LANES);
  if (c < channels) body(c, int(channels - c));
}
#define BLOCK [&](int64_t c, int lanes) __attribute__((always_inline))

// Sums over all images, `TERMS` a channel; add(image, channel, lanes, sums) adds up one image
template <int TERMS, class Add>
void reduce(const Shape& s, int threads, double* out, Add add) {
  std::vector<float> partial(s.n * TERMS * s.c);
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t image = 0; image < s.n; image++)
    blocks(s.c, BLOCK {
      F sums[TERMS] = {};
      add(image, c, lanes, sums);
      for (int t = 0; t < TERMS; t++) store(&partial[(image * TERMS + t) * s.c + c], sums[t], lanes);
    });
  for (int64_t i = 0; i < TERMS * s.c; i++) out[i] = 0;
  for (int64_t image = 0; image < s.n; image++)
    for (int64_t i = 0; i < TERMS * s.c; i++) out[i] += partial[image * TERMS * s.c + i];
}

// f(first) + ... over `n` pixels of `stride` values, in four chains of additions, so that none waits for another
template <class T, class Of>
inline __attribute__((always_inline)) F chains(const T* at, int64_t n, int64_t stride, int lanes, Of f) {
  F a{}, b{}, c{}, d{};
  int64_t p = 0;
  for (; p + 4 <= n; p += 4, at += 4 * stride) {
    a += f(load(at, lanes));
    b += f(load(at + stride, lanes));
    c += f(load(at + 2 * stride, lanes));
    d += f(load(at + 3 * stride, lanes));
  }
  if (p < n) a += f(load(at, lanes));
  if (p + 1 < n) b += f(load(at + stride, lanes));
  if (p + 2 < n) c += f(load(at + 2 * stride, lanes));
  return (a + b) + (c + d);
}

template <class T>
void moments(const T* x, const Shape& s, int threads, float* mean, float* var) {
  std::vector<double> sum(s.c);
  int64_t image_pixels = s.h * s.w;
  reduce<1>(s, threads, sum.data(), [&](int64_t image, int64_t c, int lanes, F* sums) __attribute__((always_inline)) {
    sums[0] = chains(x + image * image_pixels * s.c + c, image_pixels, s.c, lanes,
                     [](F v) __attribute__((always_inline)) { return v; });
  });
  for (int64_t c = 0; c < s.c; c++) mean[c] = sum[c] / s.pixels();
  reduce<1>(s, threads, sum.data(), [&](int64_t image, int64_t c, int lanes, F* sums) __attribute__((always_inline)) {
    F middle = load(mean + c, lanes);
    sums[0] = chains(x + image * image_pixels * s.c + c, image_pixels, s.c, lanes,
                     [middle](F v) __attribute__((always_inline)) { return (v - middle) * (v - middle); });
  });
  for (int64_t c = 0; c < s.c; c++) var[c] = sum[c] / s.pixels();
}

template <class T, int W>
void forward(const T* x, T* y, uint8_t* argmax, Shape s, const float* scale, const float* shift, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t row = 0; row < s.n * s.out_h(); row++) {
    int64_t image = row / s.out_h(), top = row % s.out_h() * W;
    for (int64_t left = 0; left < s.out_w(); left++) {
      int64_t to = (row * s.out_w() + left) * s.c, from = ((image * s.h + top) * s.w + left * W) * s.c;
      blocks(s.c, BLOCK {
        F a = load(scale + c, lanes), b = load(shift + c, lanes), best = load(x + from + c, lanes) * a + b;
        I at{};
        for (int k = 1; k < W * W; k++) {
          F v = load(x + from + (k / W * s.w + k % W) * s.c + c, lanes) * a + b;
          I higher = (I)(best == best) & ~(I)(v <= best);  // the first of equals; NaN wins
          best = choose(higher, v, best);
          at = (higher & k) | (~higher & at);
        }
        I inactive = (I)(best <= F{});
        store(y + to + c, choose(inactive, F{}, best), lanes);
        if (argmax) write(argmax + to + c, __builtin_convertvector((inactive & INACTIVE) | (~inactive & at), B), lanes);
      });
    }
  }
}

// sums[c] = sum g, sums[C + c] = sum g (x - mean), over the pixels that were the largest of their windows and positive
template <class T, int W>
void gradient_sums(const T* g, const T* x, const uint8_t* argmax, const Shape& s, const float* mean, double* sums,
                   int threads) {
  reduce<2>(s, threads, sums, [&](int64_t image, int64_t c, int lanes, F* sum) __attribute__((always_inline)) {
    F middle = load(mean + c, lanes);
    for (int64_t top = 0; top < s.out_h(); top++)
      for (int64_t left = 0; left < s.out_w(); left++) {
        int64_t to = ((image * s.out_h() + top) * s.out_w() + left) * s.c + c;
        const T* from = x + ((image * s.h + top * W) * s.w + left * W) * s.c + c;
        I at = which(argmax + to, lanes);
        F seen = load(from, lanes);
        for (int k = 1; k < W * W; k++)
          seen = choose((I)(at == k), load(from + (k / W * s.w + k % W) * s.c, lanes), seen);
        F active = choose((I)(at == INACTIVE), F{}, load(g + to, lanes));
        sum[0] += active;
        sum[1] += active * (seen - middle);
      }
  });
}

// dx = scale g - slope (x - mean) - offset; in eval mode slope and offset are 0
template <class T, int W, bool TRAINING>
void gradient(const T* g, const T* x, const uint8_t* argmax, T* dx, const Shape& s, const float* scale,
              const float* mean, const float* slope, const float* offset, int threads) {
  const int64_t width = s.w, channels = s.c, out_h = s.out_h(), out_w = s.out_w();
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t image = 0; image < s.n; image++)
    for (int64_t top = 0; top < s.h; top += W)
      for (int64_t left = 0; left < width; left += W) {
        const int64_t from = ((image * out_h + top / W) * out_w + left / W) * channels;
        const int64_t to = ((image * s.h + top) * width + left) * channels;
        const bool pooled = top / W < out_h && left / W < out_w;  // an odd last row or column is not
        const int64_t high = pooled ? W : s.h - top < W ? s.h - top : W;
        const int64_t wide = pooled ? W : width - left < W ? width - left : W;
        blocks(channels, BLOCK {
          const I at = pooled ? which(argmax + from + c, lanes) : I{} + INACTIVE;
          const F active = pooled ? load(g + from + c, lanes) * load(scale + c, lanes) : F{};
          for (int i = 0; i < high; i++)
            for (int j = 0; j < wide; j++) {
              const int64_t here = to + (i * width + j) * channels + c;
              F d = choose((I)(at == i * W + j), active, F{});
              if (TRAINING)
                d -= load(slope + c, lanes) * (load(x + here, lanes) - load(mean + c, lanes)) + load(offset + c, lanes);
              store(dx + here, d, lanes);
            }
        });
      }
}

// In training mode mean and var are written, else read; running statistics move by `momentum` of the batch's.
template <class T>
void norm_relu_pool(const T* x, T* y, uint8_t* argmax, Shape s, bool training, float* mean, float* var, float eps,
                    const float* weight, const float* bias, int threads) {
  if (training) moments(x, s, threads, mean, var);
  std::vector<float> scale(s.c), shift(s.c);
  for (int64_t c = 0; c < s.c; c++) {
    scale[c] = weight[c] / std::sqrt(var[c] + eps);
    shift[c] = bias[c] - mean[c] * scale[c];
  }
  (s.window == 2 ? forward<T, 2> : forward<T, 1>)(x, y, argmax, s, scale.data(), shift.data(), threads);
}

template <class T>
void norm_relu_pool_gradient(const T* g, const T* x, const uint8_t* argmax, T* dx, Shape s, bool training,
                             const float* mean, const float* var, float eps, const float* weight, float* d_weight,
                             float* d_bias, int threads) {
  std::vector<float> scale(s.c), slope(s.c), offset(s.c);
  std::vector<double> sums(2 * s.c);
  if (training || d_weight)
    (s.window == 2 ? gradient_sums<T, 2> : gradient_sums<T, 1>)(g, x, argmax, s, mean, sums.data(), threads);
  for (int64_t c = 0; c < s.c; c++) {
    double inverse = 1 / std::sqrt(double(var[c]) + eps);
    scale[c] = weight[c] * inverse;
    slope[c] = scale[c] * inverse * inverse * sums[s.c + c] / s.pixels();
    offset[c] = scale[c] * sums[c] / s.pixels();
    if (d_weight) d_weight[c] = sums[s.c + c] * inverse, d_bias[c] = sums[c];
  }
  if (dx)
    (s.window == 2 ? training ? gradient<T, 2, true> : gradient<T, 2, false>
                   : training ? gradient<T, 1, true> : gradient<T, 1, false>)(
        g, x, argmax, dx, s, scale.data(), mean, slope.data(), offset.data(), threads);
}

// The arguments of both passes, in the order of _Arguments in fused_norm.py. What a pass does not use is null.
struct Arguments {
  int64_t n_images, height, width, channels;
  int32_t window;    // side of a pooling window: 2, or 1 without pooling
  int32_t bfloat16;  // whether x, y and their gradients are bfloat16; else float
  int32_t training;  // whether the batch's statistics are used
  int32_t threads;
  float eps;
  const void* x;                 // (n, h, w, c)
  void* y;                       // (n, h / window, w / window, c)
  uint8_t* argmax;               // as y; null where there will be no gradient
  float *mean, *var;             // (c,); written by the forward pass in training mode, else read
  const float *weight, *bias;    // (c,)
  const void* grad_y;            // as y
  void* grad_x;                  // as x, or null
  float *grad_weight, *grad_bias;  // (c,), or both null
};

template <class T> void forward_pass(const Arguments& a, Shape shape) {
  norm_relu_pool((const T*)a.x, (T*)a.y, a.argmax, shape, a.training, a.mean, a.var, a.eps, a.weight, a.bias,
                 a.threads);
}

template <class T> void backward_pass(const Arguments& a, Shape shape) {
  norm_relu_pool_gradient((const T*)a.grad_y, (const T*)a.x, a.argmax, (T*)a.grad_x, shape, a.training, a.mean, a.var,
                          a.eps, a.weight, a.grad_weight, a.grad_bias, a.threads);
}

extern "C" {
void forward_pass(const Arguments* a) {
  Shape shape{a->n_images, a->height, a->width, a->channels, a->window};
  if (a->bfloat16) forward_pass<uint16_t>(*a, shape);
  else forward_pass<float>(*a, shape);
}
void backward_pass(const Arguments* a) {
  Shape shape{a->n_images, a->height, a->width, a->channels, a->window};
  if (a->bfloat16) backward_pass<uint16_t>(*a, shape);
  else backward_pass<float>(*a, shape);
}
}
