/* escape_net.c - attempts to speak to an address: of this machine, of another host, by every protocol that has a socket, and to be spoken to. A target answers what comes with the proof. */
#include "support/escape.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/icmp6.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/io_uring.h>

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/* "ADDRESS PORT", the address a literal (with %zone) or a target's name, the port a target's name or a number. */
static bool where(const char *text, union address *to, socklen_t *n)
{
    char host[128], port[64], zone[32] = "";
    memset(to, 0, sizeof *to);
    if (sscanf(text, "%127s %63s", host, port) != 2)
        return false;
    if (escape_target(host))
        snprintf(host, sizeof host, "%s", escape_target(host));
    long number = escape_number(port) > 0 ? escape_number(port) : strtol(port, NULL, 10);
    char *percent = strchr(host, '%');
    if (percent) {
        snprintf(zone, sizeof zone, "%s", percent + 1);
        *percent = '\0';
    }
    if (number <= 0)
        return false;
    if (strchr(host, ':')) {
        to->in6.sin6_family = AF_INET6;
        to->in6.sin6_port = htons((uint16_t)number);
        to->in6.sin6_scope_id = *zone ? if_nametoindex(zone) : 0;
        *n = sizeof to->in6;
        return inet_pton(AF_INET6, host, &to->in6.sin6_addr) == 1;
    }
    to->in.sin_family = AF_INET;
    to->in.sin_port = htons((uint16_t)number);
    *n = sizeof to->in;
    return inet_pton(AF_INET, host, &to->in.sin_addr) == 1;
}

#define WHERE(text, to, n)                                                                         \
    if (!where(text, &(to), &(n)))                                                                 \
    return ESCAPE_NO_TARGET

static int ask(int fd)
{
    if (send(fd, "ask\n", 4, MSG_NOSIGNAL) < 0)
        return errno;
    return escape_expect_proof(fd);
}

static int connect_by(const char *at, int type, int protocol)
{
    union address to;
    socklen_t n;
    WHERE(at, to, n);
    int fd = socket(to.any.sa_family, type, protocol);
    if (fd < 0)
        return errno;
    return connect(fd, &to.any, n) < 0 ? errno : ask(fd);
}

static int tcp(const char *at)
{
    return connect_by(at, SOCK_STREAM, 0);
}

static int mptcp(const char *at)
{
    return connect_by(at, SOCK_STREAM, IPPROTO_MPTCP);
}

static int sctp(const char *at)
{
    return connect_by(at, SOCK_STREAM, IPPROTO_SCTP);
}

static int udp(const char *at)
{
    return connect_by(at, SOCK_DGRAM, 0);
}

/* SMC speaks TCP where it can't do better. */
static int smc(const char *at)
{
    union address to;
    socklen_t n;
    WHERE(at, to, n);
    int fd = socket(AF_SMC, SOCK_STREAM, 0);
    if (fd < 0)
        return errno;
    return connect(fd, &to.any, n) < 0 ? errno : ask(fd);
}

static int tcp_nonblocking(const char *at)
{
    union address to;
    socklen_t n;
    int sys = 0;
    socklen_t size = sizeof sys;
    WHERE(at, to, n);
    int fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    if (fd < 0)
        return errno;
    if (connect(fd, &to.any, n) < 0 && errno != EINPROGRESS)
        return errno;
    if (poll(&p, 1, ESCAPE_WAIT_MS) != 1)
        return ETIMEDOUT;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &sys, &size) < 0 || sys)
        return sys ? sys : errno;
    return ask(fd);
}

static int fastopen_sendto(const char *at)
{
    union address to;
    socklen_t n;
    WHERE(at, to, n);
    int fd = socket(to.any.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        return errno;
    if (sendto(fd, "ask\n", 4, MSG_FASTOPEN | MSG_NOSIGNAL, &to.any, n) < 0)
        return errno;
    return escape_expect_proof(fd);
}

static int send_messages(const char *at, int type, int flags, bool many)
{
    union address to;
    socklen_t n;
    char text[] = "ask\n";
    struct iovec data = { text, 4 };
    WHERE(at, to, n);
    struct mmsghdr m = {
        .msg_hdr = { .msg_name = &to, .msg_namelen = n, .msg_iov = &data, .msg_iovlen = 1 }
    };
    int fd = socket(to.any.sa_family, type, 0);
    if (fd < 0)
        return errno;
    long rc = many ? sendmmsg(fd, &m, 1, flags) : sendmsg(fd, &m.msg_hdr, flags);
    return rc < 0 ? errno : escape_expect_proof(fd);
}

static int fastopen_sendmsg(const char *at)
{
    return send_messages(at, SOCK_STREAM, MSG_FASTOPEN | MSG_NOSIGNAL, false);
}

static int fastopen_sendmmsg(const char *at)
{
    return send_messages(at, SOCK_STREAM, MSG_FASTOPEN | MSG_NOSIGNAL, true);
}

static int udp_sendmsg(const char *at)
{
    return send_messages(at, SOCK_DGRAM, 0, false);
}

static int udp_sendmmsg(const char *at)
{
    return send_messages(at, SOCK_DGRAM, 0, true);
}

static int fastopen_connect(const char *at)
{
    union address to;
    socklen_t n;
    const int on = 1;
    WHERE(at, to, n);
    int fd = socket(to.any.sa_family, SOCK_STREAM, 0);
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on) < 0 ||
        connect(fd, &to.any, n) < 0)
        return errno;
    return ask(fd);
}

