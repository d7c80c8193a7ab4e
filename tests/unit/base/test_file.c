/* SPDX-License-Identifier: MIT */
/* Files: maps, whole reads, replacement, locks between processes, the walk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"

static char root[64];
static char path_space[512];

static const char *in_root(const char *name)
{
    snprintf(path_space, sizeof path_space, "%s/%s", root, name);
    return path_space;
}

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/lode-test-file-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int remove_root(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *name, const char *text)
{
    struct lode_err err = LODE_ERR_INIT;
    if (lode_file_replace(in_root(name), text, strlen(text), 0644, &err)) fail_msg("%s", err.msg);
}

static void make_dirs(const char *name)
{
    struct lode_err err = LODE_ERR_INIT;
    if (lode_mkdirs(in_root(name), 0755, &err)) fail_msg("%s", err.msg);
}

static void a_replaced_file_is_read_and_mapped_whole(void **state)
{
    (void)state;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_buf out;
    struct lode_mapped m = LODE_MAPPED_INIT;
    put("a", "old content, longer");
    put("a", "new");
    lode_buf_init(&out, 100);
    assert_int_equal(lode_file_read(in_root("a"), 3, &out, &err), LODE_OK);
    assert_string_equal(out.ptr, "new");
    assert_int_equal(lode_map_file(in_root("a"), &m, &err), LODE_OK);
    assert_int_equal(m.len, 3);
    assert_memory_equal(m.ptr, "new", 3);
    lode_unmap(&m);
    lode_unmap(&m);
    lode_buf_release(&out);
}

static void an_empty_file_maps_to_nothing(void **state)
{
    (void)state;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_mapped m = LODE_MAPPED_INIT;
    put("empty", "");
    assert_int_equal(lode_map_file(in_root("empty"), &m, &err), LODE_OK);
    assert_int_equal(m.len, 0);
    assert_non_null(m.ptr);
    lode_unmap(&m);
}

static void what_cannot_be_read_is_named(void **state)
{
    (void)state;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_buf out;
    struct lode_mapped m;
    lode_buf_init(&out, 100);
    put("b", "12345");
    assert_int_equal(lode_file_read(in_root("b"), 4, &out, &err), LODE_ELIMIT);
    assert_non_null(strstr(err.msg, "/b: 5 bytes, over the limit of 4"));
    assert_int_equal(lode_file_read(in_root("none"), 4, &out, &err), LODE_ENOTFOUND);
    assert_non_null(strstr(err.msg, "/none: No such file"));
    assert_int_equal(lode_file_read(root, 4, &out, &err), LODE_EINVAL);
    assert_int_equal(lode_map_file(root, &m, &err), LODE_EINVAL);
    assert_int_equal(mkfifo(in_root("fifo"), 0600), 0);
    assert_int_equal(lode_file_read(in_root("fifo"), 4, &out, &err), LODE_EINVAL);
    assert_false(lode_file_exists(in_root("none")));
    assert_true(lode_file_exists(in_root("b")));
    lode_buf_release(&out);
}

static size_t names_in_root(void)
{
    size_t n = 0;
    char command[128];
    snprintf(command, sizeof command, "ls -A %s", root);
    FILE *ls = popen(command, "r");
    for (int c; (c = fgetc(ls)) != EOF;) n += c == '\n';
    pclose(ls);
    return n;
}

static void a_failed_replacement_leaves_no_trace(void **state)
{
    (void)state;
    struct lode_err err = LODE_ERR_INIT;
    make_dirs("folder/x");
    size_t before = names_in_root();
    assert_int_equal(lode_file_replace(in_root("folder"), "t", 1, 0644, &err), LODE_EIO);
    assert_int_equal(names_in_root(), before);
    assert_int_equal(lode_file_replace(in_root("no/folder"), "t", 1, 0644, &err), LODE_ENOTFOUND);
}

/* A reader that opens the file again and again must see one of the two contents, whole. */
static void a_reader_never_sees_half_a_replacement(void **state)
{
    (void)state;
    enum { LEN = 20000 };
    static char a[LEN], b[LEN];
    memset(a, 'a', LEN);
    memset(b, 'b', LEN);
    struct lode_err err = LODE_ERR_INIT;
    char path[sizeof path_space];
    snprintf(path, sizeof path, "%s", in_root("swap"));
    assert_int_equal(lode_file_replace(path, a, LEN, 0644, &err), LODE_OK);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 100; i++) lode_file_replace(path, i % 2 ? a : b, LEN, 0644, &err);
        _exit(0);
    }
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        struct lode_buf out;
        lode_buf_init(&out, 100000);
        assert_int_equal(lode_file_read(path, 100000, &out, &err), LODE_OK);
        assert_int_equal(out.len, LEN);
        for (size_t i = 1; i < LEN; i++) assert_int_equal(out.ptr[i], out.ptr[0]);
        lode_buf_release(&out);
    }
}

