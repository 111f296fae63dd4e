/* Activations of whole buffers, in place, forward and backward. */

#define EACH(expression)                             \
    for (int64_t i = 0; i < size; i += VEC) {        \
        vf y = load(h + i);                          \
        store(h + i, (expression));                  \
    }                                                \
    break

static void activate(int32_t kind, float slope, int64_t size, float *h) {
    switch (kind) {
    case RELU: EACH(choose(y <= splat(0.0f), splat(0.0f), y)); /* NaN stays NaN */
    case LEAKY_RELU: EACH(choose(y > splat(0.0f), y, y * slope));
    case ELU: EACH(choose(y > splat(0.0f), y, slope * vexpm1(y)));
    case TANH: EACH(vtanh(y));
    case SIGMOID: EACH(vsigmoid(y));
    }
}

#define EACH_BACK(expression)                         \
    for (int64_t i = 0; i < size; i += VEC) {         \
        vf y = load(h + i), d = load(g + i);          \
        store(g + i, (expression));                   \
    }                                                 \
    break

/* g ← g · f′, from y = f(z) */
static void activate_back(int32_t kind, float slope, int64_t size, const float *h, float *g) {
    switch (kind) {
    case RELU: EACH_BACK(choose(y > splat(0.0f), d, splat(0.0f)));
    case LEAKY_RELU: EACH_BACK(choose(y > splat(0.0f), d, d * slope));
    case ELU: EACH_BACK(choose(y > splat(0.0f), d, d * (y + slope)));
    case TANH: EACH_BACK(d * (1.0f - y * y));
    case SIGMOID: EACH_BACK(d * (y * (1.0f - y)));
    }
}

/* Activations whose derivative does not follow from their value: it is kept, where `slopes` is given. */
INLINE int keeps_slopes(int32_t kind) { return kind >= GELU; }

static void activate_keeping(int32_t kind, int64_t size, float *h, float *slopes) {
    for (int64_t i = 0; i < size; i += VEC) {
        const vf z = load(h + i);
        vf share, slope;
        if (kind == GELU) { /* z Φ(z), Φ(z) + z φ(z) */
            share = 0.5f * (1.0f + verf(z * 0.70710678118654752f));
            slope = share + z * vexp(-0.5f * z * z) * 0.39894228040143268f;
        } else { /* z σ(z), σ(z) (1 + z (1 − σ(z))) */
            share = vsigmoid(z);
            slope = share * (1.0f + z * (1.0f - share));
        }
        store(h + i, z * share);
        if (slopes) store(slopes + i, slope);
    }
}

static void multiply(int64_t size, const float *by, float *g) {
    for (int64_t i = 0; i < size; i += VEC) store(g + i, load(g + i) * load(by + i));
}
