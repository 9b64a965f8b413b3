/* launch_broker.c - the fallback's supervised calls, one by one: a process of an ordinary user under the filter tries, another
 * answers for it as init does. Neither Landlock nor a program is needed for it: what is shown here holds by the filter and the broker. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch/broker.h"

TestSuite(launch_broker, .timeout = 120);

enum { NOBODY = 65534, SKIPPED = 77 };

struct bed { /* shared with the processes that are forked */
    uint16_t proxy, other;  /* ports of 127.0.0.1: ours, and one of the host's that is nobody's business */
    int proxy_fd, other_fd;
    pid_t outside;          /* a process of the same user */
    char *sockets[3];
    int socket_fds[2];
    unsigned socket_count;
    bool namespaces;
};

static struct bed bed;

static int listen_on(int domain, uint16_t *port)
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

static void open_bed(void)
{
    bed.proxy_fd = listen_on(AF_INET, &bed.proxy);
    bed.other_fd = listen_on(AF_INET, &bed.other);
    cr_assert(bed.proxy_fd >= 0 && bed.other_fd >= 0);
    cr_assert_eq(fcntl(bed.other_fd, F_SETFL, O_NONBLOCK), 0);
    bed.socket_count = 0;
    bed.namespaces = false;
}

static void as_user(void)
{
    if (geteuid() == 0 && (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
        _exit(120);
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static _Noreturn void tried(int (*attempt)(void), int report)
{
    const struct eg_seccomp_rules rules = { .alone = !bed.namespaces,
                                            .sockets = bed.socket_count > 0 };
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
    struct eg_plan plan = { .enforcement = bed.namespaces ? EG_ENFORCE_NAMESPACES : EG_ENFORCE_SECCOMP,
                            .port = bed.proxy,
                            .sockets = bed.sockets,
                            .socket_count = bed.socket_count };
    struct eg_broker *b = NULL;
    struct eg_report said;
    struct eg_err err = { 0 };
    int ends[2];
    memcpy(plan.socket_fds, bed.socket_fds, sizeof bed.socket_fds);
    as_user();
    bed.outside = getpid(); /* the one that answers is outside too */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        _exit(122);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        tried(attempt, ends[1]);
    }
    close(ends[1]);
    if (eg_command_listener(&plan, ends[0], &said, &b, &err) != EG_OK)
        _exit(123);
    _exit(serve(b, pid));
}

static void check(int (*attempt)(void))
{
    int status;
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0)
        supervise(attempt);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
        cr_skip_test("not on this system");
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s %d",
              WIFEXITED(status) ? "line or errno" : "signal",
              WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

/* In the process that tries: its exit status is what went wrong, the line modulo 100. */
#define NEED(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            dprintf(2, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);           \
            return __LINE__ % 100 + 1 == SKIPPED ? 1 : __LINE__ % 100 + 1;                         \
        }                                                                                          \
    } while (0)

static int to4(int fd, const char *address, uint16_t port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
    inet_pton(AF_INET, address, &at.sin_addr);
    return connect(fd, (const struct sockaddr *)&at, sizeof at) < 0 ? errno : 0;
}

static int to6(int fd, const char *address, uint16_t port)
{
    struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    inet_pton(AF_INET6, address, &at.sin6_addr);
    return connect(fd, (const struct sockaddr *)&at, sizeof at) < 0 ? errno : 0;
}

static int fresh4(const char *address, uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int sys = fd < 0 ? errno : to4(fd, address, port);
    close(fd);
    return sys;
}

static int fresh6(const char *address, uint16_t port)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int sys = fd < 0 ? errno : to6(fd, address, port);
    close(fd);
    return sys;
}

/* ---- where one gets to ---- */

static int reach_proxy(void)
{
    char byte = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    NEED(fd >= 0 && to4(fd, "127.0.0.1", bed.proxy) == 0);
    NEED(send(fd, "x", 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, 0) == 1 && byte == 'y');
    NEED(to4(fd, "127.0.0.1", bed.proxy) == EISCONN);
    return 0;
}

