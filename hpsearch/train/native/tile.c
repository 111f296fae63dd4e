/* A tile of lanes, multi-layer perceptrons that see the same mini-batches, trained from one rung to the next.
 *
 * A step is one pass over the lanes' first layers (their update with this mini-batch, and at once their product
 * with the next one, while the weights are in the cache), then each lane by itself through its other layers. A
 * mini-batch is brought into order once for all lanes. The update is the end of the weight gradient's product, so
 * that no gradient is ever written to memory.
 *
 * A lane writes to nothing but its own buffers and sums in an order of its own, so its numbers do not depend on
 * the other lanes of its tile.
 *
 * Values of units are kept [units, rows of the mini-batch], in panels of `width` rows (product.h): a product's
 * vectors run along the mini-batch, and losses and activations take VEC rows at once. Weights are kept [outputs,
 * inputs] in panels of inputs, then the bias [outputs]; in `Lane` they lie as [inputs, outputs] row by row.
 */
#include <stdlib.h>
#include <string.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif
#include "vector.h"
#include "product.h"
#include "judge.h"

#define LAYERS 64        /* most linear layers of a lane */
#define ROWS_AT_ONCE 256 /* of the validation part */

enum { RELU, LEAKY_RELU, ELU, TANH, SIGMOID, NONE };

typedef struct {
    int32_t layers;       /* linear layers */
    const int32_t *units; /* [layers + 1], the features first */
    int32_t activation;
    float slope, learning_rate, momentum, weight_decay;
    int32_t nesterov;
    float *parameters, *velocity; /* layer by layer, weights then bias: what to begin with, and what came out */
    double *curve;                /* [epochs, 4]: sums of training losses and contributions over the rows of
                                     whole mini-batches, then the same over the validation part */
    int32_t done;                 /* epochs trained: up to the first with a sum of losses that is not finite */
} Lane;

typedef struct {
    int32_t loss, metric;
    int64_t batch;
    int32_t epochs;
    const int64_t *orders; /* [epochs, training rows] */
} Plan;

/* Rows of a part that go through the networks together: m of them, in `panels` panels of `width`. */
typedef struct {
    const Part *part;
    const int64_t *rows; /* or null: first … first + m − 1 */
    int64_t first, m, width, panels;
} Batch;

/* A lane in training. Matrices of layer l are of units[l + 1] rows and units[l] columns. */
typedef struct {
    const int32_t *units;
    int layers;
    Lane *lane;
    Step step;
    float *weight[LAYERS], *bias[LAYERS], *v_weight[LAYERS], *v_bias[LAYERS];
    float *first, *d_first; /* the first layer's outputs for a mini-batch, and their gradient */
} Net;

/* Buffers that the lanes of a tile use one after the other. */
typedef struct {
    float *hidden[LAYERS + 1]; /* outputs of layer l − 1, [units[l], rows] */
    float *inputs[LAYERS];     /* what layer l saw, [rows, units[l]] in panels of units */
    float *gradient[2];
    float *x_rows, *x_columns; /* a panel of the mini-batch's features, [rows, width] and [features, rows] */
} Work;

/* -- mini-batches ------------------------------------------------------------------------------------ */

static Batch batch_of(const Part *part, const int64_t *rows, int64_t first, int64_t m) {
    const int64_t vectors = padded(m) / VEC, panels = (vectors + NV - 1) / NV;
    return (Batch){part, rows, first, m, (vectors + panels - 1) / panels * VEC, panels};
}

static int64_t columns(const Batch *b) { return b->width * b->panels; }

static int64_t panel_width(int64_t columns, int64_t from) { return least(PANEL, padded(columns - from)); }

INLINE const float *row_of(const Batch *b, int64_t i, int64_t features) {
    return b->part->x + (b->rows ? b->rows[i] : b->first + i) * features;
}

