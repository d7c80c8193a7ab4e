/* SPDX-License-Identifier: MIT */
/* A full disk: an 8 MiB tmpfs, filled by writes. Writes fail with LODE_EFULL and leave nothing,
 * reads and deletes go on, and after space is freed writes resume without a reopen. Needs root to
 * mount; says so and skips where that is not given. */
#include "tests/unit/storage/world.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DISK_MIB = 8, PAYLOAD = 20000, POINTS_MAX = 2000 };

struct disk {
    char dir[WORLD_PATH];
    char data[WORLD_PATH + 8];
    struct lode_store *store;
    lode_cid cid;
};

static bool disk_begin(struct disk *d, uint64_t reserve)
{
    char size[32];
    struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
    scratch_make(d->dir);
    snprintf(size, sizeof size, "size=%dm", DISK_MIB);
    if (mount("lode-test", d->dir, "tmpfs", 0, size)) {
        printf("skipped: cannot mount a small tmpfs here: %s\n", strerror(errno));
        scratch_remove(d->dir);
        d->dir[0] = '\0';
        return false;
    }
    snprintf(d->data, sizeof d->data, "%s/data", d->dir);
    opts.create = true;
    opts.reserve_bytes = reserve;
    good(lode_store_open(d->data, &opts, &d->store, &err));
    d->cid = make_collection(d->store, "docs", WORLD_DIM, LODE_DOT);
    return true;
}

/* Also after a failed assertion: a mount must not outlive the test. */
static int disk_end(void **state)
{
    struct disk *d = *state;
    if (!d->dir[0]) return 0;
    lode_store_close(d->store);
    umount2(d->dir, MNT_DETACH);
    scratch_remove(d->dir);
    *d = (struct disk){.store = NULL};
    return 0;
}

static int disk_setup(void **state)
{
    static struct disk d;
    *state = &d;
    return 0;
}

static enum lode_code put_big(struct disk *d, uint64_t id, struct lode_err *err)
{
    static char payload[PAYLOAD];
    float v[WORLD_DIM];
    fill_vector(v, WORLD_DIM, id);
    memset(payload, 'x', sizeof payload);
    struct lode_op op = {.kind = LODE_OP_PUT_POINT,
                         .cid = d->cid,
                         .u.point = {.id = lode_point_id_num(id),
                                     .vector = v,
                                     .payload = {payload, sizeof payload}}};
    return lode_store_apply(d->store, &op, 1, NULL, err);
}

static void expect_points(struct disk *d, uint64_t from, uint64_t to)
{
    struct lode_rtxn *txn = begin(d->store);
    const struct lode_collection c = collection(txn, "docs");
    assert_int_equal(c.points, to - from);
    for (uint64_t i = from; i < to; i++) {
        const struct lode_point_id id = lode_point_id_num(i);
        struct lode_point p;
        lode_slot slot = 0;
        good(lode_point_slot(txn, &c, &id, &slot, &err));
        good(lode_point_get(txn, &c, slot, &p, &err));
        assert_int_equal(p.payload.len, PAYLOAD);
    }
    lode_rtxn_end(txn);
}

static uint64_t fill_up(struct disk *d, struct lode_err *err)
{
    uint64_t n = 0;
    while (n < POINTS_MAX && put_big(d, n, err) == LODE_OK) n++;
    return n;
}

static void with_a_reserve_deletes_make_room_and_writes_resume(void **state)
{
    struct disk *d = *state;
    struct lode_err full = LODE_ERR_INIT;
    if (!disk_begin(d, 1 << 20)) {
        skip();
        return;
    }
    const uint64_t n = fill_up(d, &full);
    assert_int_equal(full.code, LODE_EFULL);
    assert_true(n > 100);
    expect_points(d, 0, n);
    for (uint64_t i = 0; i < n / 2; i++) assert_true(delete_point(d->store, d->cid, i));
    expect_points(d, n / 2, n);
    for (uint64_t i = n; i < n + n / 8; i++) good(put_big(d, i, &err)); /* into freed pages */
    expect_points(d, n / 2, n + n / 8);
    expect_clean(d->store);
    lode_store_close(d->store);
    d->store = NULL;
    uint64_t before = 0, after = 0; /* a copy does not fit; the old file stays */
    bad(LODE_EFULL, "compact.tmp", lode_store_compact(d->data, &before, &after, NULL, NULL, &err));
    const struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
    good(lode_store_open(d->data, &opts, &d->store, &err));
    expect_points(d, n / 2, n + n / 8);
    expect_clean(d->store);
}

/* Another program's file takes the disk to its last byte and gives it back. */
static void fill_disk(struct disk *d, const char *name)
{
    static char block[4096];
    char path[WORLD_PATH + 32];
    snprintf(path, sizeof path, "%s/%s", d->dir, name);
    const int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    while (write(fd, block, sizeof block) > 0) continue;
    close(fd);
}

static void with_no_byte_left_a_write_fails_whole_and_resumes_when_there_is_room(void **state)
{
    struct disk *d = *state;
    struct lode_err full = LODE_ERR_INIT;
    char path[WORLD_PATH + 32];
    if (!disk_begin(d, 0)) {
        skip();
        return;
    }
    for (uint64_t i = 0; i < 20; i++) good(put_big(d, i, &err));
    fill_disk(d, "other");
    uint64_t n = 20;
    while (n < POINTS_MAX && put_big(d, n, &full) == LODE_OK) n++; /* free pages of the file */
    assert_int_equal(full.code, LODE_EFULL);
    assert_non_null(strstr(full.msg, "no space left"));
    expect_points(d, 0, n);
    expect_clean(d->store);
    snprintf(path, sizeof path, "%s/other", d->dir);
    assert_int_equal(unlink(path), 0);
    for (uint64_t i = n; i < n + 5; i++) good(put_big(d, i, &err));
    expect_points(d, 0, n + 5);
    expect_clean(d->store);
}

static void a_backup_that_does_not_fit_fails_in_words_and_leaves_nothing(void **state)
{
    struct disk *d = *state;
    struct lode_err full = LODE_ERR_INIT;
    char to[WORLD_PATH + 32], partial[WORLD_PATH + 48];
    if (!disk_begin(d, 0)) {
        skip();
        return;
    }
    for (uint64_t i = 0; i < 250; i++) good(put_big(d, i, &err));
    snprintf(to, sizeof to, "%s/backup", d->dir);
    snprintf(partial, sizeof partial, "%s.partial", to);
    const enum lode_code rc = lode_store_backup(d->store, to, NULL, NULL, &full);
    assert_int_equal(rc, LODE_EFULL);
    struct stat st;
    assert_int_not_equal(stat(to, &st), 0);
    assert_int_not_equal(stat(partial, &st), 0);
    expect_points(d, 0, 250);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(with_a_reserve_deletes_make_room_and_writes_resume,
                                        disk_setup, disk_end),
        cmocka_unit_test_setup_teardown(
            with_no_byte_left_a_write_fails_whole_and_resumes_when_there_is_room, disk_setup,
            disk_end),
        cmocka_unit_test_setup_teardown(
            a_backup_that_does_not_fit_fails_in_words_and_leaves_nothing, disk_setup, disk_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
