/* Losses, their gradients and the metrics' contributions, VEC rows of a mini-batch at once. */

/* What is judged, and how. */
typedef struct {
    int32_t loss, metric, representation;
    int64_t outputs;
} Judging;

#define SMALL -15.0f /* below it eᶻ is nothing beside 1: log log(1 + eᶻ) is z − eᶻ/2 */

INLINE vf softplus(vf z) { return choose(z > splat(0.0f), z, z - z) + vlog1p(vexp(-vabs(z))); }

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

/* Of an error r − y: the loss and its derivative, squared or absolute. */
INLINE void distance(int squared, vf error, vf *loss, vf *slope) {
    const vi over = error > splat(0.0f), under = error < splat(0.0f);
    *loss = squared ? error * error : vabs(error);
    *slope = squared ? error + error : choose(over, splat(1.0f), choose(under, splat(-1.0f), error));
}

INLINE void one_output(int32_t kind, const float *o, vf y, vi there, float share, float *g, vf *loss) {
    const vf z = load(o);
    vf slope;
    if (kind == MSE || kind == L1) {
        distance(kind == MSE, z - y, loss, &slope);
    } else {
        const vf e = vexp(-vabs(z)), rest = 1.0f / (1.0f + e), sigma = choose(z >= splat(0.0f), rest, e * rest);
        const vf positive = choose(z > splat(0.0f), z, z - z), r = positive + vlog1p(e); /* z − z: NaN stays NaN */
        if (kind == BCE) {
            *loss = positive - z * y + vlog1p(e);
            slope = sigma - y;
        } else if (kind == SOFTPLUS_POISSON) {
            const vi small = z < splat(SMALL);
            *loss = r - y * choose(small, z - 0.5f * e, vlog(r));
            slope = sigma - y * choose(small, splat(1.0f), sigma / r);
        } else {
            distance(kind == SOFTPLUS_MSE, r - y, loss, &slope);
            slope = slope * sigma;
        }
    }
    if (g) store(g, choose(there, slope * share, splat(0.0f)));
}

INLINE vf contribution_of(const Judging *how, vf z, vf y) {
    if (how->metric == ACCURACY)
        return choose(~((z > splat(0.0f)) ^ (y > splat(0.5f))), splat(1.0f), splat(0.0f));
    const vf r = how->representation == SOFTPLUS    ? softplus(z)
                 : how->representation == RECTIFIED ? choose(z < splat(0.0f), splat(0.0f), z)
                                                    : z;
    return how->metric == ABSOLUTE ? vabs(r - y) : (r - y) * (r - y);
}

/* Adds the losses of m rows to into[0] and their metric's contributions to into[1]. logits and g (which may be the
 * same, or absent): [outputs, m padded] in panels of `width` rows; rows: of `part`, or null for first … first + m − 1. */
static void judge(const Judging *how, int64_t m, int64_t width, const float *logits, const Part *part,
                  const int64_t *rows, int64_t first, double *into, float *g) {
    const int64_t outputs = how->outputs;
    const int32_t kind = how->loss;
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
        const vf y = load(target), z = load(logits + place);
        vf loss, contribution = {0};
        float *to = g ? g + place : 0;
        if (kind == CROSS_ENTROPY) {
            cross_entropy(outputs, width, logits + place, *(const viu *)class, mask, share, to, &loss, &contribution);
        } else {
            one_output(kind, logits + place, y, mask, share, to, &loss);
            contribution = contribution_of(how, z, y);
        }
        store(losses, loss);
        store(contributions, how->metric == LOSS ? loss : contribution);
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

/* The logits of m rows as [m, outputs]. */
static void keep_logits(int64_t outputs, int64_t m, int64_t width, const float *logits, float *out) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t n = 0; n < outputs; n++)
            out[i * outputs + n] = logits[i / width * width * outputs + i % width + n * width];
}
