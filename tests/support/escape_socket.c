/* escape_socket.c - attempts by other kinds of sockets: families that the network namespace does not confine or that nobody needs, Unix sockets, which lead to somebody with more
 * rights, netlink, and what was left open by who started us. */
#include "support/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* "FAMILY TYPE PROTOCOL" */
static int family(const char *numbers)
{
    int f, type, protocol;
    if (sscanf(numbers, "%d %d %d", &f, &type, &protocol) != 3)
        return ESCAPE_NO_TARGET;
    return escape_opened(socket(f, type, protocol));
}

/* The host's side is not called; an address to be called at is enough. */
static int vsock(const char *arg)
{
    struct sockaddr_vm at = { .svm_family = AF_VSOCK,
                              .svm_port = VMADDR_PORT_ANY,
                              .svm_cid = VMADDR_CID_ANY };
    (void)arg;
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    return escape_result(bind(fd, (struct sockaddr *)&at, sizeof at));
}

/* ---- Unix sockets ---- */

static bool unix_address(const char *target, struct sockaddr_un *to, socklen_t *n)
{
    const char *path = escape_target(target);
    *to = (struct sockaddr_un){ .sun_family = AF_UNIX };
    size_t length = path ? strlen(path) : 0;
    if (length == 0 || length >= sizeof to->sun_path)
        return false;
    memcpy(to->sun_path, path, length);
    *n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (path[0] == '@')
        to->sun_path[0] = '\0';
    else
        *n += 1;
    return true;
}

static int unix_by(const char *target, int type)
{
    struct sockaddr_un to;
    socklen_t n;
    if (!unix_address(target, &to, &n))
        return ESCAPE_NO_TARGET;
    int fd = socket(AF_UNIX, type, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, n) < 0)
        return errno;
    if (type == SOCK_DGRAM)
        return escape_result(send(fd, "ask\n", 4, MSG_NOSIGNAL));
    if (send(fd, "ask\n", 4, MSG_NOSIGNAL) < 0)
        return errno;
    return escape_expect_proof(fd);
}

static int unix_stream(const char *target)
{
    return unix_by(target, SOCK_STREAM);
}

static int unix_packets(const char *target)
{
    return unix_by(target, SOCK_SEQPACKET);
}

static int unix_datagram(const char *target)
{
    return unix_by(target, SOCK_DGRAM);
}

/* One end of a pair of datagram sockets may be led to any name. */
static int pair_to(const char *target)
{
    struct sockaddr_un to;
    socklen_t n;
    int ends[2];
    if (!unix_address(target, &to, &n))
        return ESCAPE_NO_TARGET;
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) < 0)
        return errno;
    return escape_result(sendto(ends[0], "ask\n", 4, MSG_NOSIGNAL, (struct sockaddr *)&to, n));
}

/* A server that others of this machine would meet. */
static int serve_abstract(const char *arg)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int n = snprintf(at.sun_path + 1, sizeof at.sun_path - 1, "escape-%d", (int)getpid());
    (void)arg;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    return escape_result(bind(fd, (struct sockaddr *)&at,
                              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)));
}

/* ---- netlink and interfaces ---- */

struct ask {
    struct nlmsghdr head;
    union {
        struct ifaddrmsg address;
        struct ifinfomsg link;
        struct rtmsg route;
    };
    char more[64];
};

static void attribute(struct ask *a, unsigned short type, const void *value, size_t n)
{
    struct rtattr *at = (struct rtattr *)(void *)((char *)a + NLMSG_ALIGN(a->head.nlmsg_len));
    at->rta_type = type;
    at->rta_len = (unsigned short)RTA_LENGTH(n);
    memcpy(RTA_DATA(at), value, n);
    a->head.nlmsg_len = NLMSG_ALIGN(a->head.nlmsg_len) + (uint32_t)RTA_ALIGN(at->rta_len);
}

