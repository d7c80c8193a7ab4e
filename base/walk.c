/* SPDX-License-Identifier: MIT */
/* Directory walk with a stack of its own. Each level holds its open folder, so names are resolved
 * against it and a folder that is swapped for a link meanwhile is not followed. Within a level the
 * names are sorted with '/' behind folder names, which makes the whole walk bytewise in the
 * relative path. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

struct level {
    int fd;
    size_t relative_len; /* of the folder's own path below root, with '/' behind; 0 for root */
    char **names;        /* sorted, owned; a folder's ends in '/' */
    size_t count, next;
};

struct walk {
    struct lode_buf path; /* root, '/', relative part */
    size_t root_len;      /* of path: up to and with the '/' */
    char *real_root;      /* resolved, malloc'd by realpath */
    lode_walk_fn fn;
    lode_walk_skip_fn skip;
    void *arg;
    struct level levels[LODE_WALK_DEPTH_MAX + 1];
    size_t depth; /* levels in use */
};

static void skip_path(struct walk *w, const char *reason)
{
    if (w->skip) w->skip(w->arg, w->path.ptr, reason);
}

/* path = root / folder of level / name */
static enum lode_code set_path(struct walk *w, const struct level *l, const char *name,
                               struct lode_err *err)
{
    w->path.len = w->root_len + l->relative_len;
    lode_buf_add(&w->path, name, strlen(name));
    return lode_buf_ok(&w->path, "path", err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_folder(int fd, const struct dirent *e)
{
    struct stat st;
    if (e->d_type != DT_UNKNOWN) return e->d_type == DT_DIR;
    return fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static bool add_name(struct level *l, const struct dirent *e, size_t *room)
{
    size_t len = strlen(e->d_name);
    if (l->count == *room) {
        size_t more = *room ? *room * 2 : 64;
        char **names = lode_realloc(l->names, more, sizeof *names);
        if (!names) return false;
        l->names = names;
        *room = more;
    }
    char *name = lode_alloc(len + 2, 1);
    if (!name) return false;
    memcpy(name, e->d_name, len);
    if (is_folder(l->fd, e)) name[len++] = '/';
    name[len] = '\0';
    l->names[l->count++] = name;
    return true;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Reads and sorts the names of l->fd. 0, or an errno. */
static int read_names(struct level *l)
{
    size_t room = 0;
    int copy = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    if (!dir) {
        int failed = errno;
        if (copy >= 0) close(copy);
        return failed;
    }
    int failed = 0;
    const struct dirent *e;
    while (!failed && (errno = 0, e = readdir(dir))) {
        if (!is_dots(e->d_name) && !add_name(l, e, &room)) failed = ENOMEM;
    }
    if (!failed && !e) failed = errno;
    closedir(dir);
    if (l->count) qsort(l->names, l->count, sizeof *l->names, by_name);
    return failed;
}

static void close_level(struct walk *w)
{
    struct level *l = &w->levels[--w->depth];
    for (size_t i = 0; i < l->count; i++) lode_free(l->names[i]);
    lode_free(l->names);
    close(l->fd);
}

/* Pushes the open folder fd, whose path is w->path. */
static enum lode_code open_level(struct walk *w, int fd, struct lode_err *err)
{
    struct level *l = &w->levels[w->depth++];
    *l = (struct level){.fd = fd, .relative_len = w->path.len - w->root_len};
    int failed = read_names(l);
    if (failed == 0) return LODE_OK;
    close_level(w);
    if (failed == ENOMEM) return lode_fail_nomem(err, 0, "a folder's names");
    skip_path(w, strerrordesc_np(failed));
    return LODE_OK;
}

static enum lode_code give_file(struct walk *w, const struct stat *st, struct lode_err *err)
{
    struct lode_file_info info = {
        .path = w->path.ptr,
        .relative = w->path.ptr + w->root_len,
        .bytes = (uint64_t)st->st_size,
        .mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
    };
    return w->fn(w->arg, &info, err);
}

/* Does the link at w->path end inside root? */
static bool stays_inside(const struct walk *w)
{
    char *real = realpath(w->path.ptr, NULL);
    size_t len = strlen(w->real_root);
    bool inside = real && strncmp(real, w->real_root, len) == 0 &&
                  (real[len] == '/' || (len && w->real_root[len - 1] == '/'));
    free(real);
    return inside;
}

static enum lode_code visit_file(struct walk *w, const struct level *l, const char *name,
                                 struct lode_err *err)
{
    struct stat st;
    bool link = false;
    if (fstatat(l->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode)) {
        link = true;
        if (!stays_inside(w)) {
            skip_path(w, "link that leaves the folder");
            return LODE_OK;
        }
    }
    if (fstatat(l->fd, name, &st, 0) != 0) {
        skip_path(w, strerrordesc_np(errno));
        return LODE_OK;
    }
    if (S_ISREG(st.st_mode)) return give_file(w, &st, err);
    /* A linked folder is walked where it really is; following it could go round in circles. */
    skip_path(w, link && S_ISDIR(st.st_mode) ? "link to a folder" : "not a regular file");
    return LODE_OK;
}

static enum lode_code visit_folder(struct walk *w, const struct level *l, const char *name,
                                   struct lode_err *err)
{
    if (w->depth > LODE_WALK_DEPTH_MAX) {
        skip_path(w, "too deep");
        return LODE_OK;
    }
    char plain[NAME_MAX + 1]; /* name without its '/', which would follow a link */
    size_t len = strlen(name) - 1;
    if (len > NAME_MAX) len = NAME_MAX;
    memcpy(plain, name, len);
    plain[len] = '\0';
    int fd = openat(l->fd, plain, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        skip_path(w, strerrordesc_np(errno));
        return LODE_OK;
    }
    return open_level(w, fd, err);
}

static enum lode_code visit_all(struct walk *w, struct lode_err *err)
{
    while (w->depth) {
        struct level *l = &w->levels[w->depth - 1];
        if (l->next == l->count) {
            close_level(w);
            continue;
        }
        const char *name = l->names[l->next++];
        LODE_TRY(set_path(w, l, name, err));
        if (name[0] == '.') {
            skip_path(w, "hidden");
        } else if (name[strlen(name) - 1] == '/') {
            LODE_TRY(visit_folder(w, l, name, err));
        } else {
            LODE_TRY(visit_file(w, l, name, err));
        }
    }
    return LODE_OK;
}

/* root is a file: it is the whole walk. */
static enum lode_code visit_single(struct walk *w, const char *root, const struct stat *st,
                                   struct lode_err *err)
{
    const char *slash = strrchr(root, '/');
    lode_buf_add(&w->path, root, strlen(root));
    LODE_TRY(lode_buf_ok(&w->path, "path", err));
    w->root_len = slash ? (size_t)(slash + 1 - root) : 0;
    if (S_ISREG(st->st_mode)) return give_file(w, st, err);
    skip_path(w, "not a regular file");
    return LODE_OK;
}

static enum lode_code visit_root(struct walk *w, const char *root, struct lode_err *err)
{
    lode_buf_add(&w->path, root, strlen(root));
    if (w->path.len && w->path.ptr[w->path.len - 1] != '/') lode_buf_add_char(&w->path, '/');
    LODE_TRY(lode_buf_ok(&w->path, "path", err));
    w->root_len = w->path.len;
    w->real_root = realpath(root, NULL);
    if (!w->real_root) return lode_fail_errno(err, errno, "cannot resolve %s", root);
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return lode_fail_errno(err, errno, "cannot open folder %s", root);
    LODE_TRY(open_level(w, fd, err));
    return visit_all(w, err);
}

enum lode_code lode_walk(const char *root, lode_walk_fn fn, lode_walk_skip_fn skip, void *arg,
                         struct lode_err *err)
{
    struct stat st;
    if (stat(root, &st) != 0) return lode_fail_errno(err, errno, "cannot read %s", root);
    struct walk *w = lode_calloc(1, sizeof *w);
    if (!w) return lode_fail_nomem(err, sizeof *w, "a folder walk");
    lode_buf_init(&w->path, LODE_WALK_DEPTH_MAX * (NAME_MAX + 1) + PATH_MAX);
    w->fn = fn;
    w->skip = skip;
    w->arg = arg;
    enum lode_code rc =
        S_ISDIR(st.st_mode) ? visit_root(w, root, err) : visit_single(w, root, &st, err);
    while (w->depth) close_level(w);
    free(w->real_root);
    lode_buf_release(&w->path);
    lode_free(w);
    return rc;
}
