/* cmd_listen.c - sockets that systemd passes, addresses of --listen, and the place of a Unix
 * socket in the file system. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/daemon.h"
#include "cmd/supervisor.h"
#include "ctl/server.h"

extern char **environ;

static enum eg_status passed(const char *pid, const char *fds, unsigned *count, int *out)
{
    char whose[64], many[64], *list[3] = { whose, many, NULL }, **old = environ;
    struct eg_environ *e = NULL;
    struct eg_err err = { 0 };
    snprintf(whose, sizeof whose, "LISTEN_PID=%s", pid);
    snprintf(many, sizeof many, "LISTEN_FDS=%s", fds ? fds : "");
    if (!fds)
        list[1] = NULL;
    environ = list;
    enum eg_status status = eg_environ_take(&e);
    environ = old;
    if (status == EG_OK)
        status = eg_daemon_passed(e, out, EG_SUPERVISOR_LISTENERS, count, &err);
    eg_environ_free(e);
    return status;
}

/* In a process of its own: descriptor 3 is the test framework's here. Its exit status. */
static int apart(int (*run)(void))
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(run());
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

/* The number of the row that fails, from 1; 0: none. */
static int ask_table(void)
{
    char own[32], other[32];
    snprintf(own, sizeof own, "%d", (int)getpid());
    snprintf(other, sizeof other, "%d", (int)getppid());
    const struct {
        const char *pid, *fds;
        enum eg_status status;
        unsigned count;
    } rows[] = { { own, "1", EG_OK, 1 },
                 { own, "0", EG_OK, 0 },
                 { own, NULL, EG_OK, 0 },
                 { other, "1", EG_OK, 0 },
                 { "", "1", EG_OK, 0 },
                 { "x", "1", EG_OK, 0 },
                 { own, "x", EG_INVALID, 0 },
                 { own, "-1", EG_INVALID, 0 },
                 { own, "", EG_INVALID, 0 },
                 { own, "9", EG_TOO_BIG, 0 },
                 { own, "4294967297", EG_TOO_BIG, 0 } };
    int out[EG_SUPERVISOR_LISTENERS] = { 0 }, null = open("/dev/null", O_RDONLY);
    if (null < 0 || (null != 3 && dup2(null, 3) != 3))
        return 100;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned count = 7;
        if (passed(rows[i].pid, rows[i].fds, &count, out) != rows[i].status ||
            count != rows[i].count)
            return (int)i + 1;
    }
    return out[0] == 3 && (fcntl(3, F_GETFD) & FD_CLOEXEC) ? 0 : 101;
}

static int ask_closed(void)
{
    char own[32];
    unsigned count;
    int out[EG_SUPERVISOR_LISTENERS];
    snprintf(own, sizeof own, "%d", (int)getpid());
    close(3);
    return passed(own, "1", &count, out) == EG_INVALID ? 0 : 1;
}

Test(cmd_listen, passed_sockets_are_for_this_process_only)
{
    cr_assert_eq(apart(ask_table), 0);
}

Test(cmd_listen, descriptor_that_is_not_open_is_an_error)
{
    cr_assert_eq(apart(ask_closed), 0);
}

Test(cmd_listen, allow_remote_takes_any_address)
{
    static const struct {
        const char *text;
        bool loopback, remote;
    } rows[] = { { "127.0.0.1:80", true, true },   { "[::1]:80", true, true },
                 { "0.0.0.0:80", false, true },    { "10.0.0.1:80", false, true },
                 { "[::]:80", false, true },       { "[2001:db8::1]:80", false, true },
                 { "localhost:80", false, false }, { "10.0.0.1", false, false },
                 { "::1:80", false, false },       { ":80", false, false } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct eg_sockaddr at;
        cr_assert_eq(eg_daemon_listen(rows[i].text, false, &at), rows[i].loopback, "%zu", i);
        cr_assert_eq(eg_daemon_listen(rows[i].text, true, &at), rows[i].remote, "%zu", i);
    }
}

