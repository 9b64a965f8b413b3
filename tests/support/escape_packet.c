/* escape_packet.c - attempts below and beside TCP and UDP: echo, raw and packet sockets, io_uring, whose operations no system call filter sees; and to be reached from outside. */
#include "support/escape.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int ping_by(const char *at, int type)
{
    union escape_address to;
    socklen_t n;
    char answer[512];
    char host[160];
    snprintf(host, sizeof host, "%s 1", at);
    ESCAPE_WHERE(host, to, n);
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
    union escape_address to;
    socklen_t n;
    ESCAPE_WHERE(at, to, n);
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
    union escape_address to;
    socklen_t n;
    struct ring r;
    ESCAPE_WHERE(at, to, n);
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
    return rc < 0 ? (int)-rc : escape_ask(fd);
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
    union escape_address at = { .in6 = { .sin6_family = six ? AF_INET6 : AF_INET } };
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

const struct escape_attempt escape_packets[] = {
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
