/* capture.c - the network of a child whose programs need not know of a proxy (--transparent), made in its namespaces before
 * the command is there: a resolver's sockets on 127.0.0.1:53, an address of the range that stands for names, routes that
 * make every destination this machine's own, and nftables' one rule: whatever TCP is not for the loopback comes to the
 * capture listener. What is answered and judged there is src/proxy's.
 *
 * Nothing leads out by it: the routes end at the loopback, the only interface there is. UDP to anywhere finds nobody at
 * once, but for questions of DNS, which the same resolver answers. The command has no capability to change any of it. */
#include "launch/internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/sock.h"

/* own: programs that ask which address is theirs, and call themselves there, find this one; no name has it. */
static const struct eg_addr loop_v4 = { .family = 4, .b = { 127, 0, 0, 1 } },
                            loop_v6 = { .family = 6, .b = { [15] = 1 } },
                            own = { .family = 4, .b = { 198, 18, 0, 1 } };
enum { OWN_BITS = 15, DNS_PORT = 53 };

static enum eg_status failed(const char *what, struct eg_err *err)
{
    return eg_err_set(err, EG_IO, "launch", errno, "--transparent: %s", what);
}

/* ---- address and routes: rtnetlink(7) ---- */

struct request {
    struct nlmsghdr head;
    union {
        struct ifaddrmsg address;
        struct rtmsg route;
    } body;
    char attributes[64];
};

static void begin(struct request *r, unsigned short type, size_t body)
{
    memset(r, 0, sizeof *r);
    r->head.nlmsg_type = type;
    r->head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    r->head.nlmsg_len = NLMSG_LENGTH((unsigned)body);
}

static void add(struct request *r, unsigned short type, const void *p, size_t n)
{
    struct rtattr *a = (struct rtattr *)((char *)r + NLMSG_ALIGN(r->head.nlmsg_len));
    a->rta_type = type;
    a->rta_len = (unsigned short)RTA_LENGTH(n);
    memcpy(RTA_DATA(a), p, n);
    r->head.nlmsg_len = NLMSG_ALIGN(r->head.nlmsg_len) + (unsigned)RTA_ALIGN(a->rta_len);
}

/* 0 or the kernel's errno. */
static int tell(int fd, const struct request *r)
{
    struct {
        struct nlmsghdr head;
        struct nlmsgerr body;
        char rest[256];
    } answer;
    if (send(fd, r, r->head.nlmsg_len, 0) != (ssize_t)r->head.nlmsg_len)
        return errno;
    ssize_t n = recv(fd, &answer, sizeof answer, 0);
    if (n < 0)
        return errno;
    if ((size_t)n < sizeof answer.head + sizeof answer.body ||
        answer.head.nlmsg_type != NLMSG_ERROR)
        return EPROTO;
    return -answer.body.error;
}

static int own_address(int fd, unsigned lo)
{
    struct request r;
    begin(&r, RTM_NEWADDR, sizeof r.body.address);
    r.body.address =
        (struct ifaddrmsg){ .ifa_family = AF_INET, .ifa_prefixlen = OWN_BITS, .ifa_index = lo };
    add(&r, IFA_LOCAL, own.b, 4);
    add(&r, IFA_ADDRESS, own.b, 4);
    return tell(fd, &r);
}

/* All destinations are local: no packet is ever forwarded, and what no rule redirects meets nobody at once. */
static int all_local(int fd, unsigned lo, unsigned char family)
{
    struct request r;
    begin(&r, RTM_NEWROUTE, sizeof r.body.route);
    r.body.route = (struct rtmsg){ .rtm_family = family,
                                   .rtm_table = RT_TABLE_LOCAL,
                                   .rtm_protocol = RTPROT_STATIC,
                                   .rtm_scope = RT_SCOPE_HOST,
                                   .rtm_type = RTN_LOCAL };
    add(&r, RTA_OIF, &lo, sizeof lo);
    if (family == AF_INET)
        add(&r, RTA_PREFSRC, own.b, 4);
    return tell(fd, &r);
}

static enum eg_status routes(bool v6, struct eg_err *err)
{
    unsigned lo = if_nametoindex("lo");
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return failed("no netlink socket", err);
    int sys = own_address(fd, lo);
    if (!sys)
        sys = all_local(fd, lo, AF_INET);
    if (!sys && v6)
        sys = all_local(fd, lo, AF_INET6);
    close(fd);
    errno = sys;
    return sys ? failed("the routes of the child's network", err) : EG_OK;
}