static int netlink(struct ask *a)
{
    char answer[1024];
    a->head.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0 || send(fd, a, a->head.nlmsg_len, 0) < 0)
        return errno;
    ssize_t n = recv(fd, answer, sizeof answer, 0);
    if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)))
        return n < 0 ? errno : ESCAPE_NO_PROOF;
    const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)answer;
    return h->nlmsg_type == NLMSG_ERROR ? -((const struct nlmsgerr *)NLMSG_DATA(h))->error
                                        : ESCAPE_NO_PROOF;
}

/* All of these change loopback only, in whichever namespace this is. */
static int netlink_address(const char *arg)
{
    struct ask a = { .head = { .nlmsg_len = NLMSG_LENGTH(sizeof a.address),
                               .nlmsg_type = RTM_NEWADDR,
                               .nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE } };
    const unsigned char at[4] = { 198, 51, 100, 77 };
    (void)arg;
    a.address = (struct ifaddrmsg){ .ifa_family = AF_INET,
                                    .ifa_prefixlen = 32,
                                    .ifa_index = if_nametoindex("lo") };
    attribute(&a, IFA_LOCAL, at, sizeof at);
    return netlink(&a);
}

static int netlink_route(const char *arg)
{
    struct ask a = { .head = { .nlmsg_len = NLMSG_LENGTH(sizeof a.route),
                               .nlmsg_type = RTM_NEWROUTE,
                               .nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE } };
    const unsigned char to[4] = { 198, 51, 100, 0 };
    const unsigned lo = if_nametoindex("lo");
    (void)arg;
    a.route = (struct rtmsg){ .rtm_family = AF_INET,
                              .rtm_dst_len = 24,
                              .rtm_table = RT_TABLE_MAIN,
                              .rtm_protocol = RTPROT_STATIC,
                              .rtm_scope = RT_SCOPE_LINK,
                              .rtm_type = RTN_UNICAST };
    attribute(&a, RTA_DST, to, sizeof to);
    attribute(&a, RTA_OIF, &lo, sizeof lo);
    return netlink(&a);
}

static int netlink_link(const char *arg)
{
    struct ask a = { .head = { .nlmsg_len = NLMSG_LENGTH(sizeof a.link),
                               .nlmsg_type = RTM_NEWLINK } };
    const unsigned mtu = 65536;
    (void)arg;
    a.link = (struct ifinfomsg){ .ifi_index = (int)if_nametoindex("lo") };
    attribute(&a, IFLA_MTU, &mtu, sizeof mtu);
    return netlink(&a);
}

static int interface_flags(const char *arg)
{
    struct ifreq r = { .ifr_name = "lo" };
    (void)arg;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &r) < 0)
        return errno;
    r.ifr_flags ^= IFF_MULTICAST;
    if (ioctl(fd, SIOCSIFFLAGS, &r) < 0)
        return errno;
    r.ifr_flags ^= IFF_MULTICAST;
    return escape_result(ioctl(fd, SIOCSIFFLAGS, &r));
}

static int socket_mark(const char *arg)
{
    const int mark = 7;
    (void)arg;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? errno : escape_result(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark));
}

static int transparent(const char *arg)
{
    const int on = 1;
    (void)arg;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? errno
                  : escape_result(setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof on));
}

/* ---- descriptors that were left open ---- */

enum { FD_FIRST = 3, FD_LAST = 1024 };

static int inherited_socket(const char *arg)
{
    struct stat st;
    (void)arg;
    for (int fd = FD_FIRST; fd < FD_LAST; fd++)
        if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) &&
            send(fd, "ask\n", 4, MSG_NOSIGNAL) == 4 && escape_expect_proof(fd) == ESCAPE_OUT)
            return ESCAPE_OUT;
    return EBADF;
}

static int inherited_file(const char *arg)
{
    char text[256];
    (void)arg;
    for (int fd = FD_FIRST; fd < FD_LAST; fd++) {
        ssize_t n = pread(fd, text, sizeof text, 0);
        if (n > 0 && escape_is_proof(text, (size_t)n) == ESCAPE_OUT)
            return ESCAPE_OUT;
    }
    return EBADF;
}