/* A socket that was let through once, taken apart and connected anew. */
static int reconnect(const char *at)
{
    union address to, first;
    socklen_t n, n_first;
    const struct sockaddr none = { .sa_family = AF_UNSPEC };
    WHERE(at, to, n);
    WHERE("127.0.0.1 allowed_port", first, n_first);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, &first.any, n_first) < 0 || connect(fd, &none, sizeof none) < 0 ||
        connect(fd, &to.any, n) < 0)
        return errno;
    return ask(fd);
}

/* The source is what a broker may have tied a socket to. */
static int bound_to(const char *at)
{
    char device[32], rest[128];
    union address to;
    socklen_t n;
    if (sscanf(at, "%31s %127[^\n]", device, rest) != 2)
        return ESCAPE_NO_TARGET;
    WHERE(rest, to, n);
    const char *name = strcmp(device, "none") == 0 ? "" : escape_target(device);
    if (!name)
        return ESCAPE_NO_TARGET;
    int fd = socket(to.any.sa_family, SOCK_STREAM, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name)) < 0 ||
        connect(fd, &to.any, n) < 0)
        return errno;
    return ask(fd);
}

static int udp_broadcast(const char *at)
{
    union address to;
    socklen_t n;
    const int on = 1;
    const char *device = escape_target("device");
    WHERE(at, to, n);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) < 0)
        return errno;
    if (device &&
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)) < 0 &&
        errno != ENODEV)
        return errno;
    if (sendto(fd, "ask\n", 4, 0, &to.any, n) < 0)
        return errno;
    return escape_expect_proof(fd);
}

/* A question for the A record of escape-proof.test: any answer repeats it. */
static int dns_by(const char *at, int type)
{
    static const unsigned char question[] = "\0\x23"
                                            "E1\1\0\0\1\0\0\0\0\0\0"
                                            "\xc" ESCAPE_PROOF "\4test\0"
                                            "\0\1\0\1";
    const size_t size = sizeof question - 1;
    union address to;
    socklen_t n;
    WHERE(at, to, n);
    int fd = socket(to.any.sa_family, type, 0);
    if (fd < 0 || connect(fd, &to.any, n) < 0)
        return errno;
    bool stream = type == SOCK_STREAM;
    if (send(fd, question + (stream ? 0 : 2), size - (stream ? 0 : 2), MSG_NOSIGNAL) < 0)
        return errno;
    return escape_expect_proof(fd);
}

static int dns_udp(const char *at)
{
    return dns_by(at, SOCK_DGRAM);
}

static int dns_tcp(const char *at)
{
    return dns_by(at, SOCK_STREAM);
}

/* As any program does it; the answer of a resolver of the sandbox's own is another. */
static int resolver(const char *target)
{
    const char *name = escape_target(target);
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
    if (!name)
        return ESCAPE_NO_TARGET;
    int rc = getaddrinfo(name, "80", &hints, &list);
    if (rc != 0)
        return rc == EAI_SYSTEM ? errno : rc == EAI_AGAIN ? EAGAIN : ENOENT;
    char text[64] = "";
    getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(list);
    const char *real = escape_target("name_address");
    return real && strcmp(text, real) == 0 ? ESCAPE_OUT : ESCAPE_NO_PROOF;
}

/* ---- below TCP and UDP ---- */

