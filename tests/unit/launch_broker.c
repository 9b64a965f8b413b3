/* launch_broker.c - the fallback's sockets and connections, call by call: what is reached, what is not, and what of the call
 * stays as the kernel has it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch/broker.h"
#include "support/supervised.h"

TestSuite(launch_broker, .timeout = 120);

/* ---- where one gets to ---- */

static int reach_proxy(void)
{
    char byte = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    NEED(fd >= 0 && eg_supervised_to4(fd, "127.0.0.1", eg_supervised.proxy) == 0);
    NEED(send(fd, "x", 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, 0) == 1 && byte == 'y');
    NEED(eg_supervised_to4(fd, "127.0.0.1", eg_supervised.proxy) == EISCONN);
    return 0;
}

Test(launch_broker, proxy_is_reached_and_speaks)
{
    eg_supervised_open();
    pid_t pid = eg_supervised_fork();
    if (pid == 0) {
        char byte;
        int fd = accept(eg_supervised.proxy_fd, NULL, NULL);
        _exit(recv(fd, &byte, 1, 0) == 1 && send(fd, "y", 1, MSG_NOSIGNAL) == 1 ? 0 : 1);
    }
    eg_supervised_try(reach_proxy);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static int reach_others(void)
{
    NEED(eg_supervised_fresh4("127.0.0.1", eg_supervised.other) == ECONNREFUSED);
    NEED(eg_supervised_fresh4("127.1.2.3", eg_supervised.proxy) == ECONNREFUSED);
    NEED(eg_supervised_fresh4("0.0.0.0", eg_supervised.other) == ECONNREFUSED);
    NEED(eg_supervised_fresh4("127.0.0.1", 1) == ECONNREFUSED);
    NEED(eg_supervised_fresh4("192.0.2.1", 443) == ENETUNREACH);
    NEED(eg_supervised_fresh4("169.254.169.254", 80) == ENETUNREACH);
    NEED(eg_supervised_fresh4("255.255.255.255", 80) == ENETUNREACH);
    return 0;
}

Test(launch_broker, hosts_loopback_and_other_hosts_are_out_of_reach)
{
    eg_supervised_open();
    eg_supervised_try(reach_others);
    cr_assert_eq(accept(eg_supervised.other_fd, NULL, NULL), -1);
    cr_assert_eq(errno, EAGAIN);
}

static int reach_others6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0)
        return EG_SUPERVISED_SKIP;
    close(fd);
    NEED(eg_supervised_fresh6("::1", eg_supervised.other) == ECONNREFUSED);
    NEED(eg_supervised_fresh6("::", eg_supervised.other) == ECONNREFUSED);
    NEED(eg_supervised_fresh6("::ffff:127.0.0.1", eg_supervised.other) == ECONNREFUSED);
    NEED(eg_supervised_fresh6("::ffff:192.0.2.1", 443) == ENETUNREACH);
    NEED(eg_supervised_fresh6("::127.0.0.1", eg_supervised.other) == ENETUNREACH);
    NEED(eg_supervised_fresh6("2001:db8::1", 443) == ENETUNREACH);
    NEED(eg_supervised_fresh6("fe80::1", 443) == ENETUNREACH);
    NEED(eg_supervised_fresh6("::ffff:127.0.0.1", eg_supervised.proxy) == 0);
    return 0;
}

Test(launch_broker, ipv6_is_judged_too)
{
    eg_supervised_open();
    eg_supervised_try(reach_others6);
    cr_assert_eq(accept(eg_supervised.other_fd, NULL, NULL), -1);
}

static int own_server(int domain)
{
    uint16_t port;
    int server = eg_supervised_listen(domain, &port);
    if (server < 0 && domain == AF_INET6)
        return EG_SUPERVISED_SKIP;
    NEED(server >= 0);
    NEED((domain == AF_INET ? eg_supervised_fresh4("127.0.0.1", port) : eg_supervised_fresh6("::1", port)) == 0);
    int fd = accept(server, NULL, NULL);
    NEED(fd >= 0);
    NEED((domain == AF_INET ? eg_supervised_to4(fd, "127.0.0.1", eg_supervised.proxy) : eg_supervised_to6(fd, "::1", eg_supervised.proxy)) == EISCONN);
    close(server);
    NEED((domain == AF_INET ? eg_supervised_fresh4("127.0.0.1", port) : eg_supervised_fresh6("::1", port)) == ECONNREFUSED);
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
    eg_supervised_open();
    eg_supervised_try(own_server4);
    eg_supervised_try(own_server6);
}

static int many_sockets(void)
{
    uint16_t port;
    int server = eg_supervised_listen(AF_INET, &port);
    NEED(server >= 0);
    for (unsigned i = 0; i < EG_BROKER_MADE + 100; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        NEED(fd >= 0);
        close(fd);
    }
    NEED(eg_supervised_fresh4("127.0.0.1", port) == 0);
    NEED(eg_supervised_fresh4("127.0.0.1", eg_supervised.other) == ECONNREFUSED);
    return 0;
}

Test(launch_broker, a_server_is_known_after_many_other_sockets)
{
    eg_supervised_open();
    eg_supervised_try(many_sockets);
}

/* ---- what connect is given ---- */