static int try_lock_in_child(const char *path, bool exclusive)
{
    pid_t child = fork();
    if (child == 0) {
        struct lode_err err = LODE_ERR_INIT;
        struct lode_lock lock = LODE_LOCK_INIT;
        _exit((int)lode_lock_take(path, exclusive, &lock, &err));
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

static void a_lock_keeps_other_processes_out_until_dropped(void **state)
{
    (void)state;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_lock lock = LODE_LOCK_INIT;
    char path[sizeof path_space];
    snprintf(path, sizeof path, "%s", in_root("lock"));
    assert_int_equal(lode_lock_take(path, true, &lock, &err), LODE_OK);
    assert_int_equal(try_lock_in_child(path, true), LODE_EBUSY);
    assert_int_equal(try_lock_in_child(path, false), LODE_EBUSY);
    lode_lock_drop(&lock);
    lode_lock_drop(&lock);
    assert_int_equal(try_lock_in_child(path, true), LODE_OK);
    assert_int_equal(lode_lock_take(path, false, &lock, &err), LODE_OK);
    assert_int_equal(try_lock_in_child(path, false), LODE_OK);
    assert_int_equal(try_lock_in_child(path, true), LODE_EBUSY);
    lode_lock_drop(&lock);
}

/* --- walk --- */

struct seen {
    char files[4096]; /* relative paths, each with ';' behind */
    char skipped[8192];
    size_t stop_after, count;
};

static enum lode_code see_file(void *arg, const struct lode_file_info *file, struct lode_err *err)
{
    struct seen *s = arg;
    struct stat st;
    assert_int_equal(stat(file->path, &st), 0);
    assert_int_equal((uint64_t)st.st_size, file->bytes);
    assert_true(file->mtime_ns > 0);
    strncat(s->files, file->relative, sizeof s->files - strlen(s->files) - 2);
    strncat(s->files, ";", 2);
    if (s->stop_after && ++s->count == s->stop_after) {
        return lode_fail(err, LODE_ECANCELED, "enough");
    }
    return LODE_OK;
}

static void see_skip(void *arg, const char *path, const char *reason)
{
    struct seen *s = arg;
    size_t at = strlen(s->skipped);
    snprintf(s->skipped + at, sizeof s->skipped - at, "%s:%s;", strrchr(path, '/') + 1, reason);
}

static void the_walk_goes_in_bytewise_order_of_the_relative_path(void **state)
{
    (void)state;
    struct lode_err err = LODE_ERR_INIT;
    struct seen s = {.files = ""};
    make_dirs("tree/a/b");
    make_dirs("tree/a.d");
    make_dirs("tree/empty");
    put("tree/a/b/1", "x");
    put("tree/a/z", "xy");
    put("tree/a-b", "");
    put("tree/a.d/q", "q");
    put("tree/a0", "");
    put("tree/\xC3\xA9", "");
    put("tree/Z", "");
    assert_int_equal(lode_walk(in_root("tree"), see_file, see_skip, &s, &err), LODE_OK);
    assert_string_equal(s.files, "Z;a-b;a.d/q;a/b/1;a/z;a0;\xC3\xA9;");
    assert_string_equal(s.skipped, "");
    memset(&s, 0, sizeof s);
    assert_int_equal(lode_walk(in_root("tree/a/z"), see_file, see_skip, &s, &err), LODE_OK);
    assert_string_equal(s.files, "z;");
    memset(&s, 0, sizeof s);
    s.stop_after = 2;
    assert_int_equal(lode_walk(in_root("tree"), see_file, see_skip, &s, &err), LODE_ECANCELED);
    assert_string_equal(s.files, "Z;a-b;");
    assert_int_equal(lode_walk(in_root("none"), see_file, see_skip, &s, &err), LODE_ENOTFOUND);
}

static void the_walk_stays_inside_and_reports_what_it_passes_over(void **state)
{
    (void)state;
    struct lode_err err = LODE_ERR_INIT;
    struct seen s = {.files = ""};
    char target[sizeof path_space];
    make_dirs("links/in");
    put("links/in/file", "x");
    put("outside", "secret");
    put("links/.hidden", "");
    snprintf(target, sizeof target, "%s", in_root("outside"));
    assert_int_equal(symlink(target, in_root("links/out")), 0);
    assert_int_equal(symlink("in/file", in_root("links/good")), 0);
    assert_int_equal(symlink("in", in_root("links/dir")), 0);
    assert_int_equal(symlink("..", in_root("links/in/up")), 0);
    assert_int_equal(symlink("nowhere", in_root("links/broken")), 0);
    assert_int_equal(mkfifo(in_root("links/pipe"), 0600), 0);
    assert_int_equal(lode_walk(in_root("links"), see_file, see_skip, &s, &err), LODE_OK);
    assert_string_equal(s.files, "good;in/file;");
    assert_string_equal(s.skipped, ".hidden:hidden;broken:link that leaves the folder;"
                                   "dir:link to a folder;up:link that leaves the folder;"
                                   "out:link that leaves the folder;pipe:not a regular file;");
}

static void the_walk_stops_at_its_depth(void **state)
{
    (void)state;
    struct lode_err err = LODE_ERR_INIT;
    struct seen s = {.files = ""};
    char name[400] = "deep/top";
    size_t len = 4;
    make_dirs("deep");
    put(name, "");
    for (int i = 0; i < LODE_WALK_DEPTH_MAX + 2; i++, len += 2) memcpy(name + len, "/d", 3);
    make_dirs(name);
    memcpy(name + len, "/file", 6);
    put(name, "");
    assert_int_equal(lode_walk(in_root("deep"), see_file, see_skip, &s, &err), LODE_OK);
    assert_string_equal(s.files, "top;");
    assert_non_null(strstr(s.skipped, "too deep"));
}

static void folders_are_made_with_their_parents(void **state)
{
    (void)state;
    struct lode_err err = LODE_ERR_INIT;
    put("plain", "");
    assert_int_equal(lode_mkdirs(in_root("m//n/o/"), 0755, &err), LODE_OK);
    assert_int_equal(lode_mkdirs(in_root("m/n/o"), 0755, &err), LODE_OK);
    assert_int_equal(lode_mkdirs(in_root("plain/x"), 0755, &err), LODE_EIO);
    assert_int_equal(lode_mkdirs(in_root("plain"), 0755, &err), LODE_EIO);
    assert_int_equal(lode_sync_dir(in_root("m/n"), &err), LODE_OK);
    assert_true(lode_disk_free(root) > 0);
    assert_true(lode_disk_free(in_root("none")) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replaced_file_is_read_and_mapped_whole),
        cmocka_unit_test(an_empty_file_maps_to_nothing),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(a_failed_replacement_leaves_no_trace),
        cmocka_unit_test(a_reader_never_sees_half_a_replacement),
        cmocka_unit_test(a_lock_keeps_other_processes_out_until_dropped),
        cmocka_unit_test(the_walk_goes_in_bytewise_order_of_the_relative_path),
        cmocka_unit_test(the_walk_stays_inside_and_reports_what_it_passes_over),
        cmocka_unit_test(the_walk_stops_at_its_depth),
        cmocka_unit_test(folders_are_made_with_their_parents),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
