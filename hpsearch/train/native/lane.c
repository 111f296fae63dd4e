/* One lane of a cohort: a multi-layer perceptron trained from one rung to the next.
 *
 * A lane's weights, momentum and hidden values stay in the cache from step to step, every product is
 * a register-blocked loop, and the optimiser's update is the epilogue of the weight gradient's product,
 * so the gradient itself is never written to memory. A lane touches nothing but its own buffers: its
 * numbers do not depend on any other lane.
 *
 * Weights of layer l are W [K, N] row by row, then the bias [N]; K is units[l], N is units[l + 1].
 * Hidden and output units are padded with zeros to a multiple of VEC; the number of features is not.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#if defined(__AVX512F__)
#define VEC 16
#define NV 4 /* vectors of columns in a block */
#else
#define VEC 8
#define NV 2
#endif
#define MR 4 /* rows in a block */
#define KC 256 /* inner length of a block: its columns stay in the first cache */

typedef float vf __attribute__((vector_size(VEC * 4)));
typedef float vfu __attribute__((vector_size(VEC * 4), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(VEC * 4)));

#define INLINE static inline __attribute__((always_inline))

enum { RELU, LEAKY_RELU, ELU, TANH, SIGMOID, NONE };
enum { CROSS_ENTROPY, BCE, MSE, L1 };
enum { ACCURACY, ABSOLUTE, SQUARED, LOSS };

typedef struct {
    int32_t layers;       /* linear layers */
    const int32_t *units; /* [layers + 1], padded but for the features */
    const int32_t *used;  /* [layers + 1], without padding */
    int32_t activation, loss, contribution;
    float slope, learning_rate, momentum, weight_decay;
    int32_t nesterov;
    float *parameters, *velocity; /* layer by layer, W then bias */
    float *work;                  /* work_size() floats */
} Lane;

typedef struct {
    int64_t rows;
    const float *x;       /* [rows, features] */
    const int64_t *class; /* [rows], for cross entropy */
    const float *target;  /* [rows], for all other losses */
} Part;

INLINE vf load(const float *p) { return *(const vfu *)p; }
INLINE void store(float *p, vf v) { *(vfu *)p = v; }
INLINE vf splat(float x) { return x - (vf){0}; }
INLINE vf choose(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }

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
    vf p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
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

INLINE vf vtanh(vf x) {
    vf size = choose(x < splat(0.0f), -x, x);
    vf large = 1.0f - 2.0f / (vexp(size + size) + 1.0f);
    large = choose(x < splat(0.0f), -large, large);
    vf z = x * x;
    vf p = splat(-5.70498872745e-3f);
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    return choose(size < splat(0.625f), x + x * z * p, large);
}

/* -- products ------------------------------------------------------------------------------------- */

enum { ASSIGN, ADD, UPDATE };

typedef struct {
    float learning_rate, momentum, weight_decay;
    int32_t nesterov;
} Step;

/* θ ← θ − ε v with g ← g + λθ, v ← ρv + g, as torch.optim.SGD does it. */
INLINE void update(float *theta, float *velocity, vf g, const Step *s) {
    vf w = load(theta);
    g = g + s->weight_decay * w;
    vf v = s->momentum * load(velocity) + g;
    store(velocity, v);
    vf direction = s->nesterov ? g + s->momentum * v : v;
    store(theta, w - s->learning_rate * direction);
}

/* One step of n parameters from their gradient, in one pass over memory. */
void sgd_step(int64_t n, float *theta, float *velocity, const float *gradient, float learning_rate, float momentum,
              float weight_decay, int32_t nesterov) {
    const Step step = {learning_rate, momentum, weight_decay, nesterov};
    int64_t i = 0;
    for (; i + VEC <= n; i += VEC) update(theta + i, velocity + i, load(gradient + i), &step);
    for (; i < n; i++) {
        const float g = gradient[i] + weight_decay * theta[i];
        velocity[i] = momentum * velocity[i] + g;
        theta[i] -= learning_rate * (nesterov ? g + momentum * velocity[i] : velocity[i]);
    }
}