/* Features from … from + count − 1 as [rows, width], and a hint to bring the next panel's closer. */
static void pack_rows(const Batch *b, int64_t features, int64_t from, int64_t count, float *out) {
    const int64_t width = padded(count), whole = count / VEC * VEC;
    for (int64_t i = 0; i < b->m; i++, out += width) {
        const float *x = row_of(b, i, features) + from;
        if (from + PANEL < features)
            for (int64_t j = 0; j < PANEL; j += 16) __builtin_prefetch(x + PANEL + j);
        for (int64_t j = 0; j < whole; j += VEC) store(out + j, load(x + j));
        if (whole < width) {
            store(out + whole, (vf){0});
            memcpy(out + whole, x + whole, sizeof(float) * (count - whole));
        }
    }
}

/* The same features as [features, rows] in the batch's panels; rows of the padding are zero. */
static void pack_columns(const Batch *b, int64_t features, int64_t from, int64_t count, float *out) {
    for (int64_t at = 0; at < columns(b); at += VEC) {
        float *to = out + at / b->width * b->width * count + at % b->width;
        for (int64_t j = 0; j < count; j += VEC) {
            vf block[VEC];
            const int64_t here = least(VEC, count - j);
#pragma GCC unroll 16
            for (int i = 0; i < VEC; i++) {
                block[i] = (vf){0};
                if (at + i >= b->m) continue;
                const float *x = row_of(b, at + i, features) + from + j;
                if (from + j + PANEL < features) __builtin_prefetch(x + PANEL);
                if (here == VEC)
                    block[i] = load(x);
                else
                    memcpy(&block[i], x, sizeof(float) * here);
            }
            transpose(block);
            for (int64_t i = 0; i < here; i++) store(to + (j + i) * b->width, block[i]);
        }
    }
}

/* Values [units, rows] of a batch as [rows, units] in panels of units, with zeros for the padding. */
static void to_rows(const Batch *b, int64_t units, const float *values, float *out) {
    for (int64_t q = 0; q < b->panels; q++)
        for (int64_t u = 0; u < units; u += VEC) {
            const int64_t start = u / PANEL * PANEL, width = panel_width(units, start);
            const float *from = values + (q * units + u) * b->width;
            float *to = out + start * columns(b) + q * b->width * width + (u - start);
            for (int64_t j = 0; j < b->width; j += VEC) {
                vf block[VEC];
#pragma GCC unroll 16
                for (int i = 0; i < VEC; i++) block[i] = u + i < units ? load(from + i * b->width + j) : (vf){0};
                transpose(block);
#pragma GCC unroll 16
                for (int i = 0; i < VEC; i++) store(to + (j + i) * width, block[i]);
            }
        }
}

/* -- activations, in place --------------------------------------------------------------------------- */

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
    case ELU: EACH(choose(y > splat(0.0f), y, vexpm1(y)));
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
    case ELU: EACH_BACK(choose(y > splat(0.0f), d, d * (y + 1.0f)));
    case TANH: EACH_BACK(d * (1.0f - y * y));
    case SIGMOID: EACH_BACK(d * (y * (1.0f - y)));
    }
}

/* -- layers ------------------------------------------------------------------------------------------- */

/* The share of the inputs from … from + count − 1, [count, rows], in the outputs of layer l. */
static void linear(const Net *net, int l, const Batch *b, int64_t from, int64_t count, const float *inputs,
                   int64_t inputs_stretch, float *out) {
    const int64_t outputs = net->units[l + 1];
    Product x = {outputs, count, net->weight[l] + from * outputs, padded(count), 1, count, 0};
    x.bias = net->bias[l];
    for (int64_t q = 0; q < b->panels; q++) {
        x.p = inputs + q * inputs_stretch;
        x.c = out + q * b->width * outputs;
        if (from)
            product(ADD, b->width, &x);
        else
            product(BIAS, b->width, &x);
    }
}

