/* Activations of whole buffers, in place, forward and backward. */

enum { RELU, LEAKY_RELU, ELU, TANH, SIGMOID, NONE };

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
