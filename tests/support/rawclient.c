/* rawclient.c - a client of a test that says exactly the bytes it is told to, and takes answers apart without any code of ours. */
#include <criterion/criterion.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/proc.h"

void eg_client_open(struct eg_client *c, uint16_t port)
{
    int one = 1;
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    memset(c, 0, sizeof *c);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(c->fd >= 0);
    cr_assert(connect(c->fd, (struct sockaddr *)&to, sizeof to) == 0, "connect: %s",
              strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

void eg_client_close(struct eg_client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    free(c->buf);
    memset(c, 0, sizeof *c);
    c->fd = -1;
}

void eg_client_send(struct eg_client *c, const void *p, size_t n)
{
    const char *at = p;
    while (n > 0) {
        ssize_t done = send(c->fd, at, n, MSG_NOSIGNAL);
        if (done <
            0) { /* the proxy may have refused and closed already: what it said is still read */
            cr_assert(errno == EPIPE || errno == ECONNRESET, "send: %s", strerror(errno));
            return;
        }
        at += done;
        n -= (size_t)done;
    }
}

void eg_client_text(struct eg_client *c, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    cr_assert(n >= 0);
    eg_client_send(c, text, (size_t)n);
    free(text);
}

static bool receive(struct eg_client *c, uint64_t deadline)
{
    struct pollfd p = { .fd = c->fd, .events = POLLIN };
    uint64_t now = eg_clock_ms();
    if (now >= deadline || poll(&p, 1, (int)(deadline - now)) <= 0)
        return false;
    if (c->cap - c->len < 65537) {
        c->cap = c->cap * 2 + 131072;
        c->buf = realloc(c->buf, c->cap);
        cr_assert(c->buf != NULL);
    }
    ssize_t n = recv(c->fd, c->buf + c->len, 65536, 0);
    if (n <= 0) {
        c->eof = true;
        c->reset = n < 0;
    } else {
        c->len += (size_t)n;
    }
    c->buf[c->len] = 0;
    return true;
}

bool eg_client_wait(struct eg_client *c, const char *until, size_t n)
{
    uint64_t deadline = eg_clock_ms() + EG_PROC_DEADLINE_MS;
    for (;;) {
        if (until && c->buf && memmem(c->buf, c->len, until, strlen(until)))
            return true;
        if (!until && n > 0 && c->len >= n)
            return true;
        if (c->eof)
            return !until && n == 0;
        if (!receive(c, deadline))
            return false;
    }
}

bool eg_head_has(const char *head, const char *name, const char *value)
{
    size_t n = strlen(name);
    for (const char *line = strchr(head, '\n'); line; line = strchr(line + 1, '\n')) {
        if (strncasecmp(line + 1, name, n) != 0 || line[1 + n] != ':')
            continue;
        const char *at = line + 2 + n;
        while (*at == ' ')
            at++;
        size_t len = strcspn(at, "\r\n");
        if (!value || (strlen(value) == len && strncmp(at, value, len) == 0))
            return true;
    }
    return false;
}

static void drop(struct eg_client *c, size_t n)
{
    memmove(c->buf, c->buf + n, c->len - n + 1);
    c->len -= n;
}

static char *take(struct eg_client *c, size_t n)
{
    char *p = malloc(n + 1);
    cr_assert(p != NULL);
    memcpy(p, c->buf, n);
    p[n] = 0;
    drop(c, n);
    return p;
}

/* NULL when the chunks end early. */
static char *take_chunks(struct eg_client *c, size_t *total)
{
    char *body = calloc(1, 1);
    *total = 0;
    for (;;) {
        if (!eg_client_wait(c, "\r\n", 0))
            break;
        size_t size = strtoul(c->buf, NULL, 16);
        drop(c, (size_t)(strstr(c->buf, "\r\n") - c->buf) + 2);
        if (!eg_client_wait(c, NULL, size + 2))
            break;
        body = realloc(body, *total + size + 1);
        memcpy(body + *total, c->buf, size);
        *total += size;
        body[*total] = 0;
        drop(c, size + 2);
        if (size == 0)
            return body;
    }
    free(body);
    return NULL;
}

int eg_client_response(struct eg_client *c, char *head, size_t cap, char **body, size_t *n)
{
    size_t length = 0;
    char *text = NULL;
    head[0] = 0;
    if (body)
        *body = NULL;
    if (!eg_client_wait(c, "\r\n\r\n", 0))
        return 0;
    size_t size = (size_t)(strstr(c->buf, "\r\n\r\n") - c->buf) + 4;
    cr_assert(size < cap);
    memcpy(head, c->buf, size);
    head[size] = 0;
    drop(c, size);
    int status = atoi(head + 9);
    const char *at = strcasestr(head, "\nContent-Length:");
    if (status < 200 || status == 204 || status == 304 ||
        (at == NULL && !eg_head_has(head, "Transfer-Encoding", NULL) && status == 200 &&
         strstr(head, "established")))
        return status;
    if (eg_head_has(head, "Transfer-Encoding", "chunked")) {
        text = take_chunks(c, &length);
    } else if (at) {
        length = strtoul(at + 16, NULL, 10);
        if (length == 0 || eg_client_wait(c, NULL, length))
            text = take(c, length);
    } else if (eg_client_wait(c, NULL, 0)) {
        length = c->len;
        text = take(c, length);
    }
    if (n)
        *n = length;
    if (body)
        *body = text;
    else
        free(text);
    return text ? status : -status;
}

int eg_client_connect(struct eg_client *c, const struct eg_world *w, const char *authority)
{
    char head[8192];
    eg_client_text(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                   authority, authority, w->token);
    return eg_client_response(c, head, sizeof head, NULL, NULL);
}