/* ∂L/∂inputs of layer l from g = ∂L/∂outputs */
static void linear_back(const Net *net, int l, const Batch *b, const float *g, float *out) {
    const int64_t inputs = net->units[l], outputs = net->units[l + 1];
    for (int64_t q = 0; q < b->panels; q++)
        for (int64_t from = 0; from < inputs; from += PANEL)
            for (int64_t n = 0; n < outputs; n += 2 * PANEL) {
                const int64_t width = panel_width(inputs, from), count = least(2 * PANEL, outputs - n);
                const float *weight = net->weight[l] + from * outputs + n * width;
                Product x = {least(PANEL, inputs - from), count, weight, 1, width, count, 0};
                x.p = g + (q * outputs + n) * b->width;
                x.c = out + (q * inputs + from) * b->width;
                if (n)
                    product(ADD, b->width, &x);
                else
                    product(ASSIGN, b->width, &x);
            }
}

/* A step of the weights of layer l from the inputs from … from + count − 1, [rows, width]. */
static void step_weights(const Net *net, int l, const Batch *b, int64_t from, int64_t count, const float *inputs,
                         const float *g) {
    const int64_t outputs = net->units[l + 1];
    Product x = {outputs, b->m, g, b->width, 1, b->width, b->width * outputs, inputs};
    x.c = net->weight[l] + from * outputs;
    x.velocity = net->v_weight[l] + from * outputs;
    x.step = &net->step;
    product(UPDATE, padded(count), &x);
}

/* A step of the biases of layer l: their gradients are the sums of g over the rows. */
static void step_biases(const Net *net, int l, const Batch *b, const float *g) {
    const int64_t outputs = net->units[l + 1], panel = b->width * outputs;
    for (int64_t n = 0; n < outputs; n += VEC) {
        vf block[VEC];
#pragma GCC unroll 16
        for (int64_t i = 0; i < VEC; i++) {
            vf sum = {0};
            const float *row = g + (n + i) * b->width;
            if (n + i < outputs)
                for (int64_t q = 0; q < b->panels; q++)
                    for (int64_t j = 0; j < b->width; j += VEC) sum += load(row + q * panel + j);
            block[i] = sum;
        }
        update(net->bias[l] + n, net->v_bias[l] + n, sums(block), &net->step);
    }
}

/* The first layers of all nets: a step with the mini-batch `past`, then the outputs for `next`; either may be null. */
static void first_layers(Net *const *nets, int count, const Batch *past, const Batch *next, const Work *work) {
    const int64_t features = nets[0]->units[0];
    for (int64_t from = 0; from < features; from += PANEL) {
        const int64_t here = least(PANEL, features - from);
        if (past) pack_rows(past, features, from, here, work->x_rows);
        if (next) pack_columns(next, features, from, here, work->x_columns);
        for (int i = 0; i < count; i++) {
            if (past) step_weights(nets[i], 0, past, from, here, work->x_rows, nets[i]->d_first);
            if (past && !from) step_biases(nets[i], 0, past, nets[i]->d_first);
            if (next) linear(nets[i], 0, next, from, here, work->x_columns, here * next->width, nets[i]->first);
        }
    }
}

/* From the first layer's outputs to the logits; `keep` what the backward pass needs. */
static float *forward(const Net *net, const Batch *b, const Work *work, int keep) {
    float *h = net->first;
    for (int l = 1; l < net->layers; l++) {
        const int64_t inputs = net->units[l];
        activate(net->lane->activation, net->lane->slope, inputs * columns(b), h);
        if (keep) to_rows(b, inputs, h, work->inputs[l]);
        float *out = work->hidden[l + 1];
        for (int64_t from = 0; from < inputs; from += PANEL)
            linear(net, l, b, from, least(PANEL, inputs - from), h + from * b->width, inputs * b->width, out);
        h = out;
    }
    return h;
}