/* ---- nftables, by its library: loaded for this, and known by the few calls that are needed ---- */

struct nft {
    void *(*ctx_new)(uint32_t flags);
    void (*ctx_free)(void *ctx);
    int (*buffer_error)(void *ctx);
    const char *(*get_error)(void *ctx);
    int (*run)(void *ctx, const char *commands);
};

static enum eg_status load(struct nft *ret, struct eg_err *err)
{
    static const struct {
        const char *name;
        size_t at;
    } calls[] = { { "nft_ctx_new", offsetof(struct nft, ctx_new) },
                  { "nft_ctx_free", offsetof(struct nft, ctx_free) },
                  { "nft_ctx_buffer_error", offsetof(struct nft, buffer_error) },
                  { "nft_ctx_get_error_buffer", offsetof(struct nft, get_error) },
                  { "nft_run_cmd_from_buffer", offsetof(struct nft, run) } };
    void *lib = dlopen("libnftables.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!lib)
        return eg_err_set(
            err, EG_IO, "launch", 0,
            "--transparent needs libnftables.so.1, which can't be loaded: install libnftables1");
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
        void *call = dlsym(lib, calls[i].name);
        if (!call)
            return eg_err_set(err, EG_IO, "launch", 0, "--transparent: libnftables.so.1 has no %s",
                              calls[i].name);
        memcpy((char *)ret + calls[i].at, &call, sizeof call);
    }
    return EG_OK;
}

/* What nft says, in one line. */
static enum eg_status refused(const char *why, struct eg_err *err)
{
    int n = why ? (int)strcspn(why, "\n") : 0;
    return eg_err_set(err, EG_IO, "launch", 0,
                      "--transparent: nftables refuses the redirect (%.*s): does this kernel have "
                      "nf_tables, nft_redir and "
                      "nf_conntrack?",
                      n > 60 ? 60 : n, why ? why : "");
}

static enum eg_status redirect(uint16_t port, struct eg_err *err)
{
    struct nft nft;
    char rules[512];
    snprintf(rules, sizeof rules,
             "table inet egress {\n"
             " chain out {\n"
             "  type nat hook output priority -100; policy accept;\n"
             "  ip daddr { 127.0.0.0/8, 198.18.0.1 } accept\n"
             "  ip6 daddr ::1 accept\n"
             "  meta l4proto tcp redirect to :%u\n"
             "  udp dport %d redirect to :%d\n"
             " }\n"
             "}\n",
             (unsigned)port, DNS_PORT, DNS_PORT);
    enum eg_status status = load(&nft, err);
    if (status != EG_OK)
        return status;
    void *ctx = nft.ctx_new(0);
    if (!ctx || nft.buffer_error(ctx) != 0)
        status = refused("no context", err);
    else if (nft.run(ctx, rules) != 0)
        status = refused(nft.get_error(ctx), err);
    if (ctx)
        nft.ctx_free(ctx);
    return status;
}

/* A client that has ended its side may wait long for its answer; the kernel would forget after a minute what is
 * redirected where. Where it can't be told, it does. */
static void remember(void)
{
    static const char *const states[] = { "fin_wait", "close_wait" };
    static const char day[] = "86400";
    for (unsigned i = 0; i < sizeof states / sizeof *states; i++) {
        char path[80];
        snprintf(path, sizeof path, "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_%s",
                 states[i]);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        ssize_t ignored = write(fd, day, sizeof day - 1);
        (void)ignored;
        close(fd);
    }
}

/* ---- sockets ---- */

static enum eg_status listen_at(const struct eg_addr *addr, uint16_t port,
                                struct eg_capture_socket *ret, struct eg_err *err)
{
    struct eg_sockaddr at = { *addr, port }, bound = { .port = 0 };
    enum eg_status status = eg_sock_listen(&at, &ret->fd, &bound, err);
    ret->port = bound.port;
    return status;
}

