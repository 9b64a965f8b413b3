/* escape.c - makes the attempts of support/escape.h, one process each, and prints "NAME<TAB>out|in|none|ended<TAB>DETAIL":
 *   escape run [NAME...]      targets come on stdin as name=value lines, up to an empty one; the last line is "done N"
 *   escape list               "NAME<TAB>WHAT" for every row
 *   escape victim FD [things] what the attempts on processes are aimed at: holds the proof in its environment, its memory and that descriptor; things: and in what System V and POSIX share
 *   escape guest              a process in user and network namespaces of its own
 *   escape hammer ADDRESS PORT [N]   N processes (1) in sessions of their own that try to connect there again and again and heed no signal that they may ignore; "up" when all have tried
 *   escape bomb [MS]          forks without end (who starts it sets RLIMIT_NPROC), "up" when no more is to be had; ends itself, not its children, after MS
 *   escape raw                succeeds where it may make a raw socket
 * An attempt that is not over in time is ended: it did not get out. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/escape.h"

enum { DEADLINE_S = 8, PLAIN_CODE = 250 };

static const struct escape_attempt *const tables[] = { escape_addresses, escape_packets,
                                                       escape_sockets,   escape_processes,
                                                       escape_signals,   escape_mounts,
                                                       escape_kernel,    escape_files };
#define TABLES (sizeof tables / sizeof *tables)

/* errno values above 127 are rare, and an exit status has 8 bits: the result goes through a pipe. */
static int attempt(const struct escape_attempt *a, int *ended_by)
{
    int ends[2], result = ESCAPE_NO_PROOF, status = 0;
    *ended_by = 0;
    if (pipe(ends) != 0)
        return errno;
    pid_t pid = fork();
    if (pid < 0)
        return errno;
    if (pid == 0) {
        close(ends[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        alarm(DEADLINE_S);
        result = a->make(a->arg);
        ssize_t n = write(ends[1], &result, sizeof result);
        _exit(n == (ssize_t)sizeof result ? 0 : PLAIN_CODE);
    }
    close(ends[1]);
    ssize_t n;
    do
        n = read(ends[0], &result, sizeof result);
    while (n < 0 && errno == EINTR);
    close(ends[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (n != (ssize_t)sizeof result)
        *ended_by = WIFSIGNALED(status) ? WTERMSIG(status) : SIGKILL;
    return result;
}

static bool chosen(const char *name, char **names)
{
    if (!*names)
        return true;
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

static void print(const struct escape_attempt *a, int result, int ended_by)
{
    if (ended_by)
        printf("%s\tended\tsignal %d\n", a->name, ended_by);
    else if (result == ESCAPE_OUT)
        printf("%s\tout\t%s\n", a->name, a->what);
    else if (result == ESCAPE_NO_TARGET)
        printf("%s\tnone\tthere is no such target\n", a->name);
    else if (result == ESCAPE_NO_PROOF)
        printf("%s\tin\tno answer of the target\n", a->name);
    else
        printf("%s\tin\t%s\n", a->name, strerror(result));
    fflush(stdout);
}

/* ---- what is ended while it is busy ---- */

static void heed_nothing(void)
{
    for (int s = 1; s < NSIG; s++)
        signal(s, s == SIGCHLD ? SIG_DFL : SIG_IGN);
}

/* Whoever listens there knows whether one came through. */
static void try_once(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)to, sizeof *to) == 0)
        (void)send(fd, "out\n", 4, MSG_NOSIGNAL);
    if (fd >= 0)
        close(fd);
}

static int hammer(int argc, char **argv)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    int ends[2], n = argc > 2 ? atoi(argv[2]) : 1;
    char byte = 'x';
    if (argc < 2 || inet_pton(AF_INET, argv[0], &to.sin_addr) != 1 || pipe2(ends, O_CLOEXEC) < 0)
        return 2;
    to.sin_port = htons((uint16_t)atoi(argv[1]));
    for (int i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid < 0)
            return 1;
        if (pid > 0)
            continue;
        setsid();
        heed_nothing();
        try_once(&to);
        if (write(ends[1], &byte, 1) != 1)
            _exit(1);
        for (;;)
            try_once(&to);
    }
    for (int i = 0; i < n; i++)
        if (read(ends[0], &byte, 1) != 1)
            return 1;
    printf("up\n");
    fflush(stdout);
    for (;;)
        pause();
}

/* Numbers change all the time: whoever ends them by list never has the whole of it. */
static _Noreturn void multiply(void)
{
    setsid();
    heed_nothing();
    signal(SIGCHLD, SIG_IGN); /* and none is left to be waited for */
    for (unsigned i = 0;; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            setsid();
            i = (unsigned)getpid();
        } else if (pid < 0 && i % 3 == 0) {
            _exit(0);
        }
    }
}

static int bomb(const char *ms)
{
    const long left = ms ? atol(ms) : -1;
    struct timespec end = { .tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000 };
    heed_nothing();
    signal(SIGTERM, SIG_DFL);
    for (unsigned i = 0; i < 4; i++)
        if (fork() == 0)
            multiply();
    pid_t pid;
    while ((pid = fork()) >= 0) { /* until there is no room */
        if (pid == 0)
            multiply();
    }
    printf("up\n");
    fflush(stdout);
    if (ms && nanosleep(&end, NULL) == 0)
        return 7;
    for (;;)
        pause();
}

/* Where one connection is let through: the proxy's own listener. */
static void tell_proxy(void)
{
    char line[64];
    const char *proxy = getenv("HTTPS_PROXY");
    const char *port = proxy ? strrchr(proxy, ':') : NULL;
    if (!port)
        return;
    snprintf(line, sizeof line, "allowed_port=%u", (unsigned)strtoul(port + 1, NULL, 10));
    escape_tell(line);
}

static int run(char **names)
{
    static char line[8192];
    unsigned count = 0;
    tell_proxy();
    printf(
        "up\n"); /* by now all processes of the sandbox are there, and their numbers can be told */
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) && line[0] != '\n') {
        line[strcspn(line, "\n")] = '\0';
        escape_tell(line);
    }
    signal(SIGTTOU, SIG_IGN); /* a background job of the terminal, when there is one */
    signal(SIGTTIN, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < TABLES; i++)
        for (const struct escape_attempt *a = tables[i]; a->name; a++) {
            int ended_by, result;
            if (!chosen(a->name, names))
                continue;
            result = attempt(a, &ended_by);
            print(a, result, ended_by);
            count++;
        }
    printf("done %u\n", count);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "run") == 0)
        return run(argv + 2);
    if (strcmp(what, "victim") == 0 && argc >= 3)
        escape_victim(atoi(argv[2]), argc > 3);
    if (strcmp(what, "guest") == 0)
        escape_guest();
    if (strcmp(what, "hammer") == 0)
        return hammer(argc - 2, argv + 2);
    if (strcmp(what, "bomb") == 0)
        return bomb(argc > 2 ? argv[2] : NULL);
    if (strcmp(what, "raw") == 0)
        return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) < 0;
    if (strcmp(what, "list") != 0) {
        fprintf(stderr,
                "usage: escape run [NAME...] | list | victim FD [things] | guest | hammer ADDRESS "
                "PORT [N] | bomb [MS] | raw\n");
        return 2;
    }
    for (size_t i = 0; i < TABLES; i++)
        for (const struct escape_attempt *a = tables[i]; a->name; a++)
            printf("%s\t%s\n", a->name, a->what);
    return 0;
}
