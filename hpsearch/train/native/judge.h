/* Losses, their gradients and the metrics' contributions, VEC rows of a mini-batch at once. */

enum { CROSS_ENTROPY, BCE, MSE, L1 };
enum { ACCURACY, ABSOLUTE, SQUARED, LOSS };

/* Of VEC rows: o[n · width] are logit n, g[n · width] is to be ∂(loss · share)/∂logit n; `class` and `target` are
 * the rows', `there` masks those that are no padding. Writes each row's loss and contribution. */
INLINE void cross_entropy(int64_t classes, int64_t width, const float *o, vi class, vi there, float share, float *g,
                          vf *loss, vf *correct) {
    vf top = load(o), own = top, sum = {0};
    vi best = {0};
    for (int64_t n = 1; n < classes; n++) {
        const vf z = load(o + n * width);
        const vi higher = z > top;
        top = choose(higher, z, top);
        best = (higher & (int32_t)n) | (~higher & best);
        own = choose(class == (int32_t)n, z, own);
    }
    for (int64_t n = 0; n < classes; n++) {
        const vf e = vexp(load(o + n * width) - top);
        sum += e;
        if (g) store(g + n * width, e);
    }
    *loss = vlog(sum) + top - own;
    *correct = choose(best == class, splat(1.0f), splat(0.0f));
    if (!g) return;
    const vf scale = share / sum;
    for (int64_t n = 0; n < classes; n++) {
        const vf own_share = choose(class == (int32_t)n, splat(share), splat(0.0f));
        store(g + n * width, choose(there, load(g + n * width) * scale - own_share, splat(0.0f)));
    }
}

INLINE void one_output(int32_t kind, const float *o, vf y, vi there, float share, float *g, vf *loss) {
    const vf z = load(o), error = z - y;
    const vi over = error > splat(0.0f), under = error < splat(0.0f);
    vf slope;
    if (kind == BCE) {
        const vf e = vexp(-vabs(z)), rest = 1.0f / (1.0f + e);
        *loss = choose(z > splat(0.0f), z, z - z) - z * y + vlog1p(e); /* z − z: NaN stays NaN */
        slope = choose(z >= splat(0.0f), rest, e * rest) - y;
    } else {
        *loss = kind == MSE ? error * error : vabs(error);
        slope = kind == MSE ? error + error
                            : choose(over, splat(1.0f), choose(under, splat(-1.0f), error));
    }
    if (g) store(g, choose(there, slope * share, splat(0.0f)));
}

/* Adds the losses of m rows to into[0] and their metric's contributions to into[1]. logits and g (which may be the
 * same, or absent): [outputs, m padded] in panels of `width` rows; rows: of `part`, or null for first … first + m − 1. */
static void judge(int32_t kind, int32_t metric, int64_t outputs, int64_t m, int64_t width, const float *logits,
                  const Part *part, const int64_t *rows, int64_t first, double *into, float *g) {
    const float share = 1.0f / (float)m;
    for (int64_t at = 0; at < m; at += VEC) {
        const int64_t place = at / width * width * outputs + at % width, here = least(VEC, m - at);
        int32_t class[VEC] = {0}, there[VEC] = {0};
        float target[VEC] = {0}, losses[VEC], contributions[VEC];
        for (int64_t i = 0; i < here; i++) {
            const int64_t row = rows ? rows[at + i] : first + at + i;
            there[i] = -1;
            if (kind == CROSS_ENTROPY)
                class[i] = (int32_t)part->class[row];
            else
                target[i] = part->target[row];
        }
        const vi mask = *(const viu *)there;
        const vf y = load(target), z = load(logits + place), error = z - y;
        vf loss, contribution = {0};
        float *to = g ? g + place : 0;
        if (kind == CROSS_ENTROPY) {
            cross_entropy(outputs, width, logits + place, *(const viu *)class, mask, share, to, &loss, &contribution);
        } else {
            one_output(kind, logits + place, y, mask, share, to, &loss);
            const vi right = ~((z > splat(0.0f)) ^ (y > splat(0.5f)));
            contribution = metric == ABSOLUTE  ? vabs(error)
                           : metric == SQUARED ? error * error
                                               : choose(right, splat(1.0f), splat(0.0f));
        }
        store(losses, loss);
        store(contributions, metric == LOSS ? loss : contribution);
        for (int64_t i = 0; i < here; i++) {
            into[0] += losses[i];
            into[1] += contributions[i];
        }
    }
    /* Panels are padded to whole ones: their further vectors get no gradient. */
    if (g)
        for (int64_t at = padded(m); at % width; at += VEC)
            for (int64_t n = 0; n < outputs; n++)
                store(g + at / width * width * outputs + at % width + n * width, (vf){0});
}
