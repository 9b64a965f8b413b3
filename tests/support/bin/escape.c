/* escape.c - makes the attempts of support/escape.h, one process each, and prints "NAME<TAB>out|in|none|ended<TAB>DETAIL":
 *   escape run [NAME...]      targets come on stdin as name=value lines, up to an empty one; the last line is "done N"
 *   escape list               "NAME<TAB>WHAT" for every row
 *   escape victim FD          what the attempts on processes are aimed at: holds the proof in its environment, its memory and that descriptor
 *   escape guest              a process in user and network namespaces of its own
 *   escape raw                succeeds where it may make a raw socket
 * An attempt that is not over in time is ended: it did not get out. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/escape.h"

enum { DEADLINE_S = 8, PLAIN_CODE = 250 };

static const struct escape_attempt *const tables[] = { escape_addresses, escape_sockets,
                                                       escape_processes, escape_kernel,
                                                       escape_files };
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
    if (strcmp(what, "victim") == 0 && argc == 3)
        escape_victim(atoi(argv[2]));
    if (strcmp(what, "guest") == 0)
        escape_guest();
    if (strcmp(what, "raw") == 0)
        return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) < 0;
    if (strcmp(what, "list") != 0) {
        fprintf(stderr, "usage: escape run [NAME...] | list | victim FD | guest | raw\n");
        return 2;
    }
    for (size_t i = 0; i < TABLES; i++)
        for (const struct escape_attempt *a = tables[i]; a->name; a++)
            printf("%s\t%s\n", a->name, a->what);
    return 0;
}
