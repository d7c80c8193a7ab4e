/* SPDX-License-Identifier: MIT */
/* Each kernel of encoder/cuda against its plain C twin (encoder/cpu/ops_ref.c), in every element
 * type, at the shapes of real models and at awkward ones. */
#include "encoder/cpu/cpu_internal.h"
#include "tests/gpu/gpu_fixture.h"

static const uint32_t widths[] = {32, 64, 384, 768, 1024, 1536, 4096};
enum { WIDTHS = 7, ROWS = 7 /* neither a multiple of the rows of a block nor one block */ };

struct norm_case { /* the same norm on the host and on the device */
    float *gain, *bias;
    void *device_gain, *device_bias;
    struct lode_norm host;
    struct lode_norm_args device;
};

static void make_norm(struct norm_case *n, uint32_t width)
{
    n->gain = random_values(width, 1.5f, LODE_ELEMENT_F32, 1);
    n->bias = random_values(width, 0.5f, LODE_ELEMENT_F32, 2);
    n->device_gain = on_device(n->gain, width * sizeof(float));
    n->device_bias = on_device(n->bias, width * sizeof(float));
    n->host = (struct lode_norm){.gain = n->gain, .bias = n->bias, .eps = 1e-12f, .width = width};
    n->device = (struct lode_norm_args){
        .gain = n->device_gain, .bias = n->device_bias, .eps = 1e-12f, .width = width};
}

static void free_norm(struct norm_case *n)
{
    free(n->gain);
    free(n->bias);
    CUDA(cudaFree(n->device_gain));
    CUDA(cudaFree(n->device_bias));
}

static struct lode_fp8_rows make_codes(size_t rows, size_t width)
{
    return (struct lode_fp8_rows){on_device(NULL, rows * width),
                                  on_device(NULL, rows * sizeof(float))};
}

/* Codes times scales are the wanted values within the codes' spacing, and the largest is 448. */
static void check_codes(struct lode_fp8_rows r, const float *wanted, size_t rows, size_t width)
{
    uint8_t *codes = malloc(rows * width);
    float *scales = fetched(r.scales, rows, LODE_ELEMENT_F32);
    assert_non_null(codes);
    CUDA(cudaMemcpy(codes, r.codes, rows * width, cudaMemcpyDeviceToHost));
    for (size_t row = 0; row < rows; row++) {
        float largest = 0;
        for (size_t i = 0; i < width; i++) {
            const float value = e4m3_value(codes[row * width + i]);
            const float want = wanted[row * width + i], spacing = fabsf(want) / 16;
            largest = fmaxf(largest, fabsf(value));
            if (fabsf(value * scales[row] - want) > spacing + scales[row] * 0x1p-9f)
                fail_msg("row %zu, code %zu: %g for %g", row, i, (double)(value * scales[row]),
                         (double)want);
        }
        assert_true(largest >= 447.9f);
    }
    free(codes);
    free(scales);
    CUDA(cudaFree(r.codes));
    CUDA(cudaFree(r.scales));
}

static void embed_case(enum lode_element type, uint32_t width)
{
    enum { VOCAB = 11, POSITIONS = 9, KINDS = 2 };
    const uint32_t ids[ROWS] = {0, 10, 3, 3, 7, 1, 9}, positions[ROWS] = {0, 1, 2, 3, 0, 1, 8};
    const uint32_t types[ROWS] = {0, 0, 0, 0, 0, 0, 0};
    struct norm_case norm;
    make_norm(&norm, width);
    float *word = random_values((size_t)VOCAB * width, 1, LODE_ELEMENT_F32, 3);
    float *position = random_values((size_t)POSITIONS * width, 1, LODE_ELEMENT_F32, 4);
    float *kind = random_values((size_t)KINDS * width, 1, LODE_ELEMENT_F32, 5);
    float *wanted = malloc(ROWS * width * sizeof *wanted);
    const struct lode_embed_op op = {
        .word = word, .position = position, .type = kind, .norm = norm.host};
    for (size_t r = 0; r < ROWS; r++)
        lode_cpu_ops_ref.embed_rows(&op, &ids[r], positions[r], 1, wanted + r * width);
    struct lode_embed_args a = {.type = type,
                                .word = on_device(word, VOCAB * width * sizeof *word),
                                .position = on_device(position, POSITIONS * width * sizeof *word),
                                .kind = on_device(kind, KINDS * width * sizeof *word),
                                .ids = on_device(ids, sizeof ids),
                                .positions = on_device(positions, sizeof positions),
                                .types = on_device(types, sizeof types),
                                .norm = norm.device,
                                .tokens = ROWS,
                                .x = on_device(NULL, ROWS * width * sizeof *word),
                                .fp8 = make_codes(ROWS, width)};
    CUDA(lode_cuda_embed(&a, NULL));
    float *got = fetched(a.x, ROWS * width, type);
    check_close(got, wanted, ROWS * width, rounding_of(type) + 2e-6, "embed");
    check_codes(a.fp8, wanted, ROWS, width);
    const void *all[] = {a.word, a.position, a.kind, a.ids, a.positions, a.types, a.x};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) CUDA(cudaFree((void *)all[i]));
    free(word), free(position), free(kind), free(wanted), free(got);
    free_norm(&norm);
}