/* A block of m × n·VEC of  C (mode) Σ_k A[i·rs + k·cs] · B[k, j];  ASSIGN begins with `bias` if given. */
INLINE void block(const int m, const int n, const int mode, int64_t k_count, const float *a, int64_t rs,
                  int64_t cs, const float *b, int64_t ldb, float *c, int64_t ldc, const float *bias,
                  float *velocity, const Step *step) {
    vf acc[MR][NV];
#pragma GCC unroll 8
    for (int i = 0; i < m; i++)
#pragma GCC unroll 8
        for (int j = 0; j < n; j++)
            acc[i][j] = mode == ADD      ? load(c + i * ldc + j * VEC)
                        : mode == ASSIGN && bias ? load(bias + j * VEC)
                                                 : (vf){0};
    for (int64_t k = 0; k < k_count; k++) {
        vf row[NV];
#pragma GCC unroll 8
        for (int j = 0; j < n; j++) row[j] = load(b + k * ldb + j * VEC);
#pragma GCC unroll 8
        for (int i = 0; i < m; i++) {
            vf left = splat(a[i * rs + k * cs]);
#pragma GCC unroll 8
            for (int j = 0; j < n; j++) acc[i][j] += left * row[j];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < m; i++)
#pragma GCC unroll 8
        for (int j = 0; j < n; j++) {
            int64_t at = i * ldc + j * VEC;
            if (mode == UPDATE)
                update(c + at, velocity + at, acc[i][j], step);
            else
                store(c + at, acc[i][j]);
        }
}

INLINE void block_rows(const int n, const int mode, int64_t m, int64_t k_count, const float *a, int64_t rs,
                       int64_t cs, const float *b, int64_t ldb, float *c, int64_t ldc, const float *bias,
                       float *velocity, const Step *step) {
    int64_t i = 0;
    for (; i + MR <= m; i += MR)
        block(MR, n, mode, k_count, a + i * rs, rs, cs, b, ldb, c + i * ldc, ldc, bias, velocity + i * ldc, step);
    for (; i < m; i++)
        block(1, n, mode, k_count, a + i * rs, rs, cs, b, ldb, c + i * ldc, ldc, bias, velocity + i * ldc, step);
}

/* C [m, n] (mode) Σ_k A(i, k) B(k, j); n is a multiple of VEC. `velocity` has C's layout. */
INLINE void product(const int mode, int64_t m, int64_t n, int64_t k_count, const float *a, int64_t rs,
                    int64_t cs, const float *b, int64_t ldb, float *c, int64_t ldc, const float *bias,
                    float *velocity, const Step *step) {
    int64_t j = 0;
    for (; j + NV * VEC <= n; j += NV * VEC)
        block_rows(NV, mode, m, k_count, a, rs, cs, b + j, ldb, c + j, ldc, bias ? bias + j : 0, velocity + j, step);
    for (; j < n; j += VEC)
        block_rows(1, mode, m, k_count, a, rs, cs, b + j, ldb, c + j, ldc, bias ? bias + j : 0, velocity + j, step);
}

/* out [m, n] = h [m, k] · w [k, n] + bias */
static void linear(int64_t m, int64_t n, int64_t k, const float *h, const float *w, const float *bias, float *out) {
    product(ASSIGN, m, n, k < KC ? k : KC, h, k, 1, w, n, out, n, bias, out, 0);
    for (int64_t at = KC; at < k; at += KC)
        product(ADD, m, n, k - at < KC ? k - at : KC, h + at, k, 1, w + at * n, n, out, n, 0, out, 0);
}

/* out [m, k] = g [m, n] · wᵀ, with wᵀ [n, k] */
static void linear_back(int64_t m, int64_t k, int64_t n, const float *g, const float *wt, float *out) {
    product(ASSIGN, m, k, n, g, n, 1, wt, k, out, k, 0, out, 0);
}

/* w [k, n] and bias [n] after a step along hᵀ [k, m] · g [m, n] and the column sums of g */
static void linear_update(int64_t m, int64_t k, int64_t n, const float *h, const float *g, float *w, float *vw,
                          const Step *step) {
    product(UPDATE, k, n, m, h, 1, k, g, n, w, n, 0, vw, step);
    for (int64_t j = 0; j < n; j += VEC) {
        vf sum = {0};
        for (int64_t i = 0; i < m; i++) sum += load(g + i * n + j);
        update(w + k * n + j, vw + k * n + j, sum, step);
    }
}

INLINE void transpose_block(const float *w, int64_t ldw, float *out, int64_t ldo) {
    vf rows[VEC];
#pragma GCC unroll 16
    for (int i = 0; i < VEC; i++) rows[i] = load(w + i * ldw);
#pragma GCC unroll 4
    for (int d = 1; d < VEC; d *= 2) {
        vi low, high;
        for (int e = 0; e < VEC; e++) {
            low[e] = e & d ? e - d + VEC : e;
            high[e] = e & d ? e + VEC : e + d;
        }
#pragma GCC unroll 16
        for (int i = 0; i < VEC; i++)
            if (!(i & d)) {
                vf a = rows[i], b = rows[i + d];
                rows[i] = __builtin_shuffle(a, b, low);
                rows[i + d] = __builtin_shuffle(a, b, high);
            }
    }
#pragma GCC unroll 16
    for (int i = 0; i < VEC; i++) store(out + i * ldo, rows[i]);
}

/* out [n, k] = w [k, n]ᵀ; both are multiples of VEC */
static void transpose(int64_t k, int64_t n, const float *w, float *out) {
    for (int64_t i = 0; i < k; i += VEC)
        for (int64_t j = 0; j < n; j += VEC) transpose_block(w + i * n + j, n, out + j * k + i, k);
}

/* -- activations, in place -------------------------------------------------------------------------- */

#define EACH(expression)                             \
    for (int64_t i = 0; i < size; i += VEC) {        \
        vf y = load(h + i);                          \
        store(h + i, (expression));                  \
    }

static void activate(int32_t kind, float slope, int64_t size, float *h) {
    switch (kind) {
    case RELU: EACH(choose(y <= splat(0.0f), splat(0.0f), y)) break; /* NaN stays NaN */
    case LEAKY_RELU: EACH(choose(y > splat(0.0f), y, y * slope)) break;
    case ELU: EACH(choose(y > splat(0.0f), y, vexpm1(y))) break;
    case TANH: EACH(vtanh(y)) break;
    case SIGMOID: EACH(vsigmoid(y)) break;
    }
}

#define EACH_BACK(expression)                         \
    for (int64_t i = 0; i < size; i += VEC) {         \
        vf y = load(h + i), d = load(g + i);          \
        store(g + i, (expression));                   \
    }

/* g ← g · f′, from y = f(z) */
static void activate_back(int32_t kind, float slope, int64_t size, const float *h, float *g) {
    switch (kind) {
    case RELU: EACH_BACK(choose(y > splat(0.0f), d, splat(0.0f))) break;
    case LEAKY_RELU: EACH_BACK(choose(y > splat(0.0f), d, d * slope)) break;
    case ELU: EACH_BACK(choose(y > splat(0.0f), d, d * (y + 1.0f))) break;
    case TANH: EACH_BACK(d * (1.0f - y * y)) break;
    case SIGMOID: EACH_BACK(d * (y * (1.0f - y))) break;
    }
}

/* -- losses ------------------------------------------------------------------------------------------ */

/* Adds the losses of m rows to sums[0] and their metric's contributions to sums[1]; where g is given,
 * it gets ∂(mean loss)/∂logits. logits, g: [m, n]; used of the n are no padding. */
static void judge(const Lane *lane, int64_t m, int64_t n, int64_t used, const float *logits, const Part *part,
                  const int64_t *rows, int64_t first, double *sums, float *g) {
    const float share = 1.0f / (float)m;
    for (int64_t i = 0; i < m; i++) {
        const int64_t row = rows ? rows[i] : first + i;
        const float *o = logits + i * n;
        float *d = g ? g + i * n : 0;
        double loss, contribution = 0;
        if (lane->loss == CROSS_ENTROPY) {
            const int64_t t = part->class[row];
            int64_t best = 0;
            for (int64_t j = 1; j < used; j++)
                if (o[j] > o[best]) best = j;
            const float top = o[best];
            vf total = {0};
            float terms[VEC];
            for (int64_t j = 0; j < n; j += VEC) {
                vf e = vexp(load(o + j) - top);
                if (j + VEC > used)
                    for (int64_t p = used - j > 0 ? used - j : 0; p < VEC; p++) e[p] = 0.0f;
                total += e;
                if (d) store(d + j, e);
            }
            store(terms, total);
            float sum = 0;
            for (int p = 0; p < VEC; p++) sum += terms[p];
            loss = (double)(logf(sum) + top - o[t]);
            contribution = best == t;
            if (d) {
                const vf scale = splat(share / sum);
                for (int64_t j = 0; j < n; j += VEC) store(d + j, load(d + j) * scale);
                d[t] -= share;
            }
        } else {
            const float z = o[0], y = part->target[row];
            float slope;
            if (lane->loss == BCE) {
                const float e = expf(-fabsf(z));
                loss = (double)((z > 0 ? z : 0) - z * y + log1pf(e));
                slope = (z >= 0 ? 1 / (1 + e) : e / (1 + e)) - y;
                if (z != z) loss = slope = z;
                contribution = (z > 0) == (y > 0.5f);
            } else {
                const float error = z - y;
                loss = lane->loss == MSE ? (double)(error * error) : (double)fabsf(error);
                slope = lane->loss == MSE ? 2 * error : error > 0 ? 1 : error < 0 ? -1 : error;
            }
            if (d) {
                memset(d, 0, sizeof(float) * n);
                d[0] = slope * share;
            }
            const float error = z - y;
            if (lane->contribution == ABSOLUTE) contribution = (double)fabsf(error);
            if (lane->contribution == SQUARED) contribution = (double)(error * error);
        }
        sums[0] += loss;
        sums[1] += lane->contribution == LOSS ? loss : contribution;
    }
}

/* -- a lane ------------------------------------------------------------------------------------------- */

#define ROWS_AT_ONCE 64 /* of the validation part */

static int64_t widest(const Lane *lane) {
    int64_t most = 0;
    for (int l = 1; l <= lane->layers; l++)
        if (lane->units[l] > most) most = lane->units[l];
    return most;
}

/* Floats that `work` must have for mini-batches of `batch` rows. */
int64_t work_size(const Lane *lane, int64_t batch) {
    int64_t rows = batch > ROWS_AT_ONCE ? batch : ROWS_AT_ONCE, size = batch * lane->units[0];
    for (int l = 1; l <= lane->layers; l++) size += rows * lane->units[l];
    return size + 2 * rows * widest(lane) + widest(lane) * widest(lane) + 64;
}

int32_t vector_width(void) { return VEC; }

typedef struct {
    float *x, *hidden[65], *g[2], *wt;
} Work;

static Work divide(const Lane *lane, int64_t batch) {
    int64_t rows = batch > ROWS_AT_ONCE ? batch : ROWS_AT_ONCE;
    Work w;
    float *at = lane->work;
    for (int l = 1; l <= lane->layers; l++) {
        w.hidden[l] = at;
        at += rows * lane->units[l];
    }
    for (int i = 0; i < 2; i++, at += rows * widest(lane)) w.g[i] = at;
    w.wt = at;
    w.x = at + widest(lane) * widest(lane);
    return w;
}

/* hidden[1] … hidden[layers] for m rows x; the last are the logits */
static void forward(const Lane *lane, int64_t m, const float *x, const Work *work) {
    const float *h = x, *w = lane->parameters;
    for (int l = 0; l < lane->layers; l++) {
        const int64_t k = lane->units[l], n = lane->units[l + 1], used = lane->used[l + 1];
        float *out = work->hidden[l + 1];
        linear(m, n, k, h, w, w + k * n, out);
        if (l + 1 < lane->layers) {
            activate(lane->activation, lane->slope, m * n, out);
            if (lane->activation == SIGMOID && used < n) /* all others keep zeros zero */
                for (int64_t i = 0; i < m; i++) memset(out + i * n + used, 0, sizeof(float) * (n - used));
        }
        h = out;
        w += k * n + n;
    }
}

static void backward_and_step(const Lane *lane, int64_t m, const Work *work, const Step *step) {
    int64_t at = 0;
    for (int l = 0; l < lane->layers; l++) at += (int64_t)(lane->units[l] + 1) * lane->units[l + 1];
    float *g = work->g[0], *below = work->g[1];
    for (int l = lane->layers - 1; l >= 0; l--) {
        const int64_t k = lane->units[l], n = lane->units[l + 1];
        at -= (k + 1) * n;
        float *w = lane->parameters + at;
        if (l) { /* before the weights change */
            transpose(k, n, w, work->wt);
            linear_back(m, k, n, g, work->wt, below);
            activate_back(lane->activation, lane->slope, m * k, work->hidden[l], below);
        }
        linear_update(m, k, n, l ? work->hidden[l] : work->x, g, w, lane->velocity + at, step);
        float *swap = g;
        g = below;
        below = swap;
    }
}

/* Train for `epochs` epochs, orders [epochs, train->rows], and write curve [epochs, 4]: sums of training
 * loss and contributions over the rows of all whole mini-batches, then the same over the validation part.
 * Ends after an epoch with a sum of losses that is not finite. Returns the epochs done. */
int32_t train_lane(const Lane *lane, const Part *train, const Part *valid, int64_t batch, const int64_t *orders,
                   int32_t epochs, double *curve) {
#if defined(__SSE__)
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040); /* numbers below 1e-38 are zero: they cost a hundred times as much */
#endif
    const Work work = divide(lane, batch);
    const Step step = {lane->learning_rate, lane->momentum, lane->weight_decay, lane->nesterov};
    const int64_t features = lane->units[0], n = lane->units[lane->layers], used = lane->used[lane->layers];
    const float *logits = work.hidden[lane->layers];
    int32_t done = 0;
    while (done < epochs) {
        double *sums = curve + 4 * done;
        memset(sums, 0, 4 * sizeof(double));
        const int64_t *order = orders + done * train->rows;
        for (int64_t start = 0; start + batch <= train->rows; start += batch) {
            for (int64_t i = 0; i < batch; i++)
                memcpy(work.x + i * features, train->x + order[start + i] * features, sizeof(float) * features);
            forward(lane, batch, work.x, &work);
            judge(lane, batch, n, used, logits, train, order + start, 0, sums, work.g[0]);
            backward_and_step(lane, batch, &work, &step);
        }
        for (int64_t start = 0; start < valid->rows; start += ROWS_AT_ONCE) {
            const int64_t m = valid->rows - start < ROWS_AT_ONCE ? valid->rows - start : ROWS_AT_ONCE;
            forward(lane, m, valid->x + start * features, &work);
            judge(lane, m, n, used, logits, valid, 0, start, sums + 2, 0);
        }
        done++;
        if (!isfinite(sums[0]) || !isfinite(sums[2])) break;
    }
#if defined(__SSE__)
    _mm_setcsr(before);
#endif
    return done;
}