/* A folder that stands where only its opener may go. */
static int inherited_folder(const char *name)
{
    char text[256];
    for (int fd = FD_FIRST; fd < FD_LAST; fd++) {
        int file = openat(fd, name, O_RDONLY | O_CLOEXEC);
        ssize_t n = file >= 0 ? read(file, text, sizeof text) : -1;
        if (n > 0 && escape_is_proof(text, (size_t)n) == ESCAPE_OUT)
            return ESCAPE_OUT;
    }
    return EBADF;
}

const struct escape_attempt escape_sockets[] = {
    { "socket.vsock", "AF_VSOCK, which leads out of the virtual machine", vsock, NULL },
    { "socket.alg", "AF_ALG, the kernel's ciphers", family, "38 5 0" },
    { "socket.xdp", "AF_XDP, frames past the stack", family, "44 3 0" },
    { "socket.tipc", "AF_TIPC", family, "30 5 0" },
    { "socket.rds", "AF_RDS", family, "21 5 0" },
    { "socket.bluetooth", "AF_BLUETOOTH", family, "31 3 1" },
    { "socket.can", "AF_CAN", family, "29 3 1" },
    { "socket.key", "AF_KEY, IPsec's keys", family, "15 3 2" },
    { "socket.dccp", "DCCP", family, "2 6 33" },
    { "socket.udplite", "UDP-Lite", family, "2 2 136" },
    { "socket.l2tp", "L2TP", family, "2 2 115" },
    { "socket.netlink-diag", "netlink: all sockets of the machine", family, "16 3 4" },
    { "socket.netlink-netfilter", "netlink: the packet filter", family, "16 3 12" },
    { "socket.netlink-audit", "netlink: the audit", family, "16 3 9" },
    { "socket.netlink-uevent", "netlink: devices", family, "16 3 15" },
    { "socket.netlink-connector", "netlink: the start and end of processes", family, "16 3 11" },
    { "socket.netlink-generic", "netlink: generic families", family, "16 3 16" },
    { "socket.netlink-xfrm", "netlink: IPsec", family, "16 3 6" },
    { "socket.netlink-address", "netlink: an address for loopback", netlink_address, NULL },
    { "socket.netlink-route", "netlink: a route", netlink_route, NULL },
    { "socket.netlink-link", "netlink: a change of an interface", netlink_link, NULL },
    { "socket.interface-flags", "ioctl: a change of an interface", interface_flags, NULL },
    { "socket.mark", "a mark that routes may ask for", socket_mark, NULL },
    { "socket.transparent", "a socket with any address (IP_TRANSPARENT)", transparent, NULL },
    { "unix.path-stream", "a Unix socket by its path", unix_stream, "unix_stream" },
    { "unix.path-packets", "a Unix socket of packets by its path", unix_packets, "unix_packets" },
    { "unix.path-datagram", "a Unix datagram socket by its path", unix_datagram, "unix_datagram" },
    { "unix.abstract-stream", "an abstract Unix socket", unix_stream, "abstract_stream" },
    { "unix.abstract-datagram", "an abstract Unix datagram socket", unix_datagram,
      "abstract_datagram" },
    { "unix.pair-datagram", "an end of a datagram pair led to a path", pair_to, "unix_datagram" },
    { "unix.pair-abstract", "an end of a datagram pair led to an abstract name", pair_to,
      "abstract_datagram" },
    { "unix.serve-abstract", "an abstract server for the machine's others", serve_abstract, NULL },
    { "unix.docker", "docker's socket", unix_stream, "docker" },
    { "unix.ssh-agent", "the ssh agent's socket", unix_stream, "ssh_agent" },
    { "unix.gpg-agent", "the gpg agent's socket", unix_stream, "gpg_agent" },
    { "unix.session-bus", "the session bus", unix_stream, "session_bus" },
    { "unix.system-bus", "the system bus", unix_stream, "system_bus" },
    { "unix.control", "the proxy's control socket", unix_stream, "control" },
    { "fd.socket", "a connection that the caller left open", inherited_socket, NULL },
    { "fd.file", "a file that the caller left open", inherited_file, NULL },
    { "fd.folder", "a private folder that the caller left open", inherited_folder, "proof" },
    { NULL, NULL, NULL, NULL },
};