Test(launch_broker, proxy_is_reached_and_speaks)
{
    open_bed();
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        int fd = accept(bed.proxy_fd, NULL, NULL);
        _exit(recv(fd, &byte, 1, 0) == 1 && send(fd, "y", 1, MSG_NOSIGNAL) == 1 ? 0 : 1);
    }
    check(reach_proxy);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static int reach_others(void)
{
    NEED(fresh4("127.0.0.1", bed.other) == ECONNREFUSED);
    NEED(fresh4("127.1.2.3", bed.proxy) == ECONNREFUSED);
    NEED(fresh4("0.0.0.0", bed.other) == ECONNREFUSED);
    NEED(fresh4("127.0.0.1", 1) == ECONNREFUSED);
    NEED(fresh4("192.0.2.1", 443) == ENETUNREACH);
    NEED(fresh4("169.254.169.254", 80) == ENETUNREACH);
    NEED(fresh4("255.255.255.255", 80) == ENETUNREACH);
    return 0;
}

Test(launch_broker, hosts_loopback_and_other_hosts_are_out_of_reach)
{
    open_bed();
    check(reach_others);
    cr_assert_eq(accept(bed.other_fd, NULL, NULL), -1);
    cr_assert_eq(errno, EAGAIN);
}

static int reach_others6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0)
        return SKIPPED;
    close(fd);
    NEED(fresh6("::1", bed.other) == ECONNREFUSED);
    NEED(fresh6("::", bed.other) == ECONNREFUSED);
    NEED(fresh6("::ffff:127.0.0.1", bed.other) == ECONNREFUSED);
    NEED(fresh6("::ffff:192.0.2.1", 443) == ENETUNREACH);
    NEED(fresh6("::127.0.0.1", bed.other) == ENETUNREACH);
    NEED(fresh6("2001:db8::1", 443) == ENETUNREACH);
    NEED(fresh6("fe80::1", 443) == ENETUNREACH);
    NEED(fresh6("::ffff:127.0.0.1", bed.proxy) == 0);
    return 0;
}

Test(launch_broker, ipv6_is_judged_too)
{
    open_bed();
    check(reach_others6);
    cr_assert_eq(accept(bed.other_fd, NULL, NULL), -1);
}

static int own_server(int domain)
{
    uint16_t port;
    int server = listen_on(domain, &port);
    if (server < 0 && domain == AF_INET6)
        return SKIPPED;
    NEED(server >= 0);
    NEED((domain == AF_INET ? fresh4("127.0.0.1", port) : fresh6("::1", port)) == 0);
    int fd = accept(server, NULL, NULL);
    NEED(fd >= 0);
    NEED((domain == AF_INET ? to4(fd, "127.0.0.1", bed.proxy) : to6(fd, "::1", bed.proxy)) == EISCONN);
    close(server);
    NEED((domain == AF_INET ? fresh4("127.0.0.1", port) : fresh6("::1", port)) == ECONNREFUSED);
    return 0;
}

static int own_server4(void)
{
    return own_server(AF_INET);
}

static int own_server6(void)
{
    return own_server(AF_INET6);
}

Test(launch_broker, own_servers_are_reached)
{
    open_bed();
    check(own_server4);
    check(own_server6);
}

static int many_sockets(void)
{
    uint16_t port;
    int server = listen_on(AF_INET, &port);
    NEED(server >= 0);
    for (unsigned i = 0; i < EG_BROKER_MADE + 100; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        NEED(fd >= 0);
        close(fd);
    }
    NEED(fresh4("127.0.0.1", port) == 0);
    NEED(fresh4("127.0.0.1", bed.other) == ECONNREFUSED);
    return 0;
}

Test(launch_broker, a_server_is_known_after_many_other_sockets)
{
    open_bed();
    check(many_sockets);
}

/* ---- what connect is given ---- */

static int odd_calls(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(bed.proxy),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "/run/dbus/system_bus_socket" };
    struct sockaddr unspecific = { .sa_family = AF_UNSPEC };
    const struct sockaddr *to = (const struct sockaddr *)&at;
    int fd = socket(AF_INET, SOCK_STREAM, 0), ends[2], null = open("/dev/null", O_RDONLY);
    NEED(fd >= 0 && null >= 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    NEED(connect(fd, to, 1) < 0 && errno == EINVAL);
    NEED(connect(fd, to, 8) < 0 && errno == EINVAL);
    NEED(connect(fd, to, sizeof(struct sockaddr_storage) + 1) < 0 && errno == EINVAL);
    NEED(syscall(SYS_connect, fd, to, -1) < 0 && errno == EINVAL);
    NEED(connect(fd, (const struct sockaddr *)8, sizeof at) < 0 && errno == EFAULT);
    NEED(connect(fd, &unspecific, sizeof unspecific) < 0 && errno == EAFNOSUPPORT);
    NEED(connect(-1, to, sizeof at) < 0 && errno == EBADF);
    NEED(connect(1000, to, sizeof at) < 0 && errno == EBADF);
    NEED(connect(null, to, sizeof at) < 0);
    NEED(connect(ends[0], to, sizeof at) < 0 && errno == EISCONN);
    NEED(connect(ends[0], (struct sockaddr *)&name, sizeof name) < 0 && errno == EACCES);
    NEED(connect(fd, (struct sockaddr *)&name, sizeof name) < 0 && errno == EACCES);
    NEED(write(null, "x", 1) < 0 && errno == EBADF); /* it is what it was */
    NEED(connect(fd, to, sizeof at) == 0);
    return 0;
}