static int ping_by(const char *at, int type)
{
    union address to;
    socklen_t n;
    char answer[512];
    char host[160];
    snprintf(host, sizeof host, "%s 1", at);
    WHERE(host, to, n);
    bool six = to.any.sa_family == AF_INET6;
    int fd = socket(to.any.sa_family, type, six ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    struct {
        struct icmphdr head;
        char proof[16];
    } echo = { .head = { .type = six ? ICMP6_ECHO_REQUEST : ICMP_ECHO,
                         .un.echo = { .id = htons((uint16_t)getpid()) } },
               .proof = ESCAPE_PROOF };
    const uint16_t *word = (const uint16_t *)(const void *)&echo;
    uint32_t sum = 0;
    for (size_t i = 0; i < sizeof echo / 2; i++)
        sum += word[i];
    sum = (sum & 0xffff) + (sum >> 16);
    echo.head.checksum = (uint16_t) ~(sum + (sum >> 16));
    to.in.sin_port = 0;
    if (fd < 0 || sendto(fd, &echo, sizeof echo, 0, &to.any, n) < 0)
        return errno;
    struct pollfd p = { .fd = fd, .events = POLLIN };
    if (poll(&p, 1, ESCAPE_WAIT_MS) != 1)
        return ETIMEDOUT;
    ssize_t k = recv(fd, answer, sizeof answer, 0);
    return k < 0 ? errno : escape_is_proof(answer, (size_t)k);
}

static int ping(const char *at)
{
    return ping_by(at, SOCK_DGRAM);
}

static int raw_icmp(const char *at)
{
    return ping_by(at, SOCK_RAW);
}

/* A UDP packet with a head of our own making; any host could be its sender. */
static int raw_packet(const char *at)
{
    union address to;
    socklen_t n;
    WHERE(at, to, n);
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    struct __attribute__((packed)) {
        unsigned char ip[20];
        uint16_t from, port, length, sum;
        char text[4];
    } packet = { .ip = { 0x45, 0, 0, 0, 0, 0, 0, 0, 64, IPPROTO_UDP },
                 .from = htons(9),
                 .port = to.in.sin_port,
                 .length = htons(12),
                 .text = { 'a', 's', 'k', '\n' } };
    memcpy(packet.ip + 16, &to.in.sin_addr, 4);
    if (fd < 0)
        return errno;
    to.in.sin_port = 0;
    return escape_result(sendto(fd, &packet, sizeof packet, 0, &to.any, n));
}

static int raw6(const char *at)
{
    (void)at;
    return escape_opened(socket(AF_INET6, SOCK_RAW, IPPROTO_UDP));
}

/* Reads what goes over the wire, and writes to it, below every address. */
static int packet(const char *type)
{
    int fd = socket(AF_PACKET, strcmp(type, "raw") == 0 ? SOCK_RAW : SOCK_DGRAM, htons(ETH_P_ALL));
    struct sockaddr_ll to = { .sll_family = AF_PACKET,
                              .sll_protocol = htons(ETH_P_IP),
                              .sll_halen = 6,
                              .sll_addr = { 255, 255, 255, 255, 255, 255 } };
    const char *device = escape_target("device");
    if (fd < 0)
        return errno;
    to.sll_ifindex = device ? (int)if_nametoindex(device) : 0;
    char frame[60] = { 0 };
    return escape_result(sendto(fd, frame, sizeof frame, 0, (struct sockaddr *)&to, sizeof to));
}

/* ---- io_uring: system calls that no filter sees ---- */

struct ring {
    int fd;
    char *submitted, *done;
    struct io_uring_sqe *entries;
    struct io_uring_params p;
};

static int ring_open(struct ring *r)
{
    memset(r, 0, sizeof *r);
    r->fd = (int)syscall(SYS_io_uring_setup, 4, &r->p);
    if (r->fd < 0)
        return errno;
    size_t n = r->p.sq_off.array + r->p.sq_entries * sizeof(unsigned);
    size_t m = r->p.cq_off.cqes + r->p.cq_entries * sizeof(struct io_uring_cqe);
    r->submitted = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQ_RING);
    r->done = mmap(NULL, m, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_CQ_RING);
    r->entries = mmap(NULL, r->p.sq_entries * sizeof *r->entries, PROT_READ | PROT_WRITE,
                      MAP_SHARED, r->fd, IORING_OFF_SQES);
    return r->submitted == MAP_FAILED || r->done == MAP_FAILED || r->entries == MAP_FAILED ? errno
                                                                                           : 0;
}

/* One operation; what the call would have returned, -errno. */
static long ring_do(struct ring *r, const struct io_uring_sqe *what)
{
    unsigned *tail = (unsigned *)(void *)(r->submitted + r->p.sq_off.tail);
    unsigned *array = (unsigned *)(void *)(r->submitted + r->p.sq_off.array);
    const unsigned mask = *(unsigned *)(void *)(r->submitted + r->p.sq_off.ring_mask),
                   at = *tail & mask;
    r->entries[at] = *what;
    array[at] = at;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
        return -errno;
    unsigned *head = (unsigned *)(void *)(r->done + r->p.cq_off.head);
    const unsigned done_mask = *(unsigned *)(void *)(r->done + r->p.cq_off.ring_mask);
    struct io_uring_cqe *all = (struct io_uring_cqe *)(void *)(r->done + r->p.cq_off.cqes);
    long result = all[*head & done_mask].res;
    __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    return result;
}