static void embedding_equals_its_twin(void **state)
{
    (void)state;
    for (size_t t = 0; t < TYPES; t++)
        for (size_t w = 0; w < WIDTHS; w++) embed_case(all_types[t], widths[w]);
}

static void add_norm_case(enum lode_element type, uint32_t width)
{
    const size_t count = ROWS * width;
    struct norm_case norm;
    make_norm(&norm, width);
    float *x = random_values(count, 3, type, 6), *y = random_values(count, 3, type, 7);
    float *wanted = malloc(count * sizeof *wanted);
    lode_cpu_ops_ref.add_norm(&norm.host, x, y, ROWS, wanted);
    struct lode_add_norm_args a = {.type = type,
                                   .norm = norm.device,
                                   .tokens = ROWS,
                                   .x = elements(x, count, type),
                                   .y = elements(y, count, type),
                                   .fp8 = make_codes(ROWS, width)};
    CUDA(lode_cuda_add_norm(&a, NULL));
    float *got = fetched(a.x, count, type);
    check_close(got, wanted, count, rounding_of(type) + 2e-6, "add_norm");
    check_codes(a.fp8, wanted, ROWS, width);
    CUDA(cudaFree(a.x));
    CUDA(cudaFree((void *)a.y));
    free(x), free(y), free(wanted), free(got);
    free_norm(&norm);
}

static void residual_and_norm_equal_their_twin(void **state)
{
    (void)state;
    for (size_t t = 0; t < TYPES; t++)
        for (size_t w = 0; w < WIDTHS; w++) add_norm_case(all_types[t], widths[w]);
}

static void activate_case(enum lode_element type, enum lode_activation act, uint32_t width)
{
    const size_t count = ROWS * width;
    float *x = random_values(count, 8, type, 8);
    float *wanted = malloc(count * sizeof *wanted);
    memcpy(wanted, x, count * sizeof *x);
    lode_cpu_ops_ref.activate(act, wanted, count);
    struct lode_activate_args a = {.type = type,
                                   .act = (int)act,
                                   .rows = ROWS,
                                   .width = width,
                                   .inner = elements(x, count, type),
                                   .fp8 = make_codes(ROWS, width)};
    CUDA(lode_cuda_activate(&a, NULL));
    check_codes(a.fp8, wanted, ROWS, width);
    a.fp8 = (struct lode_fp8_rows){NULL, NULL};
    CUDA(lode_cuda_activate(&a, NULL));
    float *got = fetched(a.inner, count, type);
    check_close(got, wanted, count, rounding_of(type) + 1e-6, "activate");
    CUDA(cudaFree(a.inner));
    free(x), free(wanted), free(got);
}

static void activations_equal_their_twins(void **state)
{
    static const enum lode_activation acts[] = {LODE_ACT_NONE, LODE_ACT_GELU_ERF,
                                                LODE_ACT_GELU_TANH, LODE_ACT_RELU};
    (void)state;
    for (size_t t = 0; t < TYPES; t++)
        for (size_t i = 0; i < 4; i++) {
            activate_case(all_types[t], acts[i], 128);
            activate_case(all_types[t], acts[i], 3072);
        }
    activate_case(LODE_ELEMENT_BF16, LODE_ACT_GELU_ERF, LODE_CUDA_FP8_WIDTH_MAX);
}

/* The far tail of GELU must not vanish or change sign: every 16-bit input. */
static void gelu_is_right_for_every_bf16_number(void **state)
{
    enum { COUNT = 65536 };
    float *x = malloc(COUNT * sizeof *x), *wanted = malloc(COUNT * sizeof *x);
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) {
        const float v = lode_bf16_value((uint16_t)i);
        x[i] = isfinite(v) && fabsf(v) < 1e30f ? v : 0;
        wanted[i] = x[i];
    }
    lode_cpu_ops_ref.activate(LODE_ACT_GELU_ERF, wanted, COUNT);
    struct lode_activate_args a = {.type = LODE_ELEMENT_BF16,
                                   .act = LODE_ACT_GELU_ERF,
                                   .rows = 16,
                                   .width = COUNT / 16,
                                   .inner = elements(x, COUNT, LODE_ELEMENT_BF16)};
    CUDA(lode_cuda_activate(&a, NULL));
    float *got = fetched(a.inner, COUNT, LODE_ELEMENT_BF16);
    for (size_t i = 0; i < COUNT; i++)
        if (fabs((double)got[i] - (double)wanted[i]) >
            0x1p-8 * fabs((double)wanted[i]) + 2e-7 * (1 + fabs((double)x[i])))
            fail_msg("gelu(%.9g) is %.9g, wanted %.9g", (double)x[i], (double)got[i],
                     (double)wanted[i]);
    CUDA(cudaFree(a.inner));
    free(x), free(wanted), free(got);
}

