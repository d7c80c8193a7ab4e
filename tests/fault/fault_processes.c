/* SPDX-License-Identifier: MIT */
/* Several processes on one directory: two write at once and one reads; every acknowledged write is
 * there for a read that begins after it, in any process, and none is lost. A compact at the wrong
 * time is refused in words. */
#include "storage/store_internal.h"
#include "tests/unit/storage/world.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WRITERS = 2, WRITES = 150 };

struct shared { /* between the processes: how many writes each writer has acknowledged */
    volatile uint32_t acked[WRITERS];
    volatile uint32_t reads;
};

static struct lode_store *open_or_exit(const char *dir)
{
    const struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_store *s;
    if (lode_store_open(dir, &opts, &s, &err) == LODE_OK) return s;
    fprintf(stderr, "open: %s\n", err.msg);
    _exit(1);
}

static void write_all(const char *dir, lode_cid cid, uint32_t writer, struct shared *shared)
{
    struct lode_store *s = open_or_exit(dir);
    for (uint32_t i = 0; i < WRITES; i++) {
        struct lode_err err = LODE_ERR_INIT;
        float v[WORLD_DIM];
        fill_vector(v, WORLD_DIM, writer * 1000 + i);
        struct lode_op op = {.kind = LODE_OP_PUT_POINT,
                             .cid = cid,
                             .u.point = {.id = lode_point_id_num(writer * 1000 + i), .vector = v}};
        if (lode_store_apply(s, &op, 1, NULL, &err)) {
            fprintf(stderr, "write: %s\n", err.msg);
            _exit(2);
        }
        shared->acked[writer] = i + 1;
    }
    lode_store_close(s);
    _exit(0);
}

/* One look: every write acknowledged before the transaction began is in it. */
static int look(struct lode_store *s, const struct shared *shared)
{
    struct lode_err err = LODE_ERR_INIT;
    uint32_t acked[WRITERS];
    struct lode_rtxn *txn;
    struct lode_collection c;
    int missing = 0;
    for (uint32_t w = 0; w < WRITERS; w++) acked[w] = shared->acked[w];
    if (lode_rtxn_begin(s, &txn, &err)) return 1000;
    if (lode_collection_get(txn, LODE_STR("docs"), &c, &err)) return 1000;
    for (uint32_t w = 0; w < WRITERS; w++)
        for (uint32_t i = 0; i < acked[w]; i++) {
            const struct lode_point_id id = lode_point_id_num(w * 1000 + i);
            lode_slot slot;
            const float *v;
            float want[WORLD_DIM];
            fill_vector(want, WORLD_DIM, w * 1000 + i);
            missing += lode_point_slot(txn, &c, &id, &slot, &err) != LODE_OK ||
                       lode_vector_get(txn, &c, slot, &v, &err) != LODE_OK ||
                       memcmp(v, want, sizeof want) != 0;
        }
    lode_rtxn_end(txn);
    return missing;
}

static void read_until_done(const char *dir, struct shared *shared)
{
    struct lode_store *s = open_or_exit(dir);
    bool done = false;
    while (!done) {
        done = shared->acked[0] == WRITES && shared->acked[1] == WRITES;
        if (look(s, shared)) _exit(3);
        shared->reads++;
    }
    lode_store_close(s);
    _exit(0);
}

static void two_processes_write_while_one_reads_and_compact_is_refused(void **state)
{
    struct world *w = *state;
    pid_t pids[WRITERS + 1];
    uint64_t before, after;
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    world_close(w);
    for (uint32_t i = 0; i <= WRITERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0 && i < WRITERS) write_all(w->data, cid, i, shared);
        if (pids[i] == 0) read_until_done(w->data, shared);
    }
    while (shared->acked[0] < 3) usleep(1000);
    bad(LODE_EBUSY, "stop it first",
        lode_store_compact(w->data, &before, &after, NULL, NULL, &err));
    for (uint32_t i = 0; i <= WRITERS; i++) {
        int status = -1;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    printf("%u looks while %u writes went on\n", shared->reads, WRITERS * WRITES);
    good(lode_store_compact(w->data, &before, &after, NULL, NULL, &err));
    world_reopen(w);
    assert_int_equal(look(w->store, shared), 0);
    expect_clean(w->store);
    munmap(shared, sizeof *shared);
}