static int ring_connect(const char *at)
{
    union address to;
    socklen_t n;
    struct ring r;
    WHERE(at, to, n);
    int result = ring_open(&r);
    if (result)
        return result;
    int fd = socket(to.any.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        return errno;
    const struct io_uring_sqe op = {
        .opcode = IORING_OP_CONNECT, .fd = fd, .addr = (uintptr_t)&to, .off = n
    };
    long rc = ring_do(&r, &op);
    return rc < 0 ? (int)-rc : ask(fd);
}

static int ring_socket(const char *arg)
{
    enum { OP_SOCKET = 45 }; /* newer than Debian 12's headers */
    struct ring r;
    (void)arg;
    int result = ring_open(&r);
    if (result)
        return result;
    const struct io_uring_sqe op = { .opcode = OP_SOCKET, .fd = AF_UNIX, .off = SOCK_STREAM };
    long rc = ring_do(&r, &op);
    return rc < 0 ? (int)-rc : ESCAPE_OUT;
}

/* ---- the other way: to be reached from outside ---- */

/* Tells the port on a pipe to somebody on another host, who then comes or says that it can't. */
static int inbound(const char *kind)
{
    const bool six = strchr(kind, '6') != NULL, stream = kind[0] == 't';
    union address at = { .in6 = { .sin6_family = six ? AF_INET6 : AF_INET } };
    socklen_t n = six ? sizeof at.in6 : sizeof at.in;
    char line[64], word[16];
    const char *calls = escape_target("calls"), *answers = escape_target("answers");
    int out = calls ? open(calls, O_WRONLY) : -1;
    int in = answers ? open(answers, O_RDONLY | O_NONBLOCK) : -1;
    if (out < 0 || in < 0)
        return calls && answers ? errno : ESCAPE_NO_TARGET;
    int fd = socket(at.any.sa_family, stream ? SOCK_STREAM : SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, &at.any, n) < 0 || (stream && listen(fd, 4) < 0) ||
        getsockname(fd, &at.any, &n) < 0)
        return errno;
    int k = snprintf(line, sizeof line, "%s %u\n", kind, ntohs(at.in.sin_port));
    if (write(out, line, (size_t)k) != k)
        return errno;
    struct pollfd p = { .fd = in, .events = POLLIN };
    do /* nobody holds the other end before it is opened to answer */
        (void)poll(&p, 1, ESCAPE_WAIT_MS);
    while (read(in, word, sizeof word) < 0 && errno == EAGAIN);
    p.fd = fd;
    return poll(&p, 1, 0) == 1 ? ESCAPE_OUT : ESCAPE_NO_PROOF;
}