Test(launch_broker, odd_addresses_and_descriptors_fail_as_the_kernel_has_it)
{
    open_bed();
    check(odd_calls);
}

static int flags_stay(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    NEED(fd >= 0);
    NEED(fcntl(fd, F_GETFL) & O_NONBLOCK);
    NEED(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    int sys = to4(fd, "127.0.0.1", bed.proxy);
    NEED(sys == 0 || sys == EINPROGRESS);
    NEED((fcntl(fd, F_GETFL) & O_NONBLOCK) && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    int plain = socket(AF_INET, SOCK_STREAM, 0);
    NEED(plain >= 0 && to4(plain, "127.0.0.1", bed.proxy) == 0);
    NEED(!(fcntl(plain, F_GETFL) & O_NONBLOCK) && fcntl(plain, F_GETFD) == 0);
    return 0;
}

Test(launch_broker, descriptor_keeps_its_flags)
{
    open_bed();
    check(flags_stay);
}

static int device_stays(void)
{
    const int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0), index = 0;
    NEED(fd >= 0);
    NEED(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0) < 0 && errno == EPERM);
    NEED(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 4) < 0);
    NEED(setsockopt(fd, SOL_SOCKET, 62 /* SO_BINDTOIFINDEX */, &index, sizeof index) < 0);
    /* a deferred connect is still a connect */
    NEED(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof one) == 0 || errno == EOPNOTSUPP);
    NEED(to4(fd, "192.0.2.1", 443) == ENETUNREACH);
    NEED(send(fd, "x", 1, MSG_NOSIGNAL) < 0);
    return 0;
}

Test(launch_broker, loopback_device_can_not_be_left)
{
    open_bed();
    check(device_stays);
}

static int fast_open(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(bed.other),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct iovec data = { (char[]){ "x" }, 1 };
    struct mmsghdr m = { .msg_hdr = { .msg_name = &at, .msg_namelen = sizeof at, .msg_iov = &data,
                                      .msg_iovlen = 1 } };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    NEED(fd >= 0);
    NEED(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&at, sizeof at) < 0 && errno == EOPNOTSUPP);
    NEED(sendmsg(fd, &m.msg_hdr, MSG_FASTOPEN | MSG_NOSIGNAL) < 0 && errno == EOPNOTSUPP);
    NEED(sendmmsg(fd, &m, 1, MSG_FASTOPEN) < 0 && errno == EOPNOTSUPP);
    NEED(sendto(fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&at, sizeof at) < 0);
    return 0;
}

Test(launch_broker, data_on_the_first_packet_is_refused)
{
    open_bed();
    check(fast_open);
    cr_assert_eq(accept(bed.other_fd, NULL, NULL), -1);
}

static int other_sockets(void)
{
    NEED(socket(AF_INET, SOCK_DGRAM, 0) < 0 && errno == EACCES);
    NEED(socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDP) < 0 && errno == EACCES);
    NEED(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EACCES);
    NEED(socket(AF_INET, SOCK_STREAM, 262) < 0 && errno == EPROTONOSUPPORT);
    NEED(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP) < 0 && errno == EPROTONOSUPPORT);
    NEED(socket(AF_INET, SOCK_RAW, IPPROTO_TCP) < 0 && errno == EPERM);
    NEED(socket(AF_VSOCK, SOCK_STREAM, 0) < 0 && errno == EAFNOSUPPORT);
    return 0;
}

Test(launch_broker, only_tcp_sockets_are_made)
{
    open_bed();
    check(other_sockets);
}

