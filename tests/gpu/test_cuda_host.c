/* SPDX-License-Identifier: MIT */
/* The host's side of the CUDA encoder that touches no kernel: how a piece is packed, which shapes
 * share a graph or a plan, and products against plain loops. */
#include "base/mem.h"
#include "tests/gpu/gpu_fixture.h"

struct world {
    uint32_t ids[4096], cu[300];
    struct lode_piece piece;
};

static struct lode_piece make_piece(struct world *w, const uint32_t *lengths, uint32_t seqs)
{
    uint32_t tokens = 0, longest = 0;
    w->cu[0] = 0;
    for (uint32_t s = 0; s < seqs; s++) {
        for (uint32_t t = 0; t < lengths[s]; t++) w->ids[tokens++] = 1000 * s + t;
        w->cu[s + 1] = tokens;
        if (lengths[s] > longest) longest = lengths[s];
    }
    return (struct lode_piece){
        .ids = w->ids, .cu = w->cu, .tokens = tokens, .seqs = seqs, .longest = longest};
}

static void check_block(const struct lode_piece *p, const struct pack_layout *l, const char *block)
{
    const uint32_t *ids = (const uint32_t *)(block + l->ids);
    const uint32_t *positions = (const uint32_t *)(block + l->positions);
    const uint32_t *cu = (const uint32_t *)(block + l->cu);
    const struct lode_tile *tiles = (const struct lode_tile *)(block + l->tiles);
    uint32_t queries = 0;
    assert_int_equal(l->key.rows % LODE_CUDA_ROWS_UNIT, 0);
    assert_true(l->key.rows >= p->tokens && l->key.rows < p->tokens + LODE_CUDA_ROWS_UNIT);
    for (uint32_t s = 0; s < p->seqs; s++)
        for (uint32_t t = p->cu[s]; t < p->cu[s + 1]; t++) {
            assert_int_equal(ids[t], p->ids[t]);
            assert_int_equal(positions[t], t - p->cu[s]);
        }
    for (uint32_t t = p->tokens; t < l->key.rows; t++) assert_int_equal(ids[t], 0);
    for (uint32_t s = 0; s <= l->key.seqs; s++)
        assert_int_equal(cu[s], s <= p->seqs ? p->cu[s] : p->tokens);
    for (uint32_t i = 0; i < l->key.tiles; i++) {
        if (tiles[i].length == 0) continue;
        assert_true(tiles[i].first < tiles[i].length);
        assert_true(tiles[i].start + tiles[i].length <= p->tokens);
        const uint32_t left = tiles[i].length - tiles[i].first;
        queries += left < LODE_CUDA_TILE_ROWS ? left : LODE_CUDA_TILE_ROWS;
    }
    assert_int_equal(queries, p->tokens); /* each token is a query once */
}

static void pack_case(const uint32_t *lengths, uint32_t seqs)
{
    struct world *w = calloc(1, sizeof *w);
    const struct lode_piece p = make_piece(w, lengths, seqs);
    const struct pack_layout l = lode_pack_plan(&p);
    char *block = malloc(l.bytes);
    assert_true(l.bytes <= lode_pack_bytes_max(p.tokens));
    assert_int_equal(l.bytes % 16, 0);
    lode_pack_fill(&p, &l, block);
    check_block(&p, &l, block);
    free(block);
    free(w);
}

static void a_block_holds_every_token_once_and_pads_harmlessly(void **state)
{
    const uint32_t one[] = {1}, mixed[] = {1, 63, 64, 65, 128, 200}, many[] = {512, 512, 512, 300};
    uint32_t singles[256];
    (void)state;
    for (size_t i = 0; i < 256; i++) singles[i] = 1;
    pack_case(one, 1);
    pack_case(mixed, 6);
    pack_case(many, 4);
    pack_case(singles, 256);
    pack_case(singles, 63);
}