/* --- attention --- */

struct lengths {
    const uint32_t *of;
    uint32_t count;
};

static size_t make_tiles(struct lengths l, struct lode_tile *tiles, uint32_t *tokens)
{
    size_t n = 0;
    *tokens = 0;
    for (uint32_t s = 0; s < l.count; s++) {
        for (uint32_t first = 0; first < l.of[s]; first += LODE_CUDA_TILE_ROWS)
            tiles[n++] = (struct lode_tile){.start = *tokens, .length = l.of[s], .first = first};
        *tokens += l.of[s];
    }
    tiles[n++] = (struct lode_tile){.length = 0}; /* as a graph's padding */
    return n;
}

static void attention_twin(struct lengths l, uint32_t heads, uint32_t dim, const float *qkv,
                           float *out)
{
    const size_t h = (size_t)heads * dim;
    float *scratch = malloc(4096 * sizeof *scratch);
    size_t first = 0;
    for (uint32_t s = 0; s < l.count; first += l.of[s++])
        for (uint32_t head = 0; head < heads; head++) {
            const float *q = qkv + first * 3 * h + head * dim;
            const struct lode_head job = {.q = q,
                                          .k = q + h,
                                          .v = q + 2 * h,
                                          .out = out + first * h + head * dim,
                                          .stride = 3 * h,
                                          .out_stride = h,
                                          .tokens = l.of[s],
                                          .dim = dim,
                                          .scratch = scratch};
            lode_cpu_ops_ref.heads.attention(&job);
        }
    free(scratch);
}

static void attention_case(enum lode_element type, uint32_t dim, bool tensor, struct lengths l,
                           float scale)
{
    enum { HEADS = 2 };
    struct lode_tile tiles[64];
    uint32_t tokens;
    const size_t tile_count = make_tiles(l, tiles, &tokens), h = (size_t)HEADS * dim;
    float *qkv = random_values(tokens * 3 * h, scale, type, 9);
    float *wanted = malloc(tokens * h * sizeof *wanted);
    attention_twin(l, HEADS, dim, qkv, wanted);
    const struct lode_attention_args a = {.type = type,
                                          .tiles = on_device(tiles, tile_count * sizeof tiles[0]),
                                          .tile_count = (uint32_t)tile_count,
                                          .heads = HEADS,
                                          .head_dim = dim,
                                          .qkv = elements(qkv, tokens * 3 * h, type),
                                          .context = on_device(NULL, tokens * h * sizeof(float))};
    CUDA(tensor ? lode_cuda_attention_mma(&a, NULL) : lode_cuda_attention_plain(&a, NULL));
    float *got = fetched(a.context, tokens * h, type);
    /* Weights are rounded once to 16 bits before they meet the values, results once more. */
    check_close(got, wanted, tokens * h, tensor ? 4 * rounding_of(type) : rounding_of(type) + 4e-6,
                tensor ? "attention_mma" : "attention_plain");
    CUDA(cudaFree((void *)a.tiles));
    CUDA(cudaFree((void *)a.qkv));
    CUDA(cudaFree(a.context));
    free(qkv), free(wanted), free(got);
}

static const uint32_t short_lengths[] = {1, 2, 15, 16, 17, 33, 50};
static const uint32_t long_lengths[] = {64, 65, 200, 128, 127};

static void attention_on_tensor_cores_equals_its_twin(void **state)
{
    const struct lengths sets[] = {{short_lengths, 7}, {long_lengths, 5}};
    (void)state;
    for (size_t t = 1; t < TYPES; t++)
        for (uint32_t dim = 32; dim <= 64; dim += 32)
            for (size_t s = 0; s < 2; s++) {
                attention_case(all_types[t], dim, true, sets[s], 1);
                attention_case(all_types[t], dim, true, sets[s], 6); /* sharp softmax */
            }
}