/* From the gradient of the logits to that of the first layer's outputs; a step of all other layers. */
static void backward(const Net *net, const Batch *b, const Work *work, const float *g) {
    for (int l = net->layers - 1; l > 0; l--) {
        const int64_t inputs = net->units[l];
        float *below = l == 1 ? net->d_first : work->gradient[l % 2];
        linear_back(net, l, b, g, below); /* before the weights change */
        activate_back(net->lane->activation, net->lane->slope, inputs * columns(b),
                      l == 1 ? net->first : work->hidden[l], below);
        for (int64_t from = 0; from < inputs; from += PANEL)
            step_weights(net, l, b, from, least(PANEL, inputs - from), work->inputs[l] + from * columns(b), g);
        step_biases(net, l, b, g);
        g = below;
    }
}

/* -- a tile's memory ---------------------------------------------------------------------------------- */

/* The next `count` floats of the arena, on a cache line of their own; `skew` lines apart from the ones before, so
 * that matrices that are read together do not fall on the same lines of the cache. */
static float *take(float **at, int64_t count) {
    float *taken = *at;
    *at += (count + 31) / 16 * 16;
    return taken;
}

/* Places everything from `at` on; returns where it ends. */
static float *arrange(float *at, Net *nets, int count, Work *work, int64_t rows) {
    int64_t widest = 0, hidden[LAYERS + 1] = {0};
    for (int i = 0; i < count; i++) {
        Net *net = &nets[i];
        for (int l = 0; l < net->layers; l++) {
            const int64_t inputs = net->units[l], outputs = net->units[l + 1];
            net->weight[l] = take(&at, outputs * padded(inputs));
            net->bias[l] = take(&at, padded(outputs));
            net->v_weight[l] = take(&at, outputs * padded(inputs));
            net->v_bias[l] = take(&at, padded(outputs));
            hidden[l + 1] = most(hidden[l + 1], outputs);
            widest = most(widest, outputs);
        }
        net->first = take(&at, net->units[1] * rows);
        net->d_first = take(&at, net->units[1] * rows);
    }
    for (int l = 1; l <= LAYERS; l++) {
        work->hidden[l] = take(&at, l > 1 ? hidden[l] * rows : 0);
        if (l < LAYERS) work->inputs[l] = take(&at, padded(hidden[l]) * rows);
    }
    for (int i = 0; i < 2; i++) work->gradient[i] = take(&at, widest * rows);
    work->x_rows = take(&at, PANEL * rows);
    work->x_columns = take(&at, PANEL * rows);
    return at;
}

/* Between a lane's flat parameters and its matrices: `load`s them from `flat`, or stores them there. */
static void copy_lane(const Net *net, float *flat, float *const *weight, float *const *bias, int into_net) {
    for (int l = 0; l < net->layers; l++) {
        const int64_t inputs = net->units[l], outputs = net->units[l + 1];
        for (int64_t from = 0; from < inputs; from += PANEL) {
            const int64_t here = least(PANEL, inputs - from), width = padded(here);
            float *panel = weight[l] + from * outputs;
            if (into_net) memset(panel, 0, sizeof(float) * outputs * width);
            for (int64_t n = 0; n < outputs; n++)
                for (int64_t k = 0; k < here; k++) {
                    float *outer = flat + (from + k) * outputs + n, *inner = panel + n * width + k;
                    if (into_net)
                        *inner = *outer;
                    else
                        *outer = *inner;
                }
        }
        flat += inputs * outputs;
        if (into_net) {
            memset(bias[l], 0, sizeof(float) * padded(outputs));
            memcpy(bias[l], flat, sizeof(float) * outputs);
        } else {
            memcpy(flat, bias[l], sizeof(float) * outputs);
        }
        flat += outputs;
    }
}

/* -- training ------------------------------------------------------------------------------------------ */

int32_t vector_width(void) { return VEC; }

static void evaluate(Net *const *nets, int count, const Part *valid, const Plan *plan, int epoch, const Work *work) {
    for (int64_t start = 0; start < valid->rows; start += ROWS_AT_ONCE) {
        const Batch b = batch_of(valid, 0, start, least(ROWS_AT_ONCE, valid->rows - start));
        first_layers(nets, count, 0, &b, work);
        for (int i = 0; i < count; i++)
            judge(plan->loss, plan->metric, nets[i]->units[nets[i]->layers], b.m, b.width,
                  forward(nets[i], &b, work, 0), valid, 0, start, nets[i]->lane->curve + 4 * epoch + 2, 0);
    }
}