/* ---- Unix sockets ---- */

static char folder[] = "/tmp/egress-unix-XXXXXX", path[128];
static struct eg_unix_place place = { .path = path, .layer = "listen", .backlog = 16, .own = true };

static void begin(void)
{
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s.sock", folder);
}

static void end(void)
{
    unlink(path);
    rmdir(folder);
}

Test(cmd_listen, unix_socket_is_0600_in_a_folder_of_ours, .init = begin, .fini = end)
{
    struct stat made, st;
    int fd;
    cr_assert_eq(eg_unix_listen(&place, &fd, &made, NULL), EG_OK);
    cr_assert_eq(lstat(path, &st), 0);
    cr_assert(S_ISSOCK(st.st_mode) && (st.st_mode & 07777) == 0600 && st.st_ino == made.st_ino);
    eg_unix_remove(path, &made);
    cr_assert_eq(access(path, F_OK), -1);
    close(fd);
    cr_assert_eq(chmod(folder, 01777), 0); /* as /tmp: others may put their file first */
    cr_assert_eq(eg_unix_listen(&place, &fd, &made, NULL), EG_PERMISSION);
    cr_assert_eq(access(path, F_OK), -1);
}

Test(cmd_listen, stale_socket_is_taken_over_and_a_live_one_is_not, .init = begin, .fini = end)
{
    struct stat first, second;
    int fd, again;
    cr_assert_eq(eg_unix_listen(&place, &fd, &first, NULL), EG_OK);
    cr_assert_eq(eg_unix_listen(&place, &again, &second, NULL), EG_EXISTS);
    cr_assert_eq(access(path, F_OK), 0);
    close(fd); /* as kill -9 leaves it */
    cr_assert_eq(eg_unix_listen(&place, &fd, &second, NULL), EG_OK);
    close(fd);
}

/* Reading a folder is enough to lock it. */
Test(cmd_listen, lock_that_is_never_let_go_delays_a_start_only, .init = begin, .fini = end)
{
    struct stat made;
    int fd, lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert(lock >= 0 && flock(lock, LOCK_EX) == 0);
    alarm(30); /* else it waits for ever */
    cr_assert_eq(eg_unix_listen(&place, &fd, &made, NULL), EG_OK);
    eg_unix_remove(path, &made);
    close(fd);
    close(lock);
}

Test(cmd_listen, what_somebody_put_in_its_place_is_not_removed, .init = begin, .fini = end)
{
    struct stat made;
    int fd, other;
    cr_assert_eq(eg_unix_listen(&place, &fd, &made, NULL), EG_OK);
    unlink(path);
    other = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert(other >= 0);
    eg_unix_remove(path, &made);
    cr_assert_eq(access(path, F_OK), 0);
    close(other);
    close(fd);
    cr_assert_eq(eg_unix_listen(&place, &fd, &made, NULL), EG_EXISTS, "a file is no socket");
    cr_assert_eq(access(path, F_OK), 0);
}

Test(cmd_listen, paths_have_the_room_of_a_socket_address, .init = begin, .fini = end)
{
    char name[160];
    struct eg_unix_place at = { .path = name, .layer = "listen", .backlog = 1, .own = true };
    struct stat made;
    int fd;
    size_t n = (size_t)snprintf(name, sizeof name, "%s/", folder);
    memset(name + n, 'a', sizeof name - n);
    name[107] = 0;
    cr_assert_eq(eg_unix_listen(&at, &fd, &made, NULL), EG_OK);
    eg_unix_remove(name, &made);
    close(fd);
    name[107] = 'a';
    name[108] = 0;
    cr_assert_eq(eg_unix_listen(&at, &fd, &made, NULL), EG_TOO_BIG);
    name[0] = 0;
    cr_assert_eq(eg_unix_listen(&at, &fd, &made, NULL), EG_TOO_BIG);
}