static void plain_attention_equals_its_twin(void **state)
{
    static const uint32_t dims[] = {8, 32, 48, 64, 80, 256};
    (void)state;
    for (size_t t = 0; t < TYPES; t++)
        for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++)
            attention_case(all_types[t], dims[d], false, (struct lengths){short_lengths, 7}, 2);
    attention_case(LODE_ELEMENT_F32, 64, false, (struct lengths){long_lengths, 5}, 2);
}

/* --- pooling --- */

static void pool_case(enum lode_element type, uint32_t width, enum lode_pooling pooling,
                      bool normalize)
{
    const uint32_t cu[] = {0, 1, 10, 10, 26, 61}; /* the third has no tokens */
    enum { SEQS = 5, TOKENS = 61 };
    float *x = random_values((size_t)TOKENS * width, 2, type, 10);
    float *wanted = malloc(SEQS * width * sizeof *wanted);
    float *marks = random_values(SEQS * width, 1, LODE_ELEMENT_F32, 11);
    memcpy(wanted, marks, SEQS * width * sizeof *wanted);
    for (size_t s = 0; s < SEQS; s++) {
        float *row = wanted + s * width;
        double squares = 0;
        if (cu[s] == cu[s + 1]) continue;
        lode_cpu_ops_ref.pool(pooling, x + cu[s] * width, cu[s + 1] - cu[s], width, row);
        for (size_t i = 0; i < width; i++) squares += (double)row[i] * (double)row[i];
        for (size_t i = 0; normalize && i < width; i++) row[i] /= (float)sqrt(squares);
    }
    const struct lode_pool_args a = {.type = type,
                                     .pooling = (int)pooling,
                                     .normalize = normalize,
                                     .cu = on_device(cu, sizeof cu),
                                     .seqs = SEQS,
                                     .width = width,
                                     .x = elements(x, TOKENS * width, type),
                                     .out = on_device(marks, SEQS * width * sizeof *marks)};
    CUDA(lode_cuda_pool(&a, NULL));
    float *got = fetched(a.out, SEQS * width, LODE_ELEMENT_F32);
    check_close(got, wanted, SEQS * width, 4e-6, lode_pooling_name(pooling));
    CUDA(cudaFree((void *)a.cu));
    CUDA(cudaFree((void *)a.x));
    CUDA(cudaFree(a.out));
    free(x), free(wanted), free(marks), free(got);
}

static void every_pooling_equals_its_twin(void **state)
{
    (void)state;
    for (size_t t = 0; t < TYPES; t++)
        for (int pooling = 0; pooling < LODE_POOL_COUNT; pooling++) {
            pool_case(all_types[t], 384, (enum lode_pooling)pooling, true);
            pool_case(all_types[t], 1024, (enum lode_pooling)pooling, false);
            pool_case(all_types[t], 32, (enum lode_pooling)pooling, true);
        }
}

/* A value that is not a number must reach the result, whatever the op: the check is made there. */
static void a_nan_is_never_hidden(void **state)
{
    enum { WIDTH = 64 };
    (void)state;
    for (size_t t = 0; t < TYPES; t++) {
        float *x = random_values(3 * WIDTH, 1, all_types[t], 12);
        const uint32_t cu[] = {0, 3};
        x[WIDTH + 5] = NAN;
        for (int pooling = 0; pooling < LODE_POOL_COUNT; pooling++) {
            if (pooling == LODE_POOL_CLS || pooling == LODE_POOL_LAST) continue;
            const struct lode_pool_args a = {.type = all_types[t],
                                             .pooling = pooling,
                                             .normalize = true,
                                             .cu = on_device(cu, sizeof cu),
                                             .seqs = 1,
                                             .width = WIDTH,
                                             .x = elements(x, 3 * WIDTH, all_types[t]),
                                             .out = on_device(NULL, WIDTH * sizeof(float))};
            CUDA(lode_cuda_pool(&a, NULL));
            float *got = fetched(a.out, WIDTH, LODE_ELEMENT_F32);
            assert_true(isnan(got[5]));
            CUDA(cudaFree((void *)a.cu));
            CUDA(cudaFree((void *)a.x));
            CUDA(cudaFree(a.out));
            free(got);
        }
        free(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embedding_equals_its_twin),
        cmocka_unit_test(residual_and_norm_equal_their_twin),
        cmocka_unit_test(activations_equal_their_twins),
        cmocka_unit_test(gelu_is_right_for_every_bf16_number),
        cmocka_unit_test(attention_on_tensor_cores_equals_its_twin),
        cmocka_unit_test(plain_attention_equals_its_twin),
        cmocka_unit_test(every_pooling_equals_its_twin),
        cmocka_unit_test(a_nan_is_never_hidden),
    };
    return cmocka_run_group_tests(tests, device_there, NULL);
}
