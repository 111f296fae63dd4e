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
#include <time.h>
#include "interface.h" /* Lane, Part, Plan and all enums: made by interface.py */
#include "vector.h"
#include "batch.h"
#include "product.h"
#include "judge.h"
#include "activate.h"
#include "net.h"

#define ROWS_AT_ONCE 256 /* of the validation part */

/* -- layers ------------------------------------------------------------------------------------------- */

/* The share of the inputs from … from + count − 1, [count, rows], in the outputs of layer l. */
static void linear(const Net *net, int l, const Batch *b, int64_t from, int64_t count, const float *inputs,
                   int64_t inputs_stretch, float *out) {
    const int64_t outputs = net->units[l + 1];
    Product x = {.rows = outputs,
                 .count = count,
                 .s = net->weight[l] + from * outputs,
                 .rs = padded(count),
                 .cs = 1,
                 .length = count,
                 .bias = net->bias[l]};
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
                Product x = {.rows = least(PANEL, inputs - from),
                             .count = count,
                             .s = net->weight[l] + from * outputs + n * width,
                             .rs = 1,
                             .cs = width,
                             .length = count,
                             .p = g + (q * outputs + n) * b->width,
                             .c = out + (q * inputs + from) * b->width};
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
    Product x = {.rows = outputs,
                 .count = b->m,
                 .s = g,
                 .rs = b->width,
                 .cs = 1,
                 .length = b->width,
                 .stretch = b->width * outputs,
                 .p = inputs,
                 .c = net->weight[l] + from * outputs,
                 .velocity = net->v_weight[l] + from * outputs,
                 .apart = weight_size(net, l),
                 .step = &net->step};
    if (net->step.optimizer == SGD)
        product(DESCEND, padded(count), &x);
    else
        product(ADAPT, padded(count), &x);
}

/* A step of the biases of layer l: their gradients are the sums of g over the rows. */
static void step_biases(const Net *net, int l, const Batch *b, const float *g) {
    const int64_t outputs = net->units[l + 1], panel = b->width * outputs;
    if (!net->lane->bias) return;
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
        update(net->step.optimizer != SGD, net->bias[l] + n, net->v_bias[l] + n, padded(outputs), sums(block),
               &net->step);
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
        if (keeps_slopes(net->lane->activation))
            activate_keeping(net->lane->activation, inputs * columns(b), h, keep ? work->slopes[l] : 0);
        else
            activate(net->lane->activation, net->lane->alpha, inputs * columns(b), h);
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
        if (keeps_slopes(net->lane->activation))
            multiply(inputs * columns(b), work->slopes[l], below);
        else
            activate_back(net->lane->activation, net->lane->alpha, inputs * columns(b),
                          l == 1 ? net->first : work->hidden[l], below);
        for (int64_t from = 0; from < inputs; from += PANEL)
            step_weights(net, l, b, from, least(PANEL, inputs - from), work->inputs[l] + from * columns(b), g);
        step_biases(net, l, b, g);
        g = below;
    }
}

/* -- training ------------------------------------------------------------------------------------------ */

int32_t vector_width(void) { return VEC; }

uint32_t interface(void) { return INTERFACE; }

static double seconds_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double *figures(const Lane *lane, int epoch) { return lane->curve + (int64_t)epoch * (3 + lane->layers); }

/* Marks the units of hidden layer l − 1 whose values h are not 0 for some row of the batch. */
static void mark_alive(const Net *net, int l, const Batch *b, const float *h) {
    const int64_t units = net->units[l];
    for (int64_t q = 0; q < b->panels; q++)
        for (int64_t u = 0; u < units; u++) {
            if (net->alive[l][u] != 0.0f) continue;
            const float *row = h + (q * units + u) * b->width;
            const int64_t there = least(b->width, b->m - q * b->width); /* the others are padding */
            for (int64_t j = 0; j < there; j++)
                if (row[j] != 0.0f) {
                    net->alive[l][u] = 1.0f;
                    break;
                }
        }
}

static void evaluate(Net *const *nets, int count, const Part *valid, int epoch, int64_t seen, const Work *work) {
    const double began = seconds_now();
    for (int i = 0; i < count; i++)
        for (int l = 1; l < nets[i]->layers; l++) memset(nets[i]->alive[l], 0, sizeof(float) * nets[i]->units[l]);
    for (int64_t start = 0; start < valid->rows; start += ROWS_AT_ONCE) {
        const Batch b = batch_of(valid, 0, start, least(ROWS_AT_ONCE, valid->rows - start));
        first_layers(nets, count, 0, &b, work);
        for (int i = 0; i < count; i++) {
            const Net *net = nets[i];
            const int64_t outputs = net->judging.outputs;
            const float *logits = forward(net, &b, work, 0);
            for (int l = 1; l < net->layers; l++) mark_alive(net, l, &b, l == 1 ? net->first : work->hidden[l]);
            judge(&net->judging, b.m, b.width, logits, valid, 0, start, figures(net->lane, epoch) + 2, 0);
            if (net->lane->logits) keep_logits(outputs, b.m, b.width, logits, net->lane->logits + (seen + start) * outputs);
        }
    }
    const double share = (seconds_now() - began) / count;
    for (int i = 0; i < count; i++) {
        nets[i]->lane->evaluating += share;
        for (int l = 1; l < nets[i]->layers; l++) {
            int64_t dead = 0;
            for (int64_t u = 0; u < nets[i]->units[l]; u++) dead += nets[i]->alive[l][u] == 0.0f;
            figures(nets[i]->lane, epoch)[3 + l] = (double)dead / (double)nets[i]->units[l];
        }
    }
}

