/* peer.c - the test's own end of a connection that egressd opens. It knows no protocol. */
#include "support/peer.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons(port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

/* A TCP socket on a port that the kernel chooses. */
static int bind_any(uint16_t *port)
{
    struct sockaddr_in at = loopback(0);
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0);
    cr_assert(getsockname(fd, (struct sockaddr *)&at, &n) == 0);
    *port = ntohs(at.sin_port);
    return fd;
}

int eg_peer_listen(uint16_t *port)
{
    int fd = bind_any(port);
    cr_assert(listen(fd, 256) == 0);
    return fd;
}

/* Bound and not listening: TCP is refused. Bound and connected to somebody else: UDP is refused to
 * all others. Both sockets are the test process's until it ends. */
uint16_t eg_peer_refusing(void)
{
    struct sockaddr_in elsewhere = loopback(9);
    for (int i = 0; i < 20; i++) {
        uint16_t port;
        int tcp = bind_any(&port), udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in at = loopback(port);
        if (udp >= 0 && bind(udp, (struct sockaddr *)&at, sizeof at) == 0 &&
            connect(udp, (struct sockaddr *)&elsewhere, sizeof elsewhere) == 0)
            return port;
        close(tcp);
        close(udp);
    }
    cr_assert(false, "no port is free for TCP and UDP");
    return 0;
}

void eg_peer_accept(int listener, struct eg_client *c)
{
    struct pollfd p = { .fd = listener, .events = POLLIN };
    memset(c, 0, sizeof *c);
    cr_assert(poll(&p, 1, EG_PROC_DEADLINE_MS) == 1, "nobody connected");
    c->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    cr_assert(c->fd >= 0);
}

bool eg_peer_unused(int listener)
{
    struct pollfd p = { .fd = listener, .events = POLLIN };
    return poll(&p, 1, 0) == 0;
}

void eg_peer_request(int listener, struct eg_client *c)
{
    eg_peer_accept(listener, c);
    cr_assert(eg_client_wait(c, "\r\n\r\n", 0) && c->buf && strstr(c->buf, "\r\n\r\n"),
              "no request came");
}

void eg_client_reset(struct eg_client *c)
{
    struct linger hard = { .l_onoff = 1, .l_linger = 0 };
    cr_assert(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard) == 0);
    eg_client_close(c);
}

void eg_client_take(struct eg_client *c, size_t n)
{
    cr_assert(n <= c->len);
    memmove(c->buf, c->buf + n, c->len - n);
    c->len -= n;
    c->buf[c->len] = 0;
}

unsigned eg_text_count(const char *text, const char *needle)
{
    unsigned n = 0;
    for (; (text = strstr(text, needle)); text++)
        n++;
    return n;
}

pid_t eg_world_worker(const struct eg_world *w)
{
    pid_t children[8];
    unsigned n = eg_proc_children(w->egressd.pid, children, 8);
    cr_assert(n == 1, "%u workers", n);
    return children[0];
}
