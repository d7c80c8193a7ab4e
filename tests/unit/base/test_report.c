/* SPDX-License-Identifier: MIT */
/* What people and machines read: errors, log lines, metrics, time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/utf8.h"

static void every_code_has_its_own_name(void **state)
{
    (void)state;
    for (int a = 0; a < LODE_CODE_COUNT; a++) {
        assert_non_null(lode_code_name((enum lode_code)a));
        for (int b = 0; b < a; b++) {
            assert_string_not_equal(lode_code_name((enum lode_code)a),
                                    lode_code_name((enum lode_code)b));
        }
    }
    assert_string_equal(lode_code_name(LODE_ENOTFOUND), "not_found");
    assert_string_equal(lode_code_name(LODE_CODE_COUNT), "unknown");
}

static void system_errors_get_a_code_and_words(void **state)
{
    (void)state;
    struct lode_err err = LODE_ERR_INIT;
    assert_int_equal(lode_fail_errno(&err, ENOSPC, "cannot write %s", "x"), LODE_EFULL);
    assert_string_equal(err.msg, "cannot write x: No space left on device");
    assert_int_equal(lode_fail_errno(&err, ENOENT, "x"), LODE_ENOTFOUND);
    assert_int_equal(lode_fail_errno(&err, ENOMEM, "x"), LODE_ENOMEM);
    assert_int_equal(lode_fail_errno(&err, EACCES, "x"), LODE_EIO);
    assert_int_equal(lode_err_prefix(&err, "part %d", 3), LODE_EIO);
    assert_string_equal(err.msg, "part 3: x: Permission denied");
}

static void a_long_message_is_cut_at_a_character(void **state)
{
    (void)state;
    struct lode_err err = LODE_ERR_INIT;
    char text[1024];
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'a', shift);
        for (size_t i = 0; i < 200; i++) memcpy(text + shift + i * 4, "\xF0\x9F\x98\x80", 4);
        text[shift + 800] = '\0';
        lode_fail(&err, LODE_EINVAL, "%s", text);
        size_t len = strlen(err.msg);
        assert_in_range(len, LODE_ERR_MSG_BYTES - 6, LODE_ERR_MSG_BYTES - 1);
        assert_true(lode_utf8_valid(lode_str_n(err.msg, len)));
    }
}

static void a_log_line_stays_one_line(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    FILE *sink = open_memstream(&text, &len);
    lode_log_setup(sink, LODE_LOG_INFO);
    lode_debug("not shown");
    lode_info("a\nb\x1b[31m %d", 5);
    lode_log_setup(NULL, LODE_LOG_WARN);
    fclose(sink);
    assert_non_null(strstr(text, "Z INFO a\\x0ab\\x1b[31m 5\n"));
    assert_null(strstr(text, "not shown"));
    assert_ptr_equal(strchr(text, '\n'), text + len - 1);
    free(text);
}

static void time_is_written_as_rfc_3339(void **state)
{
    (void)state;
    char text[LODE_TIME_TEXT];
    lode_time_format(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    lode_time_format(1794305472345, text);
    assert_string_equal(text, "2026-11-10T10:11:12.345Z");
    lode_time_format(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    lode_time_format(-1, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    uint64_t start = lode_now_ns();
    assert_true(lode_seconds_since(start) >= 0);
    assert_true(lode_wall_ms() > 1700000000000);
}

static void metrics_render_as_prometheus_text(void **state)
{
    (void)state;
    struct lode_metrics *m = lode_metrics_new();
    struct lode_buf out;
    lode_buf_init(&out, 100000);
    struct lode_counter *q = lode_metrics_counter(m, "lode_q_total", "Queries.", "lane=\"a\"");
    struct lode_counter *g = lode_metrics_gauge(m, "lode_size", "Size.", "");
    struct lode_counter *r = lode_metrics_counter(m, "lode_q_total", "Queries.", "lane=\"b\"");
    struct lode_counter *h = lode_metrics_histogram(m, "lode_s", "Seconds.", "op=\"x\"");
    assert_ptr_equal(lode_metrics_counter(m, "lode_q_total", "Queries.", "lane=\"a\""), q);
    lode_metric_add(q, 2);
    lode_metric_add(q, 1);
    lode_metric_add(r, 0.5);
    lode_metric_set(g, -1.25);
    lode_metric_observe(h, 0.001);
    lode_metric_observe(h, 0.3);
    lode_metric_observe(h, 100);
    assert_true(lode_metric_value(q) == 3);
    assert_true(lode_metric_value(h) == 3);
    lode_metrics_render(m, &out);
    const char *expected[] = {
        ("# HELP lode_q_total Queries.\n# TYPE lode_q_total counter\n"
         "lode_q_total{lane=\"a\"} 3\nlode_q_total{lane=\"b\"} 0.5\n# HELP lode_size"),
        "# TYPE lode_size gauge\nlode_size -1.25\n",
        "# TYPE lode_s histogram\nlode_s_bucket{op=\"x\",le=\"0.001\"} 1\n",
        "lode_s_bucket{op=\"x\",le=\"0.25\"} 1\nlode_s_bucket{op=\"x\",le=\"0.5\"} 2\n",
        "lode_s_bucket{op=\"x\",le=\"60\"} 2\nlode_s_bucket{op=\"x\",le=\"+Inf\"} 3\n",
        "lode_s_sum{op=\"x\"} 100.301\nlode_s_count{op=\"x\"} 3\n",
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        if (!strstr(out.ptr, expected[i])) fail_msg("missing:\n%s\nin\n%s", expected[i], out.ptr);
    }
    lode_buf_release(&out);
    lode_metrics_free(m);
}

static void sizes_are_counted_in_powers_of_two(void **state)
{
    struct lode_metrics *m = lode_metrics_new();
    struct lode_counter *h = lode_metrics_sizes(m, "lode_n", "Things.", "");
    struct lode_buf out;
    (void)state;
    lode_metric_observe(h, 1);
    lode_metric_observe(h, 300);
    lode_metric_observe(h, 1e6);
    lode_buf_init(&out, 1 << 16);
    lode_metrics_render(m, &out);
    static const char *const parts[] = {"# TYPE lode_n histogram\nlode_n_bucket{le=\"1\"} 1\n",
                                        "lode_n_bucket{le=\"256\"} 1\n",
                                        "lode_n_bucket{le=\"512\"} 2\n",
                                        "lode_n_bucket{le=\"16384\"} 2\n",
                                        "lode_n_bucket{le=\"+Inf\"} 3\n",
                                        "lode_n_sum 1000301\n",
                                        "lode_n_count 3\n"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (!strstr(out.ptr, parts[i])) fail_msg("%s is not in\n%s", parts[i], out.ptr);
    lode_buf_release(&out);
    lode_metrics_free(m);
}

static void without_a_registry_nothing_is_counted_and_nothing_breaks(void **state)
{
    (void)state;
    struct lode_counter *x = lode_metrics_counter(NULL, "a", "b", "");
    assert_null(x);
    lode_metric_add(x, 1);
    lode_metric_set(x, 1);
    lode_metric_observe(x, 1);
    assert_true(lode_metric_value(x) == 0);
    lode_metrics_render(NULL, NULL);
    lode_metrics_free(NULL);
}

static void cpu_levels_include_those_below(void **state)
{
    (void)state;
    unsigned bits = lode_cpu();
    assert_int_equal(bits, lode_cpu());
    if (bits & LODE_CPU_AVX512) assert_true(bits & LODE_CPU_AVX2);
    if (bits & (LODE_CPU_AVX512_VNNI | LODE_CPU_AVX512_BF16)) assert_true(bits & LODE_CPU_AVX512);
    print_message("cpu: %s\n", lode_cpu_name());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_own_name),
        cmocka_unit_test(system_errors_get_a_code_and_words),
        cmocka_unit_test(a_long_message_is_cut_at_a_character),
        cmocka_unit_test(a_log_line_stays_one_line),
        cmocka_unit_test(time_is_written_as_rfc_3339),
        cmocka_unit_test(metrics_render_as_prometheus_text),
        cmocka_unit_test(sizes_are_counted_in_powers_of_two),
        cmocka_unit_test(without_a_registry_nothing_is_counted_and_nothing_breaks),
        cmocka_unit_test(cpu_levels_include_those_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
