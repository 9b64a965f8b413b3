/* broker_made.c - which sockets are the child's: those that were made for it, by inode and by the kernel's cookie, and who
 * listens at a port. A cookie is never used twice, so a server is known for the child's own by it; where the kernel can't be asked
 * (NETLINK_SOCK_DIAG), every listener of that port in /proc/net/tcp must be one of ours by its inode. */
#include "launch/broker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>

struct eg_broker_made *eg_broker_find(const struct eg_broker *b, uint64_t inode)
{
    for (unsigned i = b->made_count; i > 0; i--)
        if (b->made[i - 1].inode == inode)
            return &b->made[i - 1];
    return NULL;
}

void eg_broker_forget(struct eg_broker *b, uint64_t inode)
{
    struct eg_broker_made *m = eg_broker_find(b, inode);
    if (!m)
        return;
    size_t after = (size_t)(b->made + b->made_count - (m + 1));
    memmove(m, m + 1, after * sizeof *m);
    b->made_count--;
}

/* ---- /proc/net/tcp ---- */

typedef void (*eg_listener_seen)(void *ctx, unsigned port, uint64_t inode);

/* proc_net_tcp: local address, remote address, state (0A: listens), five fields more, inode. */
static bool each_listener(const char *path, eg_listener_seen seen, void *ctx)
{
    char line[512];
    unsigned port, state;
    unsigned long long inode;
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, " %*u: %*[0-9A-F]:%x %*s %x %*s %*s %*s %*u %*u %llu", &port, &state, &inode) ==
                3 &&
            state == TCP_LISTEN)
            seen(ctx, port, inode);
    fclose(f);
    return true;
}

static bool each_listener_of_both(eg_listener_seen seen, void *ctx)
{
    bool four = each_listener("/proc/self/net/tcp", seen, ctx);
    (void)each_listener("/proc/self/net/tcp6", seen, ctx); /* not there without IPv6 */
    return four;
}

struct port_asked {
    const struct eg_broker *b;
    unsigned port, ours, others;
};

static void look_at(void *ctx, unsigned port, uint64_t inode)
{
    struct port_asked *asked = ctx;
    if (port != asked->port)
        return;
    if (eg_broker_find(asked->b, inode))
        asked->ours++;
    else
        asked->others++;
}

/* ---- no room: servers stay, and what is new ---- */

struct kept {
    struct eg_broker *b;
    unsigned n; /* first to stay stand at the front */
};

static void keep(void *ctx, unsigned port, uint64_t inode)
{
    struct kept *k = ctx;
    struct eg_broker_made *m = eg_broker_find(k->b, inode), other;
    (void)port;
    if (!m || m < k->b->made + k->n)
        return;
    other = k->b->made[k->n];
    k->b->made[k->n++] = *m;
    *m = other;
}

static void make_room(struct eg_broker *b)
{
    struct kept k = { .b = b };
    const unsigned half = EG_BROKER_MADE / 2;
    (void)each_listener_of_both(keep, &k);
    if (k.n < half) { /* the newest half behind them: a swap may have moved some of it to the old places */
        memmove(b->made + k.n, b->made + b->made_count - (half - k.n), (half - k.n) * sizeof *b->made);
        b->made_count = half;
    } else {
        b->made_count = k.n < EG_BROKER_MADE ? k.n : EG_BROKER_MADE - 1;
    }
}

int eg_broker_remember(struct eg_broker *b, int fd, int domain, int type, bool connected)
{
    struct stat st;
    struct eg_broker_made m = { .domain = domain, .type = type, .connected = connected };
    socklen_t n = sizeof m.cookie;
    if (fstat(fd, &st) < 0 || getsockopt(fd, SOL_SOCKET, SO_COOKIE, &m.cookie, &n) < 0)
        return errno;
    m.inode = st.st_ino;
    if (b->made_count == EG_BROKER_MADE)
        make_room(b);
    b->made[b->made_count++] = m;
    return 0;
}

/* ---- the kernel's own answer ---- */

struct question {
    struct nlmsghdr head;
    struct inet_diag_req_v2 body;
};

/* Who would get a connection to there: EG_NOT_FOUND nobody, EG_IO no answer. */
static enum eg_status ask(const struct eg_broker *b, const struct question *q, uint64_t *cookie)
{
    union {
        struct nlmsghdr head;
        char bytes[4096];
    } answer;
    const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    if (sendto(b->diag, q, sizeof *q, 0, (const struct sockaddr *)&kernel, sizeof kernel) < 0)
        return EG_IO;
    ssize_t n = recv(b->diag, &answer, sizeof answer, MSG_DONTWAIT); /* it answers at once */
    if (n < (ssize_t)NLMSG_LENGTH(0) || answer.head.nlmsg_seq != q->head.nlmsg_seq)
        return EG_IO;
    if (answer.head.nlmsg_type == NLMSG_ERROR) {
        const struct nlmsgerr *e = NLMSG_DATA(&answer.head);
        return n >= (ssize_t)NLMSG_LENGTH(sizeof *e) && e->error == -ENOENT ? EG_NOT_FOUND : EG_IO;
    }
    const struct inet_diag_msg *m = NLMSG_DATA(&answer.head);
    if (answer.head.nlmsg_type != SOCK_DIAG_BY_FAMILY || n < (ssize_t)NLMSG_LENGTH(sizeof *m))
        return EG_IO;
    *cookie = (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0];
    return EG_OK;
}

static enum eg_status ask_kernel(const struct eg_broker *b, const struct eg_broker_target *to,
                                 uint64_t *cookie)
{
    const struct sockaddr_in *at4 = (const struct sockaddr_in *)&to->at;
    const struct sockaddr_in6 *at6 = (const struct sockaddr_in6 *)&to->at;
    struct question q = {
        .head = { .nlmsg_len = sizeof q,
                  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                  .nlmsg_flags = NLM_F_REQUEST,
                  .nlmsg_seq = 1 },
        .body = { .sdiag_family = (uint8_t)to->at.ss_family,
                  .sdiag_protocol = IPPROTO_TCP,
                  .idiag_states = 1 << TCP_LISTEN,
                  .id = { .idiag_sport = htons(to->port),
                          .idiag_if = (uint32_t)b->lo,
                          .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } },
    };
    if (to->at.ss_family == AF_INET) {
        const uint32_t here = at4->sin_addr.s_addr ? at4->sin_addr.s_addr : htonl(INADDR_LOOPBACK);
        q.body.id.idiag_src[0] = q.body.id.idiag_dst[0] = here;
    } else {
        const struct in6_addr *here =
            IN6_IS_ADDR_UNSPECIFIED(&at6->sin6_addr) ? &in6addr_loopback : &at6->sin6_addr;
        memcpy(q.body.id.idiag_src, here, sizeof *here);
        memcpy(q.body.id.idiag_dst, here, sizeof *here);
    }
    return ask(b, &q, cookie);
}

bool eg_broker_owns(const struct eg_broker *b, const struct eg_broker_target *to)
{
    uint64_t cookie = 0;
    enum eg_status status = b->diag >= 0 && b->lo > 0 ? ask_kernel(b, to, &cookie) : EG_IO;
    for (unsigned i = b->made_count; status == EG_OK && i > 0; i--)
        if (b->made[i - 1].cookie == cookie)
            return true;
    if (status != EG_IO)
        return false;
    struct port_asked asked = { .b = b, .port = to->port };
    return each_listener_of_both(look_at, &asked) && asked.ours > 0 && asked.others == 0;
}