/* What the step with number `at`, counted from the first that this call makes, takes. */
static void set_step(Net *net, int64_t at) {
    const Lane *lane = net->lane;
    if (!lane->sizes) return;
    net->step.factor = lane->sizes[3 * at];
    net->step.root = lane->sizes[3 * at + 1];
    if (lane->optimizer == ADAMW) net->step.keep = 1.0f - lane->sizes[3 * at + 2] * lane->weight_decay;
}

static void train_epochs(Net **nets, int count, const Part *train, const Part *valid, const Plan *plan,
                         const Work *work) {
    const int64_t m = plan->batch, rest = plan->keep_last ? train->rows % m : 0;
    const int64_t steps = train->rows / m + (rest > 0), seen = train->rows / m * m + rest;
    for (int epoch = 0; epoch < plan->epochs && count; epoch++) {
        Batch now = batch_of(train, plan->orders + epoch * train->rows, 0, m);
        first_layers(nets, count, 0, &now, work);
        for (int64_t step = 0; step < steps; step++) {
            for (int i = 0; i < count; i++) {
                Net *net = nets[i];
                const int64_t outputs = net->judging.outputs;
                float *logits = forward(net, &now, work, 1), *g = net->layers == 1 ? net->d_first : logits;
                if (net->lane->logits)
                    keep_logits(outputs, now.m, now.width, logits, net->lane->logits + step * m * outputs);
                judge(&net->judging, now.m, now.width, logits, train, now.rows, 0, figures(net->lane, epoch), g);
                set_step(net, epoch * steps + step);
                backward(net, &now, work, g);
            }
            const int last = step + 1 == steps, shorter = rest && step + 2 == steps;
            const Batch next = batch_of(train, now.rows + m, 0, shorter ? rest : m);
            first_layers(nets, count, &now, last ? 0 : &next, work);
            now = next;
            *plan->steps += 1;
        }
        evaluate(nets, count, valid, epoch, seen, work);
        int going_on = 0;
        for (int i = 0; i < count; i++) {
            const double *sums = figures(nets[i]->lane, epoch);
            /* Another thread may read along: it sees no epoch before its sums. */
            __atomic_store_n(&nets[i]->lane->done, epoch + 1, __ATOMIC_RELEASE);
            if (isfinite(sums[0]) && isfinite(sums[2])) nets[going_on++] = nets[i];
        }
        count = going_on;
    }
}

/* Train the lanes, whose features, outputs and epochs are the same; neither part is empty. Returns 0, or −1
 * without memory. */
int32_t train_tile(Lane *lanes, int32_t count, const Part *train, const Part *valid, const Plan *plan) {
    const Batch batch = batch_of(train, 0, 0, plan->batch);
    const Batch valid_batch = batch_of(valid, 0, 0, least(ROWS_AT_ONCE, valid->rows));
    Net *nets = calloc(count, sizeof(Net)), **alive = calloc(count, sizeof(Net *));
    for (int i = 0; nets && alive && i < count; i++) {
        Lane *lane = &lanes[i];
        nets[i].units = lane->units;
        nets[i].layers = lane->layers;
        nets[i].lane = lane;
        nets[i].step = step_of(lane);
        nets[i].judging = (Judging){plan->loss, plan->metric, plan->representation, lane->units[lane->layers]};
        alive[i] = &nets[i];
        memset(lane->curve, 0, sizeof(double) * (3 + lane->layers) * plan->epochs);
        lane->done = 0;
        lane->evaluating = 0;
    }
    Work work;
    float *memory = 0;
    if (nets && alive) memory = allocate(nets, count, &work, most(columns(&batch), columns(&valid_batch)));
    const int32_t outcome = memory ? 0 : -1;
    if (memory) {
        const unsigned before = flush_subnormals();
        copy_lanes(nets, count, 1);
        train_epochs(alive, count, train, valid, plan, &work);
        copy_lanes(nets, count, 0);
        restore_subnormals(before);
    }
    free(memory);
    free(alive);
    free(nets);
    return outcome;
}
