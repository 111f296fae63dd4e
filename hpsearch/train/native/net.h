/* The lanes of a tile, their networks, and the memory that these live in. */
#include <stdlib.h>

/* A lane in training. Matrices of layer l are of units[l + 1] rows and units[l] columns. */
typedef struct {
    const int32_t *units;
    int layers;
    Lane *lane;
    Step step;
    Judging judging;
    float *weight[LAYERS], *bias[LAYERS], *v_weight[LAYERS], *v_bias[LAYERS]; /* second moments behind the v's */
    float *alive[LAYERS];   /* of layer l's inputs: 1 for units that were not 0 for some row */
    float *first, *d_first; /* the first layer's outputs for a mini-batch, and their gradient */
} Net;

/* Buffers that the lanes of a tile use one after the other. */
typedef struct {
    float *hidden[LAYERS + 1]; /* outputs of layer l − 1, [units[l], rows] */
    float *inputs[LAYERS];     /* what layer l saw, [rows, units[l]] in panels of units */
    float *slopes[LAYERS];     /* derivatives of the activation before layer l, where they must be kept */
    float *gradient[2];
    float *x_rows, *x_columns; /* a panel of the mini-batch's features, [rows, width] and [features, rows] */
} Work;

static int64_t weight_size(const Net *net, int l) { return net->units[l + 1] * padded(net->units[l]); }

/* One piece of memory for everything; where `memory` is null, it is only counted. */
typedef struct {
    float *memory;
    int64_t used;
} Arena;

#if defined(__SANITIZE_ADDRESS__) /* a gap behind each buffer, so that a test sees who leaves his own */
#include <sanitizer/asan_interface.h>
#define GAP 16
#define FENCE(from, to) ASAN_POISON_MEMORY_REGION(from, sizeof(float) * ((to) - (from)))
#else
#define GAP 0
#define FENCE(from, to)
#endif

/* The next `count` floats, on cache lines of their own. */
static float *take(Arena *arena, int64_t count) {
    const int64_t start = arena->used;
    arena->used += (count + GAP + 15) / 16 * 16;
    if (!arena->memory) return 0;
    FENCE(arena->memory + start + count, arena->memory + arena->used);
    return arena->memory + start;
}

static void arrange(Arena *arena, Net *nets, int count, Work *work, int64_t rows) {
    int64_t widest = 0, hidden[LAYERS + 1] = {0};
    int keeping = 0;
    for (int i = 0; i < count; i++) {
        Net *net = &nets[i];
        for (int l = 0; l < net->layers; l++) {
            const int64_t outputs = net->units[l + 1], moments = net->lane->optimizer == SGD ? 1 : 2;
            net->weight[l] = take(arena, weight_size(net, l));
            net->bias[l] = take(arena, padded(outputs));
            net->v_weight[l] = take(arena, moments * weight_size(net, l));
            net->v_bias[l] = take(arena, moments * padded(outputs));
            if (l) net->alive[l] = take(arena, net->units[l]);
            hidden[l + 1] = most(hidden[l + 1], outputs);
            keeping |= keeps_slopes(net->lane->activation);
            widest = most(widest, outputs);
        }
        net->first = take(arena, net->units[1] * rows);
        net->d_first = take(arena, net->units[1] * rows);
    }
    for (int l = 1; l < LAYERS; l++) {
        work->inputs[l] = take(arena, padded(hidden[l]) * rows);
        work->slopes[l] = keeping ? take(arena, hidden[l] * rows) : 0;
        work->hidden[l + 1] = take(arena, hidden[l + 1] * rows);
    }
    for (int i = 0; i < 2; i++) work->gradient[i] = take(arena, widest * rows);
    work->x_rows = take(arena, PANEL * rows);
    work->x_columns = take(arena, PANEL * rows);
}

/* From a lane's flat values to its matrices, whose padding becomes zero, or back; `behind`: to second moments. */
static void copy_lane(const Net *net, float *flat, float *const *weight, float *const *bias, int behind, int into_net) {
    for (int l = 0; l < net->layers; l++) {
        const int64_t inputs = net->units[l], outputs = net->units[l + 1];
        float *own = weight[l] + (behind ? weight_size(net, l) : 0), *own_bias = bias[l] + (behind ? padded(outputs) : 0);
        for (int64_t from = 0; from < inputs; from += PANEL) {
            const int64_t count = least(PANEL, inputs - from), width = padded(count);
            float *panel = own + from * outputs;
            if (into_net) memset(panel, 0, sizeof(float) * outputs * width);
            for (int64_t k = 0; k < count; k++)
                for (int64_t n = 0; n < outputs; n++) {
                    float *outer = flat + (from + k) * outputs + n, *inner = panel + n * width + k;
                    if (into_net)
                        *inner = *outer;
                    else
                        *outer = *inner;
                }
        }
        flat += inputs * outputs;
        if (into_net) memset(own_bias, 0, sizeof(float) * padded(outputs));
        if (!net->lane->bias) continue;
        if (into_net)
            memcpy(own_bias, flat, sizeof(float) * outputs);
        else
            memcpy(flat, own_bias, sizeof(float) * outputs);
        flat += outputs;
    }
}

static void copy_lanes(const Net *nets, int count, int into_nets) {
    for (int i = 0; i < count; i++) {
        const Net *net = &nets[i];
        copy_lane(net, net->lane->parameters, net->weight, net->bias, 0, into_nets);
        copy_lane(net, net->lane->velocity, net->v_weight, net->v_bias, 0, into_nets);
        if (net->lane->optimizer != SGD)
            copy_lane(net, net->lane->second, net->v_weight, net->v_bias, 1, into_nets);
    }
}

/* Places nets and work in memory of their own, which is returned; null without memory. */
static float *allocate(Net *nets, int count, Work *work, int64_t rows) {
    Arena arena = {0, 0};
    arrange(&arena, nets, count, work, rows);
    arena = (Arena){aligned_alloc(64, sizeof(float) * arena.used), 0};
    if (arena.memory) arrange(&arena, nets, count, work, rows);
    return arena.memory;
}