static void small_pieces_of_like_shape_share_a_graph(void **state)
{
    struct world w;
    const uint32_t a[] = {17, 5, 9}, b[] = {16, 8, 4, 3}, longer[] = {17, 5, 29};
    const struct lode_piece pa = make_piece(&w, a, 3);
    const struct pack_layout la = lode_pack_plan(&pa);
    const struct lode_piece pb = make_piece(&w, b, 4);
    const struct pack_layout lb = lode_pack_plan(&pb);
    const struct lode_piece pc = make_piece(&w, longer, 3);
    const struct pack_layout lc = lode_pack_plan(&pc);
    (void)state;
    assert_true(la.graph && lb.graph);
    assert_memory_equal(&la.key, &lb.key, sizeof la.key);
    assert_int_equal(la.bytes, lb.bytes);
    assert_memory_not_equal(&la.key, &lc.key, sizeof la.key);
}

static void large_pieces_are_not_padded_to_a_graph(void **state)
{
    struct world w;
    const uint32_t lengths[] = {512, 512, 70};
    const struct lode_piece p = make_piece(&w, lengths, 3);
    const struct pack_layout l = lode_pack_plan(&p);
    (void)state;
    assert_false(l.graph);
    assert_int_equal(l.key.seqs, 3);
    assert_int_equal(l.key.tiles, lode_pack_tiles(&p));
}

static void a_bucket_is_at_most_an_eighth_too_large(void **state)
{
    uint32_t last = 0;
    (void)state;
    for (uint32_t rows = 1; rows <= 65536; rows++) {
        const uint32_t bucket = lode_matmul_bucket(rows);
        assert_true(bucket >= rows && bucket >= last);
        assert_true(bucket <= rows + rows / 4 || bucket - rows < LODE_CUDA_ROWS_UNIT);
        assert_int_equal(lode_matmul_bucket(bucket), bucket);
        last = bucket;
    }
}

static void the_graph_used_longest_ago_makes_room(void **state)
{
    struct graph_cache *c = calloc(1, sizeof *c);
    cudaStream_t stream = NULL;
    (void)state;
    CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    for (uint32_t i = 0; i < LODE_CUDA_GRAPHS + 1; i++) {
        const struct shape_key key = {16 * (i + 1), 1, 1}, first = {16, 1, 1};
        cudaGraph_t graph = NULL;
        cudaGraphExec_t exec = NULL;
        CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
        CUDA(cudaStreamEndCapture(stream, &graph));
        CUDA(cudaGraphInstantiate(&exec, graph, 0));
        CUDA(cudaGraphDestroy(graph));
        assert_null(lode_graphs_find(c, &key));
        lode_graphs_put(c, &key, exec);
        assert_ptr_equal(lode_graphs_find(c, &key), exec);
        assert_non_null(lode_graphs_find(c, &first)); /* keeps the first in use */
    }
    const struct shape_key second = {32, 1, 1}, third = {48, 1, 1};
    assert_null(lode_graphs_find(c, &second));
    assert_non_null(lode_graphs_find(c, &third));
    lode_graphs_clear(c);
    assert_null(lode_graphs_find(c, &third));
    CUDA(cudaStreamDestroy(stream));
    free(c);
}

/* --- products --- */

static void product_twin(const float *x, const float *w, const float *bias, size_t rows, size_t in,
                         size_t out, float *y)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < out; o++) {
            double sum = (double)bias[o];
            for (size_t i = 0; i < in; i++) sum += (double)x[r * in + i] * (double)w[o * in + i];
            y[r * out + o] = (float)sum;
        }
}

static struct lode_linear *make_linear(struct lode_backend *be, enum lode_precision precision,
                                       enum lode_element type, const float *w, const float *bias,
                                       uint32_t in, uint32_t out)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_linear *lin = NULL;
    const struct lode_linear_spec spec = {
        .weight = w, .bias = bias, .in = in, .out = out, .act = LODE_ACT_NONE};
    be->precision = precision;
    be->type = type;
    be->device_count = 1;
    assert_int_equal(lode_cuda_linear_new(be, &spec, &lin, &err), LODE_OK);
    return lin;
}

