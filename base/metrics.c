/* SPDX-License-Identifier: MIT */
/* Metrics registry: a list that only grows, updates by compare-and-swap on the bits of a double. */
#include "base/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "base/number.h"

enum kind { COUNTER, GAUGE, HISTOGRAM, SIZES };
static const char *const kind_names[] = {"counter", "gauge", "histogram", "histogram"};

/* Upper bounds; one more bucket behind them has none. */
enum { BOUNDS = 15 };
static const double second_bounds[BOUNDS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                             0.5,   1,      2.5,   5,    10,    30,   60};
static const double size_bounds[BOUNDS] = {1,   2,   4,    8,    16,   32,   64,   128,
                                           256, 512, 1024, 2048, 4096, 8192, 16384};

struct lode_counter {
    struct lode_counter *next;
    char *name, *help, *labels; /* owned */
    enum kind kind;
    atomic_uint_fast64_t value;               /* bits of a double; histogram: the sum */
    atomic_uint_fast64_t buckets[BOUNDS + 1]; /* not cumulated */
    bool rendered;                            /* of the current render, under lock */
};

struct lode_metrics {
    pthread_mutex_t lock; /* guards the list, not the values */
    struct lode_counter *first, *last;
};

struct lode_metrics *lode_metrics_new(void)
{
    struct lode_metrics *m = lode_calloc(1, sizeof *m);
    if (m) pthread_mutex_init(&m->lock, NULL);
    return m;
}

static void free_metric(struct lode_counter *x)
{
    if (!x) return;
    lode_free(x->name);
    lode_free(x->help);
    lode_free(x->labels);
    lode_free(x);
}

void lode_metrics_free(struct lode_metrics *m)
{
    if (!m) return;
    while (m->first) {
        struct lode_counter *next = m->first->next;
        free_metric(m->first);
        m->first = next;
    }
    pthread_mutex_destroy(&m->lock);
    lode_free(m);
}

static struct lode_counter *new_metric(enum kind kind, const char *name, const char *help,
                                       const char *labels)
{
    struct lode_counter *x = lode_calloc(1, sizeof *x);
    if (!x) return NULL;
    x->kind = kind;
    x->name = lode_strndup(name, strlen(name));
    x->help = lode_strndup(help, strlen(help));
    x->labels = lode_strndup(labels, strlen(labels));
    if (x->name && x->help && x->labels) return x;
    free_metric(x);
    return NULL;
}

/* NULL when out of memory: then nothing is counted, and the program goes on. */
static struct lode_counter *get_metric(struct lode_metrics *m, enum kind kind, const char *name,
                                       const char *help, const char *labels)
{
    if (!m) return NULL;
    pthread_mutex_lock(&m->lock);
    struct lode_counter *x = m->first;
    while (x && (strcmp(x->name, name) != 0 || strcmp(x->labels, labels) != 0)) x = x->next;
    if (!x) {
        x = new_metric(kind, name, help, labels);
        if (x && m->last) m->last->next = x;
        if (x && !m->last) m->first = x;
        if (x) m->last = x;
    }
    pthread_mutex_unlock(&m->lock);
    return x;
}

struct lode_counter *lode_metrics_counter(struct lode_metrics *m, const char *name,
                                          const char *help, const char *labels)
{
    return get_metric(m, COUNTER, name, help, labels);
}

struct lode_counter *lode_metrics_gauge(struct lode_metrics *m, const char *name, const char *help,
                                        const char *labels)
{
    return get_metric(m, GAUGE, name, help, labels);
}

struct lode_counter *lode_metrics_histogram(struct lode_metrics *m, const char *name,
                                            const char *help, const char *labels)
{
    return get_metric(m, HISTOGRAM, name, help, labels);
}