const struct escape_attempt escape_addresses[] = {
    { "net.tcp4-loopback", "TCP to a server on this machine's 127.0.0.1", tcp, "127.0.0.1 port" },
    { "net.tcp4-loopback-2", "TCP to a server on this machine's 127.0.0.2", tcp, "127.0.0.2 port" },
    { "net.tcp4-any", "TCP to 0.0.0.0, which means this machine", tcp, "0.0.0.0 port" },
    { "net.tcp6-loopback", "TCP to a server on this machine's ::1", tcp, "::1 port" },
    { "net.tcp6-any", "TCP to ::, which means this machine", tcp, ":: port" },
    { "net.tcp6-mapped", "TCP to ::ffff:127.0.0.1 from an IPv6 socket", tcp,
      "::ffff:127.0.0.1 port" },
    { "net.tcp4-own", "TCP to this machine's outer IPv4 address", tcp, "own4 port" },
    { "net.tcp6-own", "TCP to this machine's outer IPv6 address", tcp, "own6 port" },
    { "net.tcp4-host", "TCP to another host, IPv4", tcp, "host4 host_port" },
    { "net.tcp6-host", "TCP to another host, IPv6", tcp, "host6 host_port" },
    { "net.tcp6-mapped-host", "TCP to another host's mapped address", tcp, "mapped host_port" },
    { "net.tcp6-link-local", "TCP to a neighbour's link-local address", tcp, "link6 host_port" },
    { "net.tcp4-private", "TCP to a private range", tcp, "private4 host_port" },
    { "net.tcp4-metadata", "TCP to 169.254.169.254, the cloud's metadata", tcp,
      "169.254.169.254 host_port" },
    { "net.tcp4-nonblocking", "a TCP connect that does not wait", tcp_nonblocking,
      "host4 host_port" },
    { "net.tcp4-loopback-nonblocking", "the same to this machine", tcp_nonblocking,
      "127.0.0.1 port" },
    { "net.tcp-reconnect", "the proxy's connection taken apart and led elsewhere", reconnect,
      "127.0.0.1 port" },
    { "net.tcp-reconnect-host", "the same to another host", reconnect, "host4 host_port" },
    { "net.tcp-device", "TCP from a socket tied to the outer device", bound_to,
      "device host4 host_port" },
    { "net.tcp-no-device", "TCP from a socket tied to no device", bound_to,
      "none host4 host_port" },
    { "net.fastopen-sendto", "TCP Fast Open: sendto connects", fastopen_sendto, "127.0.0.1 port" },
    { "net.fastopen-sendto-host", "TCP Fast Open to another host", fastopen_sendto,
      "host4 host_port" },
    { "net.fastopen-sendto-6", "TCP Fast Open to another host, IPv6", fastopen_sendto,
      "host6 host_port" },
    { "net.fastopen-sendmsg", "TCP Fast Open: sendmsg connects", fastopen_sendmsg,
      "host4 host_port" },
    { "net.fastopen-sendmmsg", "TCP Fast Open: sendmmsg connects", fastopen_sendmmsg,
      "host4 host_port" },
    { "net.fastopen-connect", "TCP Fast Open by socket option", fastopen_connect,
      "host4 host_port" },
    { "net.mptcp", "Multipath TCP to this machine", mptcp, "127.0.0.1 port" },
    { "net.mptcp-host", "Multipath TCP to another host", mptcp, "host4 host_port" },
    { "net.sctp", "SCTP to this machine", sctp, "127.0.0.1 port" },
    { "net.smc", "SMC, which falls back to TCP", smc, "127.0.0.1 port" },
    { "net.udp4-loopback", "UDP to this machine", udp, "127.0.0.1 port" },
    { "net.udp6-loopback", "UDP to this machine's ::1", udp, "::1 port" },
    { "net.udp4-host", "UDP to another host", udp, "host4 host_port" },
    { "net.udp6-host", "UDP to another host, IPv6", udp, "host6 host_port" },
    { "net.udp-sendmsg", "UDP by sendmsg, never connected", udp_sendmsg, "host4 host_port" },
    { "net.udp-sendmmsg", "UDP by sendmmsg", udp_sendmmsg, "host4 host_port" },
    { "net.udp-multicast", "a multicast group of the wire", udp_broadcast,
      "224.0.0.251 host_port" },
    { "net.udp-broadcast", "a broadcast on the wire", udp_broadcast, "255.255.255.255 host_port" },
    { "net.dns-udp", "DNS by UDP to another host", dns_udp, "host4 53" },
    { "net.dns-tcp", "DNS by TCP to another host", dns_tcp, "host4 53" },
    { "net.dns-udp6", "DNS by UDP over IPv6", dns_udp, "host6 53" },
    { "net.dns-local", "DNS to this machine's resolver", dns_udp, "127.0.0.53 53" },
    { "net.resolver", "a name by getaddrinfo", resolver, "name" },
    { "net.ping4", "ICMP echo from a ping socket", ping, "host4" },
    { "net.ping6", "ICMPv6 echo from a ping socket", ping, "host6" },
    { "net.raw-icmp", "ICMP echo from a raw socket", raw_icmp, "host4" },
    { "net.raw-ip", "an IP packet of one's own making", raw_packet, "host4 host_port" },
    { "net.raw6", "a raw IPv6 socket", raw6, NULL },
    { "net.packet-raw", "a frame on the wire (AF_PACKET, raw)", packet, "raw" },
    { "net.packet-cooked", "a frame on the wire (AF_PACKET, datagram)", packet, "cooked" },
    { "net.uring-connect", "TCP connect by io_uring", ring_connect, "127.0.0.1 port" },
    { "net.uring-connect-host", "TCP connect to another host by io_uring", ring_connect,
      "host4 host_port" },
    { "net.uring-socket", "a Unix socket made by io_uring", ring_socket, NULL },
    { "net.inbound-tcp4", "a TCP server that another host reaches", inbound, "tcp4" },
    { "net.inbound-tcp6", "a TCP server that another host reaches, IPv6", inbound, "tcp6" },
    { "net.inbound-udp4", "a UDP server that another host reaches", inbound, "udp4" },
    { NULL, NULL, NULL, NULL },
};
