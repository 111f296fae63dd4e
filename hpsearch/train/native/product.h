/* Products of panels, and the optimiser's step as the end of one.
 *
 * A matrix [rows, columns] is kept as panels of at most PANEL columns, each [rows, width] row by row, so that
 * a panel lies in one piece of memory whatever the matrix's width. */

enum { BIAS, ADD, ASSIGN, DESCEND, ADAPT };

/* What one step of an optimiser takes. momentum is Adam's beta 1; keep is 1 − ελ of AdamW, 1 of all others. */
typedef struct {
    int32_t optimizer, nesterov;
    float factor, momentum, weight_decay, beta2, epsilon, root, keep;
} Step;

/* The first step; those that differ set factor, root and keep anew. */
static Step step_of(const Lane *lane) {
    return (Step){.optimizer = lane->optimizer,
                  .nesterov = lane->nesterov,
                  .factor = lane->learning_rate,
                  .momentum = lane->optimizer == SGD ? lane->momentum : lane->beta1,
                  .weight_decay = lane->weight_decay,
                  .beta2 = lane->beta2,
                  .epsilon = lane->epsilon,
                  .root = 1,
                  .keep = 1};
}

/* A step of VEC parameters with the gradient g; Adam's second moments lie `apart` floats behind the first ones.
 *
 * SGD: g ← g + λθ, v ← ρv + g, θ ← θ − ε v, as torch.optim.SGD does it. Adam: m ← β₁m + (1 − β₁)g,
 * s ← β₂s + (1 − β₂)g², θ ← θ − factor · m / (root · √s + ϵ), with g ← g + λθ first, or θ ← keep · θ for AdamW. */
INLINE void update(const int adaptive, float *theta, float *velocity, int64_t apart, vf g, const Step *s) {
    vf w = load(theta);
    if (!adaptive) {
        g = g + s->weight_decay * w;
        vf v = s->momentum * load(velocity) + g;
        store(velocity, v);
        vf direction = s->nesterov ? g + s->momentum * v : v;
        store(theta, w - s->factor * direction);
        return;
    }
    w = w * s->keep;
    if (s->optimizer == ADAM) g = g + s->weight_decay * w;
    vf m = s->momentum * load(velocity) + (1.0f - s->momentum) * g;
    vf v = s->beta2 * load(velocity + apart) + (1.0f - s->beta2) * (g * g);
    store(velocity, m);
    store(velocity + apart, v);
    store(theta, w - s->factor * (m / (vsqrt(v) * s->root + s->epsilon)));
}

/* What a product is made of:  C (mode) Σ_k S(r, k) P(k, j)  for `rows` rows r and the columns j of a panel.
 *
 * S(r, k) is s[r · rs + k · cs] within a stretch of `length` k's; each further stretch begins `stretch` floats on.
 * P and C are panels of the same width. BIAS begins with bias[r], ADD with C, ASSIGN, DESCEND and ADAPT with
 * 0; the last two take the sum for C's gradient and make a step, of SGD or Adam; `velocity` has C's layout, and so has what lies `apart`. */
typedef struct {
    int64_t rows, count;
    const float *s;
    int64_t rs, cs, length, stretch;
    const float *p;
    float *c;
    const float *bias;
    float *velocity;
    int64_t apart;
    const Step *step;
} Product;

/* m rows from `row` on, of n vectors each. m, n and mode are constants: each triple is code of its own. */
INLINE void block(const int m, const int n, const int mode, const Product *x, int64_t row) {
    const int64_t width = n * VEC, rs = x->rs, cs = x->cs;
    float *c = x->c + row * width;
    vf sum[8][NV];
#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
#pragma GCC unroll 8
        for (int j = 0; j < n; j++)
            sum[i][j] = mode == ADD    ? load(c + i * width + j * VEC)
                        : mode == BIAS ? splat(x->bias[row + i])
                                       : (vf){0};
    const float *p = x->p, *stretch = x->s + row * rs;
    for (int64_t left = x->count; left > 0; left -= x->length, stretch += x->stretch) {
        const float *s = stretch, *end = p + least(left, x->length) * width;
        for (; p < end; p += width, s += cs) {
            vf line[NV];
#pragma GCC unroll 8
            for (int j = 0; j < n; j++) line[j] = load(p + j * VEC);
#pragma GCC unroll 16
            for (int i = 0; i < m; i++) {
                vf left_factor = splat(s[i * rs]);
#pragma GCC unroll 8
                for (int j = 0; j < n; j++) sum[i][j] += left_factor * line[j];
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
#pragma GCC unroll 8
        for (int j = 0; j < n; j++) {
            const int64_t at = i * width + j * VEC;
            if (mode == DESCEND || mode == ADAPT)
                update(mode == ADAPT, c + at, x->velocity + row * width + at, x->apart, sum[i][j], x->step);
            else
                store(c + at, sum[i][j]);
        }
}

INLINE void all_rows(const int m, const int n, const int mode, const Product *x) {
    int64_t row = 0;
    for (; row + m <= x->rows; row += m) block(m, n, mode, x, row);
    if (m > 4 && row + 4 <= x->rows) block(4, n, mode, x, row), row += 4;
    if (row + 2 <= x->rows) block(2, n, mode, x, row), row += 2;
    if (row < x->rows) block(1, n, mode, x, row);
}

/* Rows of a block: at least eight sums, so that none waits for itself, and at most what the registers hold. */
INLINE void product(const int mode, int64_t width, const Product *x) {
    switch (width / VEC) {
    case 1: all_rows(8, 1, mode, x); break;
    case 2: all_rows(NV == 2 ? 4 : 8, 2, mode, x); break;
#if NV > 2
    case 3: all_rows(4, 3, mode, x); break;
    case 4: all_rows(4, 4, mode, x); break;
#endif
    }
}
