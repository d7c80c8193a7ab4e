/* SPDX-License-Identifier: MIT */
/* The first and only process of the emulated machine; run.py puts it, linked statically, into the
 * initial RAM disk. It runs /test with the arguments of /args (one a line) and reports how that
 * ended on the serial line, where run.py reads it. It never returns: run.py stops the emulator. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { ARGS_MAX = 64, ARGS_BYTES = 4096 };

/* Without post-processing the bytes of the test arrive as they were written. */
static void serial_as_stdio(void)
{
    struct termios mode;
    int fd = open("/dev/ttyS0", O_RDWR);
    if (fd < 0) return; /* the kernel's own console stays standard output */
    for (int std = 0; std <= 2; std++) dup2(fd, std);
    if (fd > 2) close(fd);
    if (tcgetattr(0, &mode)) return;
    cfmakeraw(&mode);
    cfsetspeed(&mode, B115200);
    (void)tcsetattr(0, TCSANOW, &mode);
}

/* /tmp needs none: the root is in memory, and files carried along may lie there. */
static void mount_all(void)
{
    const char *dirs[] = {"/proc", "/sys", "/dev"};
    const char *types[] = {"proc", "sysfs", "devtmpfs"};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        mkdir(dirs[i], 0755);
        if (mount(types[i], dirs[i], types[i], 0, NULL)) perror(dirs[i]);
    }
    mkdir("/tmp", 01777);
}

/* Fills argv from /args; text holds the bytes. */
static void read_args(char **argv, char *text)
{
    size_t n = 0, at = 0;
    int fd = open("/args", O_RDONLY);
    ssize_t got = fd < 0 ? 0 : read(fd, text, ARGS_BYTES - 1);
    text[got > 0 ? got : 0] = 0;
    argv[n++] = "/test";
    while (text[at] && n < ARGS_MAX) {
        argv[n++] = text + at;
        at += strcspn(text + at, "\n");
        if (text[at]) text[at++] = 0;
    }
    argv[n] = NULL;
    if (fd >= 0) close(fd);
}

static int run_test(void)
{
    static char text[ARGS_BYTES];
    static char *argv[ARGS_MAX + 1];
    int status = 0;
    read_args(argv, text);
    pid_t pid = fork();
    if (pid == 0) {
        (void)!chdir("/tmp");
        setenv("TMPDIR", "/tmp", 1);
        execv(argv[0], argv);
        perror("exec of the test");
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return 126;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(void)
{
    mount_all();
    serial_as_stdio();
    printf("\n[lode-emu begin]\n");
    fflush(stdout);
    int code = run_test();
    printf("\n[lode-emu exit %d]\n", code);
    fflush(stdout);
    tcdrain(1);
    for (;;) pause();
}