static struct lode_fp8_rows make_codes(const float *x, size_t rows, size_t width)
{
    uint8_t *codes = malloc(rows * width);
    float *scales = malloc(rows * sizeof *scales);
    for (size_t r = 0; r < rows; r++) {
        float largest = 0;
        for (size_t i = 0; i < width; i++) largest = fmaxf(largest, fabsf(x[r * width + i]));
        scales[r] = largest / 448;
        for (size_t i = 0; i < width; i++)
            codes[r * width + i] = lode_e4m3_of(x[r * width + i] / scales[r]);
    }
    const struct lode_fp8_rows r = {on_device(codes, rows * width),
                                    on_device(scales, rows * sizeof *scales)};
    free(codes), free(scales);
    return r;
}

static void product_case(enum lode_precision precision, enum lode_element type)
{
    enum { ROWS = 48, IN = 64, OUT = 96 };
    struct lode_err err = LODE_ERR_INIT;
    struct lode_backend *be = calloc(1, sizeof *be);
    struct matmul m;
    const bool fp8 = precision == LODE_PRECISION_FP8;
    float *x = random_values(ROWS * IN, 1, type, 20), *w = random_values(OUT * IN, 1, type, 21);
    float *bias = random_values(OUT, 1, type, 22), *wanted = malloc(ROWS * OUT * sizeof *wanted);
    struct lode_linear *lin = make_linear(be, precision, type, w, bias, IN, OUT);
    void *device_x = elements(x, ROWS * IN, type);
    const struct lode_fp8_rows codes = make_codes(x, ROWS, IN);
    void *workspace = on_device(NULL, LODE_CUDA_WORKSPACE);
    product_twin(x, w, bias, ROWS, IN, OUT, wanted);
    assert_int_equal(lode_matmul_open(&m, workspace, &err), LODE_OK);
    for (uint32_t rows = 16; rows <= ROWS; rows += 16) {
        void *y = on_device(NULL, ROWS * OUT * sizeof(float));
        const struct matmul_args a = {.linear = lin,
                                      .type = type,
                                      .x = fp8 ? (void *)codes.codes : device_x,
                                      .x_scales = fp8 ? codes.scales : NULL,
                                      .y = y,
                                      .rows = rows};
        assert_int_equal(lode_matmul_run(&m, &a, NULL, &err), LODE_OK);
        assert_int_equal(lode_matmul_run(&m, &a, NULL, &err), LODE_OK); /* by its plan */
        float *got = fetched(y, rows * OUT, type);
        /* e4m3 rounds each factor by up to 1 in 16: sums of 64 products stay within one */
        check_close(got, wanted, rows * OUT, fp8 ? 0.5 : 2 * rounding_of(type) + 1e-5, "product");
        free(got);
        CUDA(cudaFree(y));
    }
    assert_int_equal(m.plan_count, 3);
    lode_matmul_close(&m);
    lode_cuda_linear_free(be, lin);
    CUDA(cudaFree(device_x));
    CUDA(cudaFree(codes.codes));
    CUDA(cudaFree(codes.scales));
    CUDA(cudaFree(workspace));
    free(x), free(w), free(bias), free(wanted), free(be);
}

static void products_equal_plain_loops(void **state)
{
    (void)state;
    product_case(LODE_PRECISION_F32, LODE_ELEMENT_F32);
    product_case(LODE_PRECISION_BF16, LODE_ELEMENT_BF16);
    product_case(LODE_PRECISION_F16, LODE_ELEMENT_F16);
    product_case(LODE_PRECISION_FP8, LODE_ELEMENT_BF16);
}

