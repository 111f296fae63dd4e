/* Vectors of VEC floats through GCC's and Clang's vector extension, and functions of them. */
#include <math.h>
#include <stdint.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#pragma GCC diagnostic ignored "-Wpsabi" /* how vectors are passed: everything here is inlined */

#if defined(__AVX512F__)
#define VEC 16
#define NV 4 /* most vectors in a row of a block of a product: with their sums they fill the registers */
#else
#define VEC 8
#define NV 2
#endif
#define PANEL (NV * VEC) /* most columns of a panel */

typedef float vf __attribute__((vector_size(VEC * 4)));
typedef float vfu __attribute__((vector_size(VEC * 4), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(VEC * 4)));
typedef int32_t viu __attribute__((vector_size(VEC * 4), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE vf load(const float *p) { return *(const vfu *)p; }
INLINE void store(float *p, vf v) { *(vfu *)p = v; }
INLINE vf splat(float x) { return x - (vf){0}; }
INLINE vf choose(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
INLINE int64_t padded(int64_t n) { return (n + VEC - 1) / VEC * VEC; }

/* Numbers below 1e-38 are zero from here on: they cost a hundred times as much. Returns what was before. */
static unsigned flush_subnormals(void) {
#if defined(__SSE__)
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    return before;
#else
    return 0;
#endif
}

static void restore_subnormals(unsigned before) {
#if defined(__SSE__)
    _mm_setcsr(before);
#else
    (void)before;
#endif
}

/* Horner's scheme, the highest power first; all coefficients are constants in the code. */
INLINE vf polynomial(vf x, const int n, const float *coefficients) {
    vf sum = splat(coefficients[0]);
#pragma GCC unroll 16
    for (int i = 1; i < n; i++) sum = sum * x + coefficients[i];
    return sum;
}
#define POLYNOMIAL(x, ...) \
    polynomial(x, sizeof((const float[]){__VA_ARGS__}) / sizeof(float), (const float[]){__VA_ARGS__})

/* -- functions: Cephes' single-precision polynomials (Moshier), about 2 ulp ----------------------- */

/* e^x − 2^n and 2^n, of which the sum is e^x and the difference with 1 is e^x − 1. x in ±87. */
INLINE void exp_parts(vf x, vf *rest, vf *power) {
    x = choose(x > splat(87.0f), splat(87.0f), x);
    x = choose(x < splat(-87.0f), splat(-87.0f), x);
    const vf magic = splat(12582912.0f);
    vf shifted = x * 1.44269504088896341f + magic;
    vf n = shifted - magic;
    vf r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    const vf p = POLYNOMIAL(r, 1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f,
        1.6666665459e-1f, 5.0000001201e-1f);
    *power = (vf)(((vi)shifted + (127 - 0x4B400000)) << 23);
    *rest = *power * (p * r * r + r);
}

INLINE vf vexp(vf x) {
    vf rest, power;
    exp_parts(x, &rest, &power);
    return rest + power;
}

INLINE vf vexpm1(vf x) {
    vf rest, power;
    exp_parts(x, &rest, &power);
    return rest + (power - 1.0f);
}

INLINE vf vsigmoid(vf x) { return 1.0f / (1.0f + vexp(-x)); }

INLINE vf vabs(vf x) { return (vf)((vi)x & 0x7FFFFFFF); }

INLINE vf vtanh(vf x) {
    vf size = vabs(x);
    vf large = 1.0f - 2.0f / (vexp(size + size) + 1.0f);
    large = choose(x < splat(0.0f), -large, large);
    vf z = x * x;
    const vf p = POLYNOMIAL(z, -5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f, 1.33314422036e-1f,
        -3.33332819422e-1f);
    return choose(size < splat(0.625f), x + x * z * p, large);
}

/* log x for normal x > 0; NaN stays NaN. */
INLINE vf vlog(vf x) {
    vi bits = (vi)x;
    vi exponent = ((bits >> 23) & 0xFF) - 126;
    vf m = (vf)((bits & 0x007FFFFF) | 0x3F000000); /* in [½, 1) */
    vi small = m < splat(0.707106781186547524f);
    exponent += small; /* a mask is −1 */
    m = choose(small, m + m, m) - 1.0f;
    vf n = __builtin_convertvector(exponent, vf);
    vf z = m * m;
    const vf p = POLYNOMIAL(m, 7.0376836292e-2f, -1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f,
        1.4249322787e-1f, -1.6668057665e-1f, 2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f);
    vf y = m * z * p - n * 2.12194440e-4f - z * 0.5f;
    return choose(x == x, m + y + n * 0.693359375f, x);
}

/* log(1 + e) for e in [0, 1], exact to rounding where e is small (Kahan's correction). */
INLINE vf vlog1p(vf e) {
    vf u = e + 1.0f, d = u - 1.0f;
    return choose(d == splat(0.0f), e, vlog(u) * (e / d));
}

/* erf x (Cephes' erff: a polynomial up to 1, beyond it 1 − erfc). */
INLINE vf verf(vf x) {
    const vf a = vabs(x), z = x * x;
    const vf p = POLYNOMIAL(z, 7.853861353153693e-5f, -8.010193625184903e-4f, 5.188327685732524e-3f,
        -2.685381193529856e-2f, 1.128358514861418e-1f, -3.761262582423300e-1f, 1.128379165726710e+0f);
    const vf safe = choose(a > splat(1.0f), a, splat(1.0f)), q = 1.0f / safe, y = q * q;
    const vf near = POLYNOMIAL(y, 2.326819970068386e-2f, -1.387039388740657e-1f, 3.687424674597105e-1f,
        -5.824733027278666e-1f, 6.210004621745983e-1f, -4.944515323274145e-1f, 3.404879937665872e-1f,
        -2.741127028184656e-1f, 5.638259427386472e-1f);
    const vf far = POLYNOMIAL(y, -1.047766399936249e+1f, 1.297719955372516e+1f, -7.495518717768503e+0f,
        2.921019019210786e+0f, -1.015265279202700e+0f, 4.218463358204948e-1f, -2.820767439740514e-1f,
        5.641895067754075e-1f);
    const vf rest = vexp(-safe * safe) * q * choose(safe < splat(2.0f), near, far);
    const vf beyond = choose(x < splat(0.0f), rest - 1.0f, 1.0f - rest);
    return choose(a > splat(1.0f), beyond, x * p); /* NaN stays NaN */
}

INLINE vf vsqrt(vf x) {
    vf root;
    for (int i = 0; i < VEC; i++) root[i] = __builtin_sqrtf(x[i]);
    return root;
}

/* -- VEC vectors against each other ------------------------------------------------------------------ */

/* Two constant masks that swap the elements of a with bit d set against those of b with bit d clear. */
#define LOW(e, d) ((e) & (d) ? (e) - (d) + VEC : (e))
#define HIGH(e, d) ((e) & (d) ? (e) + VEC : (e) + (d))
#define EIGHT(of, e, d) \
    of(e, d), of(e + 1, d), of(e + 2, d), of(e + 3, d), of(e + 4, d), of(e + 5, d), of(e + 6, d), of(e + 7, d)
#if VEC == 16
#define MASK(of, d) EIGHT(of, 0, d), EIGHT(of, 8, d)
#else
#define MASK(of, d) EIGHT(of, 0, d)
#endif
#if defined(__clang__)
#define SHUFFLE(a, b, of, d) __builtin_shufflevector(a, b, MASK(of, d))
#else
#define SHUFFLE(a, b, of, d) __builtin_shuffle(a, b, (vi){MASK(of, d)})
#endif

#define EXCHANGE(d)                                            \
    for (int i = 0; i < VEC; i++)                              \
        if (!(i & d)) {                                        \
            const vf a = rows[i], b = rows[i + d];             \
            rows[i] = SHUFFLE(a, b, LOW, d);                   \
            rows[i + d] = SHUFFLE(a, b, HIGH, d);              \
        }

/* rows[i][j] ← rows[j][i] */
INLINE void transpose(vf *rows) {
#pragma GCC unroll 16
    EXCHANGE(1)
#pragma GCC unroll 16
    EXCHANGE(2)
#pragma GCC unroll 16
    EXCHANGE(4)
#if VEC == 16
#pragma GCC unroll 16
    EXCHANGE(8)
#endif
}

#define FOLD(d) \
    for (int i = 0; i < VEC; i += 2 * d) \
        rows[i] = SHUFFLE(rows[i], rows[i + d], LOW, d) + SHUFFLE(rows[i], rows[i + d], HIGH, d);

/* The sum of the elements of each of the rows, as one vector. */
INLINE vf sums(vf *rows) {
#pragma GCC unroll 16
    FOLD(1)
#pragma GCC unroll 16
    FOLD(2)
#pragma GCC unroll 16
    FOLD(4)
#if VEC == 16
    FOLD(8)
#endif
    return rows[0];
}