static double double_of(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

struct lode_counter *lode_metrics_sizes(struct lode_metrics *m, const char *name, const char *help,
                                        const char *labels)
{
    return get_metric(m, SIZES, name, help, labels);
}

static bool has_buckets(const struct lode_counter *x)
{
    return x->kind == HISTOGRAM || x->kind == SIZES;
}

static const double *bounds_of(const struct lode_counter *x)
{
    return x->kind == SIZES ? size_bounds : second_bounds;
}

void lode_metric_add(struct lode_counter *x, double by)
{
    if (!x) return;
    uint_fast64_t before = atomic_load_explicit(&x->value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&x->value, &before,
                                                  bits_of(double_of(before) + by),
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

void lode_metric_set(struct lode_counter *x, double to)
{
    if (x) atomic_store_explicit(&x->value, bits_of(to), memory_order_relaxed);
}

void lode_metric_observe(struct lode_counter *x, double value)
{
    if (!x) return;
    const double *bounds = bounds_of(x);
    int bucket = 0;
    while (bucket < BOUNDS && !(value <= bounds[bucket])) bucket++;
    atomic_fetch_add_explicit(&x->buckets[bucket], 1, memory_order_relaxed);
    lode_metric_add(x, value);
}

static uint64_t observations(const struct lode_counter *x)
{
    uint64_t total = 0;
    for (int i = 0; i <= BOUNDS; i++) {
        total += atomic_load_explicit(&x->buckets[i], memory_order_relaxed);
    }
    return total;
}

double lode_metric_value(const struct lode_counter *x)
{
    if (!x) return 0;
    if (has_buckets(x)) return (double)observations(x);
    return double_of(atomic_load_explicit(&x->value, memory_order_relaxed));
}

static void add_number(struct lode_buf *out, double x)
{
    char text[LODE_NUMBER_TEXT];
    if (isnan(x)) {
        lode_buf_add(out, "NaN", 3);
    } else if (isinf(x)) {
        lode_buf_printf(out, "%cInf", x > 0 ? '+' : '-');
    } else {
        lode_buf_add(out, text, lode_number_print_f64(x, text));
    }
}

/* name[suffix]{labels} */
static void add_name(struct lode_buf *out, const struct lode_counter *x, const char *suffix)
{
    lode_buf_printf(out, "%s%s", x->name, suffix);
    if (x->labels[0]) lode_buf_printf(out, "{%s}", x->labels);
    lode_buf_add_char(out, ' ');
}

static void render_histogram(struct lode_buf *out, const struct lode_counter *x)
{
    const char *comma = x->labels[0] ? "," : "";
    const double *bounds = bounds_of(x);
    uint64_t total = 0;
    for (int i = 0; i <= BOUNDS; i++) {
        total += atomic_load_explicit(&x->buckets[i], memory_order_relaxed);
        lode_buf_printf(out, "%s_bucket{%s%sle=\"", x->name, x->labels, comma);
        add_number(out, i < BOUNDS ? bounds[i] : (double)INFINITY);
        lode_buf_printf(out, "\"} %" PRIu64 "\n", total);
    }
    add_name(out, x, "_sum");
    add_number(out, double_of(atomic_load_explicit(&x->value, memory_order_relaxed)));
    lode_buf_add_char(out, '\n');
    add_name(out, x, "_count");
    lode_buf_printf(out, "%" PRIu64 "\n", total);
}

static void render_metric(struct lode_buf *out, const struct lode_counter *x)
{
    if (has_buckets(x)) {
        render_histogram(out, x);
        return;
    }
    add_name(out, x, "");
    add_number(out, lode_metric_value(x));
    lode_buf_add_char(out, '\n');
}

void lode_metrics_render(struct lode_metrics *m, struct lode_buf *out)
{
    if (!m) return;
    pthread_mutex_lock(&m->lock);
    for (struct lode_counter *x = m->first; x; x = x->next) x->rendered = false;
    /* All of one name stand together, as the format wants it. */
    for (struct lode_counter *head = m->first; head; head = head->next) {
        if (head->rendered) continue;
        lode_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", head->name, head->help, head->name,
                        kind_names[head->kind]);
        for (struct lode_counter *x = head; x; x = x->next) {
            if (strcmp(x->name, head->name) != 0) continue;
            render_metric(out, x);
            x->rendered = true;
        }
    }
    pthread_mutex_unlock(&m->lock);
}