static void a_product_without_a_plan_is_refused_while_recording(void **state)
{
    enum { IN = 32, OUT = 32 };
    struct lode_err err = LODE_ERR_INIT;
    struct lode_backend *be = calloc(1, sizeof *be);
    float *w = random_values(OUT * IN, 1, LODE_ELEMENT_F32, 1);
    struct lode_linear *lin = make_linear(be, LODE_PRECISION_F32, LODE_ELEMENT_F32, w, w, IN, OUT);
    struct matmul m;
    void *memory = on_device(NULL, LODE_CUDA_WORKSPACE);
    (void)state;
    assert_int_equal(lode_matmul_open(&m, memory, &err), LODE_OK);
    const struct matmul_args a = {.linear = lin,
                                  .type = LODE_ELEMENT_F32,
                                  .x = memory,
                                  .y = (char *)memory + 4096 * 16,
                                  .rows = 16,
                                  .capturing = true};
    assert_int_equal(lode_matmul_run(&m, &a, NULL, &err), LODE_EINTERNAL);
    lode_matmul_close(&m);
    lode_cuda_linear_free(be, lin);
    CUDA(cudaFree(memory));
    free(w), free(be);
}

/* --- conversions --- */

static void e4m3_codes_are_the_nearest(void **state)
{
    uint32_t seed = 77;
    (void)state;
    for (int code = 0; code < 0x7f; code++) {
        assert_int_equal(lode_e4m3_of(e4m3_value((uint8_t)code)), code);
        assert_int_equal(lode_e4m3_of(-e4m3_value((uint8_t)code)), code | 0x80);
    }
    for (int i = 0; i < 100000; i++) {
        const float x = random_value(&seed, i % 2 ? 460.0f : 0.02f, LODE_ELEMENT_F32);
        const float got = e4m3_value(lode_e4m3_of(x));
        float best = INFINITY;
        for (int code = 0; code < 256; code++) {
            const float v = e4m3_value((uint8_t)code);
            if (fabsf(v - x) < best) best = fabsf(v - x);
        }
        assert_true(fabsf(got - x) == best);
    }
    assert_int_equal(lode_e4m3_of(1e9f), 0x7e);
    assert_int_equal(lode_e4m3_of(-INFINITY), 0xfe);
    assert_int_equal(lode_e4m3_of(NAN) & 0x7f, 0x7f);
}

static void f16_goes_there_and_back(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        const uint16_t half = (uint16_t)i;
        float x;
        assert_true(lode_dtype_to_f32(LODE_DTYPE_F16, &half, &x, 1));
        if (isnan(x))
            assert_true((lode_f16_of(x) & 0x7fff) > 0x7c00);
        else
            assert_int_equal(lode_f16_of(x), half);
        if (i >= 0x7bff || i == 0) continue;
        float above;
        const uint16_t next = (uint16_t)(i + 1);
        assert_true(lode_dtype_to_f32(LODE_DTYPE_F16, &next, &above, 1));
        const float middle = x + (above - x) / 2; /* exact: a tie goes to the even one */
        assert_int_equal(lode_f16_of(middle), i % 2 ? next : half);
        assert_int_equal(lode_f16_of(nextafterf(middle, x)), half);
        assert_int_equal(lode_f16_of(nextafterf(middle, above)), next);
    }
    assert_int_equal(lode_f16_of(65520.0f), 0x7c00);
    assert_int_equal(lode_f16_of(1e-9f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_holds_every_token_once_and_pads_harmlessly),
        cmocka_unit_test(small_pieces_of_like_shape_share_a_graph),
        cmocka_unit_test(large_pieces_are_not_padded_to_a_graph),
        cmocka_unit_test(a_bucket_is_at_most_an_eighth_too_large),
        cmocka_unit_test(the_graph_used_longest_ago_makes_room),
        cmocka_unit_test(products_equal_plain_loops),
        cmocka_unit_test(a_product_without_a_plan_is_refused_while_recording),
        cmocka_unit_test(e4m3_codes_are_the_nearest),
        cmocka_unit_test(f16_goes_there_and_back),
    };
    return cmocka_run_group_tests(tests, device_there, NULL);
}