static void train_epochs(Net **nets, int count, const Part *train, const Part *valid, const Plan *plan,
                         const Work *work) {
    for (int epoch = 0; epoch < plan->epochs && count; epoch++) {
        const int64_t *order = plan->orders + epoch * train->rows, m = plan->batch, steps = train->rows / m;
        Batch now = batch_of(train, order, 0, m);
        first_layers(nets, count, 0, &now, work);
        for (int64_t step = 0; step < steps; step++) {
            for (int i = 0; i < count; i++) {
                Net *net = nets[i];
                float *logits = forward(net, &now, work, 1), *g = net->layers == 1 ? net->d_first : logits;
                judge(plan->loss, plan->metric, net->units[net->layers], m, now.width, logits, train, now.rows, 0,
                      net->lane->curve + 4 * epoch, g);
                backward(net, &now, work, g);
            }
            const Batch next = batch_of(train, now.rows + m, 0, m);
            first_layers(nets, count, &now, step + 1 < steps ? &next : 0, work);
            now = next;
        }
        evaluate(nets, count, valid, plan, epoch, work);
        int going_on = 0;
        for (int i = 0; i < count; i++) {
            const double *sums = nets[i]->lane->curve + 4 * epoch;
            nets[i]->lane->done = epoch + 1;
            if (isfinite(sums[0]) && isfinite(sums[2])) nets[going_on++] = nets[i];
        }
        count = going_on;
    }
}

/* Train the lanes, whose features, outputs and epochs are the same. Returns 0, or −1 without memory. */
int32_t train_tile(Lane *lanes, int32_t count, const Part *train, const Part *valid, const Plan *plan) {
    const Batch batch = batch_of(train, 0, 0, plan->batch);
    const Batch valid_batch = batch_of(valid, 0, 0, least(ROWS_AT_ONCE, valid->rows));
    const int64_t rows = most(columns(&batch), columns(&valid_batch));
    Net *nets = calloc(count, sizeof(Net)), **alive = calloc(count, sizeof(Net *));
    Work work;
    float *memory = 0;
    if (nets && alive) {
        for (int i = 0; i < count; i++) {
            Lane *lane = &lanes[i];
            const Step step = {lane->learning_rate, lane->momentum, lane->weight_decay, lane->nesterov};
            nets[i] = (Net){lane->units, lane->layers, lane, step};
            alive[i] = &nets[i];
            memset(lane->curve, 0, sizeof(double) * 4 * plan->epochs);
            lane->done = 0;
        }
        const int64_t size = arrange(0, nets, count, &work, rows) - (float *)0;
        memory = aligned_alloc(64, sizeof(float) * size);
    }
    if (memory) {
#if defined(__SSE__)
        const unsigned before = _mm_getcsr();
        _mm_setcsr(before | 0x8040); /* numbers below 1e-38 are zero: they cost a hundred times as much */
#endif
        arrange(memory, nets, count, &work, rows);
        for (int i = 0; i < count; i++) {
            copy_lane(&nets[i], lanes[i].parameters, nets[i].weight, nets[i].bias, 1);
            copy_lane(&nets[i], lanes[i].velocity, nets[i].v_weight, nets[i].v_bias, 1);
        }
        train_epochs(alive, count, train, valid, plan, &work);
        for (int i = 0; i < count; i++) {
            copy_lane(&nets[i], lanes[i].parameters, nets[i].weight, nets[i].bias, 0);
            copy_lane(&nets[i], lanes[i].velocity, nets[i].v_weight, nets[i].v_bias, 0);
        }
#if defined(__SSE__)
        _mm_setcsr(before);
#endif
    }
    free(memory);
    free(alive);
    free(nets);
    return memory ? 0 : -1;
}