static int odd_calls(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(eg_supervised.proxy),
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
    eg_supervised_open();
    eg_supervised_try(odd_calls);
}

static int flags_stay(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    NEED(fd >= 0);
    NEED(fcntl(fd, F_GETFL) & O_NONBLOCK);
    NEED(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    int sys = eg_supervised_to4(fd, "127.0.0.1", eg_supervised.proxy);
    NEED(sys == 0 || sys == EINPROGRESS);
    NEED((fcntl(fd, F_GETFL) & O_NONBLOCK) && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    int plain = socket(AF_INET, SOCK_STREAM, 0);
    NEED(plain >= 0 && eg_supervised_to4(plain, "127.0.0.1", eg_supervised.proxy) == 0);
    NEED(!(fcntl(plain, F_GETFL) & O_NONBLOCK) && fcntl(plain, F_GETFD) == 0);
    return 0;
}

Test(launch_broker, descriptor_keeps_its_flags)
{
    eg_supervised_open();
    eg_supervised_try(flags_stay);
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
    NEED(eg_supervised_to4(fd, "192.0.2.1", 443) == ENETUNREACH);
    NEED(send(fd, "x", 1, MSG_NOSIGNAL) < 0);
    return 0;
}

Test(launch_broker, loopback_device_can_not_be_left)
{
    eg_supervised_open();
    eg_supervised_try(device_stays);
}

static bool still(int fd, int level, int name, int value)
{
    int now = -1;
    socklen_t n = sizeof now;
    return getsockopt(fd, level, name, &now, &n) == 0 && now == value;
}

static void *options_of_a_thread(void *ctx)
{
    const int one = 1, seconds = 77, size = 40000;
    const struct timeval wait = { .tv_sec = 5 };
    struct timeval now = { 0 };
    socklen_t n = sizeof now;
    int fd = socket(AF_INET, SOCK_STREAM, 0), *step = ctx;
    *step = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) < 0)
        return NULL;
    *step = 2;
    if (eg_supervised_to4(fd, "127.0.0.1", eg_supervised.proxy) != 0)
        return NULL;
    *step = 3;
    if (still(fd, SOL_SOCKET, SO_KEEPALIVE, 1) && still(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds) &&
        still(fd, IPPROTO_TCP, TCP_NODELAY, 1) && still(fd, SOL_SOCKET, SO_SNDBUF, 2 * size) &&
        getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &now, &n) == 0 && now.tv_sec == 5)
        *step = 0;
    return NULL;
}

/* By the first thread, and by another one of its process. */
static int options_stay(void)
{
    pthread_t thread;
    int step = 0;
    options_of_a_thread(&step);
    if (step == 0 && pthread_create(&thread, NULL, options_of_a_thread, &step) == 0)
        pthread_join(thread, NULL);
    return step;
}

static bool descriptors_can_be_taken(void)
{
    pid_t pid = eg_supervised_fork();
    if (pid == 0)
        for (;;)
            pause();
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    int fd = process < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, process, 0, 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (process >= 0)
        close(process);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

Test(launch_broker, options_that_were_set_before_stay)
{
    eg_supervised_open();
    if (!descriptors_can_be_taken())
        cr_skip_test("pidfd_getfd is refused here");
    eg_supervised_try(options_stay);
}

static int fast_open(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(eg_supervised.other),
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
    eg_supervised_open();
    eg_supervised_try(fast_open);
    cr_assert_eq(accept(eg_supervised.other_fd, NULL, NULL), -1);
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
    eg_supervised_open();
    eg_supervised_try(other_sockets);
}

/* It does not let the one that answers see what it asks for. */
static int undumpable(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    NEED(fd >= 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
    NEED(eg_supervised_to4(fd, "127.0.0.1", eg_supervised.proxy) == EACCES);
    return 0;
}

Test(launch_broker, undumpable_process_connects_nowhere)
{
    eg_supervised_open();
    eg_supervised_try(undumpable);
}

/* The judged address is the copy: whatever another thread writes over the original. */
static int race_address(void)
{
    struct sockaddr_in *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    NEED(at != MAP_FAILED);
    *at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(eg_supervised.proxy),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    pid_t pid = eg_supervised_fork();
    if (pid == 0)
        for (;;) {
            *(volatile in_port_t *)&at->sin_port = htons(eg_supervised.other);
            *(volatile in_port_t *)&at->sin_port = htons(eg_supervised.proxy);
        }
    unsigned got = 0;
    for (unsigned i = 0; i < 2000; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in peer;
        socklen_t n = sizeof peer;
        if (connect(fd, (struct sockaddr *)at, sizeof *at) == 0 &&
            getpeername(fd, (struct sockaddr *)&peer, &n) == 0 && peer.sin_port == htons(eg_supervised.other))
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
    eg_supervised_open();
    pid_t pid = eg_supervised_fork();
    if (pid == 0) {
        signal(SIGTERM, drain);
        for (;;)
            close(accept(eg_supervised.proxy_fd, NULL, NULL));
    }
    eg_supervised_try(race_address);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    cr_assert_eq(accept(eg_supervised.other_fd, NULL, NULL), -1);
    cr_assert_eq(errno, EAGAIN);
}