/* It does not let the one that answers see what it asks for. */
static int undumpable(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    NEED(fd >= 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
    NEED(to4(fd, "127.0.0.1", bed.proxy) == EACCES);
    return 0;
}

Test(launch_broker, undumpable_process_connects_nowhere)
{
    open_bed();
    check(undumpable);
}

/* The judged address is the copy: whatever another thread writes over the original. */
static int race_address(void)
{
    struct sockaddr_in *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    NEED(at != MAP_FAILED);
    *at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(bed.proxy),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    pid_t pid = fork();
    if (pid == 0)
        for (;;) {
            *(volatile in_port_t *)&at->sin_port = htons(bed.other);
            *(volatile in_port_t *)&at->sin_port = htons(bed.proxy);
        }
    unsigned got = 0;
    for (unsigned i = 0; i < 2000; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in peer;
        socklen_t n = sizeof peer;
        if (connect(fd, (struct sockaddr *)at, sizeof *at) == 0 &&
            getpeername(fd, (struct sockaddr *)&peer, &n) == 0 && peer.sin_port == htons(bed.other))
            got++;
        close(fd);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    NEED(got == 0);
    return 0;
}

static void drain(int signal)
{
    (void)signal;
    _exit(0);
}

Test(launch_broker, an_address_that_changes_under_the_judge_leads_nowhere_else)
{
    open_bed();
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGTERM, drain);
        for (;;)
            close(accept(bed.proxy_fd, NULL, NULL));
    }
    check(race_address);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    cr_assert_eq(accept(bed.other_fd, NULL, NULL), -1);
    cr_assert_eq(errno, EAGAIN);
}

/* ---- signals ---- */

static int signal_others(void)
{
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    NEED(kill(bed.outside, 0) < 0 && errno == EPERM);
    NEED(kill(bed.outside, SIGKILL) < 0 && errno == EPERM);
    NEED(syscall(SYS_tgkill, bed.outside, bed.outside, SIGKILL) < 0 && errno == EPERM);
    NEED(syscall(SYS_tkill, bed.outside, SIGKILL) < 0 && errno == EPERM);
    NEED(kill(getppid(), SIGTERM) < 0 && errno == EPERM);
    NEED(kill(1, SIGTERM) < 0);
    NEED(kill(INT32_MAX, 0) < 0 && errno == ESRCH);
    NEED(kill(getpid(), NSIG + 9) < 0 && errno == EINVAL);
    NEED(kill(getpid(), 0) == 0 && raise(SIGCHLD) == 0);
    NEED(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    return 0;
}

Test(launch_broker, signals_reach_descendants_only)
{
    open_bed();
    check(signal_others);
}

static int signal_groups(void)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    /* this group is the one of the process that answers, too: it must not be hit */
    NEED(kill(-1, SIGKILL) == 0 && waitpid(child, &status, 0) == child && WTERMSIG(status) == SIGKILL);
    child = fork();
    if (child == 0) {
        setpgid(0, 0);
        for (;;)
            pause();
    }
    setpgid(child, child);
    NEED(kill(-child, SIGTERM) == 0 && waitpid(child, &status, 0) == child && WTERMSIG(status) == SIGTERM);
    signal(SIGUSR1, SIG_IGN);
    NEED(kill(0, SIGUSR1) == 0);
    return 0;
}

Test(launch_broker, groups_are_their_descendants)
{
    open_bed();
    check(signal_groups);
}

static int abort_self(void)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        abort();
    NEED(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    return 0;
}

Test(launch_broker, abort_is_an_abort)
{
    open_bed();
    check(abort_self);
}

