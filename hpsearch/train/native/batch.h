/* Rows of a part, brought into order for products: gathered, in panels, either way round. */
#include <string.h>

/* Rows of a part that go through the networks together: m of them, in `panels` panels of `width`. */
typedef struct {
    const Part *part;
    const int64_t *rows; /* or null: first … first + m − 1 */
    int64_t first, m, width, panels;
} Batch;

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