static enum eg_status questions(struct eg_capture_socket *ret, struct eg_err *err)
{
    const struct eg_sockaddr at = { loop_v4, DNS_PORT };
    struct sockaddr_storage to;
    socklen_t n = eg_sockaddr_to(&at, &to);
    ret->port = DNS_PORT;
    ret->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (ret->fd < 0 || bind(ret->fd, (struct sockaddr *)&to, n) < 0)
        return failed("no resolver on the child's 127.0.0.1:53", err);
    return EG_OK;
}

enum eg_status eg_capture_open(struct eg_capture_socket ret[EG_CAPTURE_SOCKETS], unsigned *count,
                               struct eg_err *err)
{
    struct eg_err no_v6 = { 0 };
    for (unsigned i = 0; i < EG_CAPTURE_SOCKETS; i++)
        ret[i] = (struct eg_capture_socket){ .kind = EG_ENTRY_CAPTURE, .fd = -1 };
    ret[1].kind = EG_ENTRY_NAMES_UDP;
    ret[2].kind = EG_ENTRY_NAMES_TCP;
    *count = 3;
    enum eg_status status = listen_at(&loop_v4, 0, &ret[0], err);
    if (status == EG_OK)
        status = questions(&ret[1], err);
    if (status == EG_OK)
        status = listen_at(&loop_v4, DNS_PORT, &ret[2], err);
    if (status == EG_OK && listen_at(&loop_v6, ret[0].port, &ret[3], &no_v6) == EG_OK)
        *count = 4; /* without IPv6 in this kernel nobody asks for it */
    if (status == EG_OK)
        status = routes(*count == 4, err);
    if (status == EG_OK)
        status = redirect(ret[0].port, err);
    for (unsigned i = 0; status != EG_OK && i < EG_CAPTURE_SOCKETS; i++)
        if (ret[i].fd >= 0)
            close(ret[i].fd);
    return status;
}

/* ---- files: who answers, and nothing that answers before ---- */

static enum eg_status put(const char *path, const char *text, struct eg_err *err)
{
    size_t n = strlen(text);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
    bool whole = fd >= 0 && write(fd, text, n) == (ssize_t)n;
    if (fd >= 0)
        close(fd);
    return whole ? EG_OK : failed("a file for the child's resolver", err);
}

/* In the place of the system's, read-only: the file is the child's own by its user. One that is not there (a link that
 * leads nowhere too) needs none: a resolver without configuration asks 127.0.0.1. */
static enum eg_status place(const char *from, const char *path, struct eg_err *err)
{
    const unsigned long flags = MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    char real[PATH_MAX];
    if (!realpath(path, real))
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? EG_OK : failed(path, err);
    if (mount(from, real, NULL, MS_BIND, NULL) < 0 ||
        mount(NULL, real, NULL, MS_REMOUNT | MS_RDONLY | flags, NULL) < 0)
        return failed(path, err);
    return EG_OK;
}

/* The host's own name stays the child's loopback; other names of the host's file are the proxy's to look up. */
static void hosts_text(char *out, size_t cap)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    char name[HOST_NAME_MAX + 1] = "";
    if (gethostname(name, sizeof name) < 0 || name[strspn(name, plain)] != '\0')
        name[0] = '\0';
    name[HOST_NAME_MAX] = '\0';
    snprintf(out, cap, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n%s%s%s",
             name[0] ? "127.0.1.1 " : "", name, name[0] ? "\n" : "");
}

enum eg_status eg_capture_files(struct eg_err *err)
{
    /* no domain to search: a name is looked up as it is written */
    static const char resolver[] = "nameserver 127.0.0.1\nsearch .\noptions timeout:2 attempts:2\n";
    char hosts[HOST_NAME_MAX + 128];
    hosts_text(hosts, sizeof hosts);
    remember(); /* here, where /proc is the child's own: a container's may be read-only */
    /* one place that is sure to exist, hidden for a moment, as in mounts.c */
    if (mount("tmpfs", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "mode=0755,size=64k,nr_inodes=16") < 0)
        return failed("a temporary file system", err);
    enum eg_status status = put("/proc/resolv.conf", resolver, err);
    if (status == EG_OK)
        status = put("/proc/hosts", hosts, err);
    if (status == EG_OK)
        status = place("/proc/resolv.conf", "/etc/resolv.conf", err);
    if (status == EG_OK)
        status = place("/proc/hosts", "/etc/hosts", err);
    if (umount2("/proc", MNT_DETACH) < 0 && status == EG_OK)
        status = failed("uncovering /proc", err);
    return status;
}
