/* cmd_environ.c - the copy of the environment outlives the original, is not inherited, and the
 * original's bytes are gone. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/supervisor.h"

extern char **environ;

/* Does /proc/self/environ hold it? It shows the bytes that exec put there, so the test execs
 * itself no further: it looks for what this process was given. */
static bool in_proc(const char *needle)
{
    static char text[1 << 20];
    int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof text);
    close(fd);
    return n > 0 && memmem(text, (size_t)n, needle, strlen(needle)) != NULL;
}

Test(cmd_environ, original_bytes_are_overwritten_and_the_copy_stays)
{
    struct eg_environ *e = NULL;
    const char *path = getenv("PATH");
    char wanted[4096], *first = environ[0], head[8];
    cr_assert(sodium_init() >= 0);
    cr_assert_not_null(path);
    snprintf(wanted, sizeof wanted, "PATH=%s", path);
    cr_assert(in_proc(wanted), "the test shows nothing");
    cr_assert_eq(setenv("EG_SECRET", "hunter2-hunter2", 1), 0);
    cr_assert_eq(eg_environ_take(&e), EG_OK);
    const char *old = getenv("EG_SECRET");
    snprintf(head, sizeof head, "%s", first);
    eg_environ_wipe_own();
    cr_assert(!in_proc(wanted));
    cr_assert_eq(first[0], 0);
    cr_assert_null(memmem(old, 15, "hunter2", 7),
                   "the bytes of a variable that was set later are gone too");
    cr_assert_null(getenv("EG_SECRET"));
    cr_assert_str_eq(eg_environ_get(e, "EG_SECRET"), "hunter2-hunter2");
    cr_assert_not_null(getenv("PATH"), "what libraries need is set again");
    cr_assert_not_null(eg_environ_all(e)[0]);
    eg_environ_free(e);
}

Test(cmd_environ, names_are_compared_whole)
{
    struct eg_environ *e = NULL;
    setenv("EG_ABC", "1", 1);
    setenv("EG_EMPTY", "", 1);
    unsetenv("EG_AB");
    cr_assert_eq(eg_environ_take(&e), EG_OK);
    cr_assert_null(eg_environ_get(e, "EG_AB"));
    cr_assert_null(eg_environ_get(e, "EG_ABCD"));
    cr_assert_str_eq(eg_environ_get(e, "EG_ABC"), "1");
    cr_assert_str_eq(eg_environ_get(e, "EG_EMPTY"), "");
    cr_assert_null(eg_environ_get(NULL, "EG_ABC"));
    eg_environ_free(e);
}

Test(cmd_environ, forked_process_does_not_have_the_copy)
{
    struct eg_environ *e = NULL;
    int status;
    setenv("EG_SECRET", "hunter2-hunter2", 1);
    cr_assert_eq(eg_environ_take(&e), EG_OK);
    const char *value = eg_environ_get(e, "EG_SECRET");
    pid_t pid = fork();
    /* a page that is not there: the write fails with EFAULT, where reading it would end us */
    if (pid == 0) {
        int fd = open("/dev/null", O_WRONLY);
        int pipe_fds[2];
        if (fd < 0 || pipe(pipe_fds) < 0)
            _exit(2);
        _exit(write(pipe_fds[1], value, 1) == -1 ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    eg_environ_free(e);
}