static int reach_by_other_ways(void)
{
    struct f_owner_ex { int type, pid; } owner = { 1, bed.outside };
    int fd = socket(AF_INET, SOCK_STREAM, 0), pid = bed.outside;
    NEED(fcntl(fd, F_SETOWN, bed.outside) < 0 && errno == EPERM);
    NEED(fcntl(fd, 15 /* F_SETOWN_EX */, &owner) < 0 && errno == EPERM);
    NEED(fcntl(fd, 10 /* F_SETSIG */, SIGKILL) < 0 && errno == EPERM);
    NEED(ioctl(fd, 0x8901 /* FIOSETOWN */, &pid) < 0 && errno == EPERM);
    NEED(syscall(SYS_prlimit64, bed.outside, 0, NULL, NULL) < 0 && errno == EPERM);
    NEED(syscall(SYS_prlimit64, 0, 0, NULL, NULL) == 0);
    NEED(syscall(SYS_setpriority, 0, bed.outside, 19) < 0 && errno == EPERM);
    NEED(syscall(SYS_setpriority, 2, 0, 19) < 0 && errno == EPERM);
    NEED(syscall(SYS_setpriority, 0, 0, 0) == 0);
    NEED(syscall(SYS_ioprio_set, 1, bed.outside, 3 << 13) < 0 && errno == EPERM);
    NEED(syscall(SYS_ioprio_set, 3, 0, 3 << 13) < 0 && errno == EPERM);
    cpu_set_t one;
    struct sched_param idle = { 0 };
    NEED(sched_getaffinity(0, sizeof one, &one) == 0);
    NEED(sched_setaffinity(bed.outside, sizeof one, &one) < 0 && errno == EPERM);
    NEED(sched_setscheduler(bed.outside, SCHED_IDLE, &idle) < 0 && errno == EPERM);
    NEED(sched_setparam(bed.outside, &idle) < 0 && errno == EPERM);
    NEED(syscall(SYS_sched_setattr, bed.outside, NULL, 0) < 0 && errno == EPERM);
    NEED(sched_setaffinity(getpid(), sizeof one, &one) == 0);
    NEED(syscall(SYS_setpriority, 0, getpid(), 1) == 0);
    NEED(syscall(SYS_prlimit64, getpid(), 0, NULL, NULL) == 0);
    NEED(syscall(SYS_shmget, 0, 4096, 0600) < 0 && errno == EPERM);
    NEED(syscall(SYS_mq_open, "x", O_CREAT | O_RDWR, 0600, NULL) < 0 && errno == EPERM);
    NEED(syscall(SYS_pidfd_send_signal, -1, 0, NULL, 0) < 0 && errno == ENOSYS);
    NEED(syscall(SYS_rt_sigqueueinfo, bed.outside, 0, NULL) < 0 && errno == EPERM);
    NEED(fcntl(fd, F_GETFL) >= 0);
    return 0;
}

Test(launch_broker, no_other_way_to_a_process_of_the_same_user)
{
    open_bed();
    check(reach_by_other_ways);
}

/* ---- sockets by name ---- */

static int named_server(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 4) == 0);
    cr_assert_eq(chmod(path, 0777), 0);
    return fd;
}

static int to_name(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    int sys = fd < 0 ? errno : connect(fd, (struct sockaddr *)&at, sizeof at) < 0 ? errno : 0;
    if (sys == 0 && send(fd, "x", 1, MSG_NOSIGNAL) != 1)
        sys = errno;
    close(fd);
    return sys;
}

static char other_name[80];

static int reach_names(void)
{
    char odd[200];
    NEED(to_name(bed.sockets[0]) == 0);
    NEED(to_name(other_name) == EACCES);
    snprintf(odd, sizeof odd, "/tmp/../%s", bed.sockets[0]);
    NEED(to_name(odd) == EACCES);
    NEED(to_name("") == EACCES);
    NEED(socket(AF_UNIX, SOCK_DGRAM, 0) < 0 && errno == EACCES);
    NEED(socket(AF_UNIX, SOCK_SEQPACKET, 0) < 0 && errno == EACCES);
    struct sockaddr_un own = { .sun_family = AF_UNIX, .sun_path = "" }; /* an abstract name */
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    NEED(fd >= 0 && (bind(fd, (struct sockaddr *)&own, sizeof own.sun_family) < 0 || listen(fd, 1) < 0));
    if (bed.namespaces)
        NEED(fresh4("127.0.0.1", bed.proxy) == 0 && socket(AF_INET, SOCK_DGRAM, 0) >= 0);
    else
        NEED(fresh4("127.0.0.1", bed.other) == ECONNREFUSED);
    return 0;
}

Test(launch_broker, unix_sockets_are_reached_by_their_very_names_only)
{
    char folder[] = "/tmp/egress-broker-XXXXXX", name[64];
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chmod(folder, 0755), 0);
    snprintf(name, sizeof name, "%s/in", folder);
    snprintf(other_name, sizeof other_name, "%s/out", folder);
    int in = named_server(name), out = named_server(other_name);
    open_bed();
    bed.sockets[0] = name;
    bed.socket_fds[0] = open(name, O_PATH | O_CLOEXEC);
    bed.socket_count = 1;
    check(reach_names);
    bed.namespaces = true;
    check(reach_names);
    fcntl(out, F_SETFL, O_NONBLOCK);
    cr_expect_eq(accept(out, NULL, NULL), -1);
    cr_expect_geq(accept(in, NULL, NULL), 0);
    unlink(name);
    unlink(other_name);
    rmdir(folder);
}
