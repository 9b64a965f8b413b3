/* supervised.c - the two processes of supervised.h. */
#include "support/supervised.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch/broker.h"

enum { NOBODY = 65534 };

struct eg_supervised eg_supervised;

int eg_supervised_listen(int domain, uint16_t *port)
{
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr *at = domain == AF_INET ? (struct sockaddr *)&four : (struct sockaddr *)&six;
    socklen_t n = domain == AF_INET ? sizeof four : sizeof six;
    int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, at, n) < 0 || listen(fd, 8) < 0 || getsockname(fd, at, &n) < 0)
        return -1;
    *port = ntohs(domain == AF_INET ? four.sin_port : six.sin6_port);
    return fd;
}

void eg_supervised_open(void)
{
    eg_supervised.proxy_fd = eg_supervised_listen(AF_INET, &eg_supervised.proxy);
    eg_supervised.other_fd = eg_supervised_listen(AF_INET, &eg_supervised.other);
    cr_assert(eg_supervised.proxy_fd >= 0 && eg_supervised.other_fd >= 0);
    cr_assert_eq(fcntl(eg_supervised.other_fd, F_SETFL, O_NONBLOCK), 0);
    eg_supervised.socket_count = 0;
    eg_supervised.namespaces = false;
}

/* A test that fails leaves nobody behind. */
pid_t eg_supervised_fork(void)
{
    pid_t pid = fork();
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    return pid;
}

static void as_user(void)
{
    if (geteuid() == 0 && (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
        _exit(120);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* a change of user forgets it */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static _Noreturn void tried(int (*attempt)(void), int report)
{
    const struct eg_seccomp_rules rules = { .alone = !eg_supervised.namespaces,
                                            .sockets = eg_supervised.socket_count > 0 };
    struct eg_err err = { 0 };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        eg_command_supervise(&rules, report, &err) != EG_OK)
        _exit(121);
    close(report);
    _exit(attempt());
}

/* Serves until the one that tries has ended; its exit status. */
static int serve(struct eg_broker *b, pid_t pid)
{
    struct pollfd p = { .fd = eg_broker_fd(b), .events = POLLIN };
    int status;
    for (;;) {
        bool there = eg_broker_turn(b);
        if (waitpid(pid, &status, there ? WNOHANG : 0) == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        poll(&p, 1, 50);
    }
}

static _Noreturn void supervise(int (*attempt)(void))
{
    struct eg_plan plan = { .enforcement = eg_supervised.namespaces ? EG_ENFORCE_NAMESPACES : EG_ENFORCE_SECCOMP,
                            .port = eg_supervised.proxy,
                            .sockets = eg_supervised.sockets,
                            .socket_count = eg_supervised.socket_count };
    struct eg_broker *b = NULL;
    struct eg_report said;
    struct eg_err err = { 0 };
    int ends[2];
    memcpy(plan.socket_fds, eg_supervised.socket_fds, sizeof eg_supervised.socket_fds);
    as_user();
    eg_supervised.outside = getpid(); /* the one that answers is outside too */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        _exit(122);
    pid_t pid = eg_supervised_fork();
    if (pid == 0) {
        close(ends[0]);
        tried(attempt, ends[1]);
    }
    close(ends[1]);
    if (eg_command_listener(&plan, ends[0], &said, &b, &err) != EG_OK)
        _exit(123);
    _exit(serve(b, pid));
}

void eg_supervised_try(int (*attempt)(void))
{
    int status;
    pid_t pid = eg_supervised_fork();
    cr_assert_geq(pid, 0);
    if (pid == 0)
        supervise(attempt);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EG_SUPERVISED_SKIP)
        cr_skip_test("not on this system");
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s %d",
              WIFEXITED(status) ? "line or errno" : "signal",
              WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

int eg_supervised_to4(int fd, const char *address, uint16_t port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
    inet_pton(AF_INET, address, &at.sin_addr);
    return connect(fd, (const struct sockaddr *)&at, sizeof at) < 0 ? errno : 0;
}

int eg_supervised_to6(int fd, const char *address, uint16_t port)
{
    struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    inet_pton(AF_INET6, address, &at.sin6_addr);
    return connect(fd, (const struct sockaddr *)&at, sizeof at) < 0 ? errno : 0;
}

int eg_supervised_fresh4(const char *address, uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int sys = fd < 0 ? errno : eg_supervised_to4(fd, address, port);
    close(fd);
    return sys;
}

int eg_supervised_fresh6(const char *address, uint16_t port)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int sys = fd < 0 ? errno : eg_supervised_to6(fd, address, port);
    close(fd);
    return sys;
}