static void a_writer_killed_while_it_holds_the_lock_does_not_block_the_next(void **state)
{
    struct world *w = *state;
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    world_close(w);
    for (int round = 0; round < 5; round++) {
        shared->acked[0] = 0;
        const pid_t pid = fork();
        if (pid == 0) write_all(w->data, cid, 0, shared);
        while (shared->acked[0] < 5) usleep(200);
        kill(pid, SIGKILL);
        int status;
        waitpid(pid, &status, 0);
        world_reopen(w);
        put_point(w->store, cid, 5000 + (uint64_t)round, 1, "");
        assert_int_equal(look(w->store, shared), 0);
        expect_clean(w->store);
        world_close(w);
    }
    munmap(shared, sizeof *shared);
}

/* --- a file lengthened while another process commits --- */

static int go_pipe[2], done_pipe[2];
static bool lengthening; /* the next ftruncate is the one to interrupt */

/* In the place of libc's: lets the other process commit first, if it can. */
int ftruncate(int fd, off_t length)
{
    enum { COMMIT_MS = 500 };
    if (lengthening) {
        struct pollfd done = {.fd = done_pipe[0], .events = POLLIN};
        lengthening = false;
        if (write(go_pipe[1], "g", 1) == 1) (void)poll(&done, 1, COMMIT_MS);
    }
    return (int)syscall(SYS_ftruncate, fd, length);
}

static void commit_when_told(const char *dir, lode_cid cid)
{
    static char big[(1 << 19) + 1]; /* with its NUL */
    struct lode_store *s = open_or_exit(dir);
    char c;
    memset(big, ' ', sizeof big - 1);
    big[0] = '{';
    big[sizeof big - 2] = '}';
    close(go_pipe[1]); /* the parent's end alone: when it dies, the read below ends */
    if (read(go_pipe[0], &c, 1) != 1) _exit(1);
    put_point(s, cid, 2, 2, big);
    if (write(done_pipe[1], "d", 1) != 1) _exit(1);
    _exit(0);
}

static void lengthening_the_file_never_cuts_what_another_process_committed(void **state)
{
    struct world *w = *state;
    struct lode_rtxn txn;
    bool found = false, whole = false;
    int status = -1;
    static char value[40000];
    const struct lode_dbkey key = lode_key_bytes(LODE_STR("0123456789abcdef"));
    const lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    world_close(w);
    assert_int_equal(pipe(go_pipe), 0);
    assert_int_equal(pipe(done_pipe), 0);
    const pid_t pid = fork();
    if (pid == 0) commit_when_told(w->data, cid);
    world_reopen(w);
    /* Single pages come from those freed before, so that the large value alone is at the end. */
    for (uint64_t i = 10; i < 30; i++) put_point(w->store, cid, i, i, "{}");
    lengthening = true;
    good(lode_wtxn_begin(w->store, &txn, &err)); /* takes pages at the end and never writes them */
    good(lode_tab_put(&txn, LODE_T_INPUTS, &key, lode_str_n(value, sizeof value), &err));
    good(lode_tab_delete(&txn, LODE_T_INPUTS, &key, &found, &err));
    good(lode_wtxn_commit(&txn, 0, &err));
    assert_false(lengthening);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    good(lode_env_whole(w->store->env, &whole, &err));
    assert_true(whole);
    expect_clean(w->store);
    for (int i = 0; i < 2; i++) close(go_pipe[i]), close(done_pipe[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(two_processes_write_while_one_reads_and_compact_is_refused,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(
            a_writer_killed_while_it_holds_the_lock_does_not_block_the_next, world_setup,
            world_teardown),
        cmocka_unit_test_setup_teardown(
            lengthening_the_file_never_cuts_what_another_process_committed, world_setup,
            world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
