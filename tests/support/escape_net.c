/* escape_net.c - attempts to speak to an address: of this machine, of another host, by TCP, UDP and what looks like them. A target answers what comes with the proof. */
#include "support/escape.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static int connect_by(const char *at, int type, int protocol)
{
    union escape_address to;
    socklen_t n;
    ESCAPE_WHERE(at, to, n);
    int fd = socket(to.any.sa_family, type, protocol);
    if (fd < 0)
        return errno;
    return connect(fd, &to.any, n) < 0 ? errno : escape_ask(fd);
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
    union escape_address to;
    socklen_t n;
    ESCAPE_WHERE(at, to, n);
    int fd = socket(AF_SMC, SOCK_STREAM, 0);
    if (fd < 0)
        return errno;
    return connect(fd, &to.any, n) < 0 ? errno : escape_ask(fd);
}

static int tcp_nonblocking(const char *at)
{
    union escape_address to;
    socklen_t n;
    int sys = 0;
    socklen_t size = sizeof sys;
    ESCAPE_WHERE(at, to, n);
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
    return escape_ask(fd);
}

static int fastopen_sendto(const char *at)
{
    union escape_address to;
    socklen_t n;
    ESCAPE_WHERE(at, to, n);
    int fd = socket(to.any.sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        return errno;
    if (sendto(fd, "ask\n", 4, MSG_FASTOPEN | MSG_NOSIGNAL, &to.any, n) < 0)
        return errno;
    return escape_expect_proof(fd);
}

static int send_messages(const char *at, int type, int flags, bool many)
{
    union escape_address to;
    socklen_t n;
    char text[] = "ask\n";
    struct iovec data = { text, 4 };
    ESCAPE_WHERE(at, to, n);
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
    union escape_address to;
    socklen_t n;
    const int on = 1;
    ESCAPE_WHERE(at, to, n);
    int fd = socket(to.any.sa_family, SOCK_STREAM, 0);
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on) < 0 ||
        connect(fd, &to.any, n) < 0)
        return errno;
    return escape_ask(fd);
}

/* A socket that was let through once, taken apart and connected anew. */
static int reconnect(const char *at)
{
    union escape_address to, first;
    socklen_t n, n_first;
    const struct sockaddr none = { .sa_family = AF_UNSPEC };
    ESCAPE_WHERE(at, to, n);
    ESCAPE_WHERE("127.0.0.1 allowed_port", first, n_first);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, &first.any, n_first) < 0 || connect(fd, &none, sizeof none) < 0 ||
        connect(fd, &to.any, n) < 0)
        return errno;
    return escape_ask(fd);
}

/* The source is what a broker may have tied a socket to. */
static int bound_to(const char *at)
{
    char device[32], rest[128];
    union escape_address to;
    socklen_t n;
    if (sscanf(at, "%31s %127[^\n]", device, rest) != 2)
        return ESCAPE_NO_TARGET;
    ESCAPE_WHERE(rest, to, n);
    const char *name = strcmp(device, "none") == 0 ? "" : escape_target(device);
    if (!name)
        return ESCAPE_NO_TARGET;
    int fd = socket(to.any.sa_family, SOCK_STREAM, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name)) < 0 ||
        connect(fd, &to.any, n) < 0)
        return errno;
    return escape_ask(fd);
}

static int udp_broadcast(const char *at)
{
    union escape_address to;
    socklen_t n;
    const int on = 1;
    const char *device = escape_target("device");
    ESCAPE_WHERE(at, to, n);
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

/* A question for the A record of escape-proof.test. expected: the other host answers with the proof alone; any name server, one of the sandbox's own too, repeats the question. */
static int dns_by(const char *at, int type, const char *expected)
{
    static const unsigned char question[] = "\0\x23"
                                            "E1\1\0\0\1\0\0\0\0\0\0"
                                            "\xc" ESCAPE_PROOF "\4test\0"
                                            "\0\1\0\1";
    const size_t skip = type == SOCK_STREAM ? 0 : 2;
    char answer[512];
    union escape_address to;
    socklen_t n;
    ESCAPE_WHERE(at, to, n);
    int fd = socket(to.any.sa_family, type, 0);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    if (fd < 0 || connect(fd, &to.any, n) < 0 ||
        send(fd, question + skip, sizeof question - 1 - skip, MSG_NOSIGNAL) < 0)
        return errno;
    if (poll(&p, 1, ESCAPE_WAIT_MS) != 1)
        return ETIMEDOUT;
    ssize_t k = recv(fd, answer, sizeof answer, 0);
    if (k < 0)
        return errno;
    return memmem(answer, (size_t)k, expected, strlen(expected)) ? ESCAPE_OUT : ESCAPE_NO_PROOF;
}

static int dns_udp(const char *at)
{
    return dns_by(at, SOCK_DGRAM, ESCAPE_PROOF "\n");
}

static int dns_tcp(const char *at)
{
    return dns_by(at, SOCK_STREAM, ESCAPE_PROOF "\n");
}

static int dns_local(const char *at)
{
    return dns_by(at, SOCK_DGRAM, ESCAPE_PROOF);
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
    { "net.dns-local", "DNS to this machine's resolver", dns_local, "127.0.0.53 53" },
    { "net.resolver", "a name by getaddrinfo", resolver, "name" },
    { NULL, NULL, NULL, NULL },
};
