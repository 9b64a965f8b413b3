/* ask.c - the HTTP client of the benchmark: kept-alive connections on loopback, one request at a time on each. Prints one JSON line.
 *
 *   ask --port PORT --path PATH [--head FILE] [--count N] [--concurrency N] [--ms MS] [--upload BYTES] [--first] [--tls CA.pem] [--hold]
 *
 * A measurement ends after its count, or after --ms, whichever is first. FILE holds whole header lines (CRLF), so that no key stands on a command
 * line. --upload sends a body with each request. --first takes the time to the first byte of the answer's body, which may then be chunked. --tls asks
 * an origin named localhost itself, one at a time. --hold keeps the connections open, idle, until stdin ends. Bodies are dropped without a copy, so
 * that the client is not what is measured. */
#include <getopt.h>
#include <sys/epoll.h>

#include "bench/sample.h"
#include "tls/aead.h"
#include "tls/context.h"
#include "tls/session.h"

enum { CONNECTIONS = 4096, EVENTS = 256, CHUNK = 1 << 20 };

struct conn {
    int fd;
    struct eg_tls *tls;
    uint64_t begun;
    size_t n;      /* of the head, in `in` */
    uint64_t left; /* of the body */
    bool body;     /* the head is read */
    bool chunked, seen;
    char in[BENCH_HEAD_MAX];
};

static struct {
    uint16_t port;
    const char *path, *ca;
    char head[BENCH_HEAD_MAX / 2];
    uint64_t count, upload, ends;
    unsigned concurrency;
    bool first, hold;
} option = { .path = "/", .count = 1000, .concurrency = 1, .ends = UINT64_MAX };

static int epoll_fd;
static uint64_t started;
static unsigned open_count; /* connections that have something under way */
static char *request, *dropped;
static size_t request_n;

/* ---- TLS of a blocking socket ---- */

static enum eg_status tls_recv(void *ctx, char *p, size_t n, size_t *done)
{
    ssize_t k = recv(*(int *)ctx, p, n, 0);
    *done = k > 0 ? (size_t)k : 0;
    return k > 0 ? EG_OK : k == 0 ? EG_EOF : EG_IO;
}

static enum eg_status tls_send(void *ctx, const char *p, size_t n, size_t *done)
{
    bench_send(*(int *)ctx, p, n);
    *done = n;
    return EG_OK;
}

static void tls_open(struct conn *c)
{
    static char pem[1 << 16];
    struct eg_authority name;
    struct eg_tls_ctx *ctx = NULL;
    struct eg_err err = { 0 };
    size_t n = bench_read_file(option.ca, pem, sizeof pem);
    const struct eg_tls_client_config config = { .ca_pem = { eg_slice(pem, n) } };
    const struct eg_tls_transport transport = { tls_recv, tls_send, &c->fd };
    if (eg_tls_start(&err) != EG_OK)
        bench_die("tls: %s", err.text);
    eg_tls_load();
    (void)!eg_tls_hasten(NULL);
    if (eg_tls_client_ctx(&config, &ctx, &err) != EG_OK ||
        eg_host_parse(EG_SLICE("localhost"), &name, &err) != EG_OK ||
        eg_tls_connect(ctx, &name, &transport, &c->tls, &err) != EG_OK ||
        eg_tls_handshake(c->tls, &err) != EG_OK)
        bench_die("tls: %s", err.text);
}

static void tls_write(struct conn *c, const char *p, size_t n)
{
    for (size_t done = 0; n > 0; p += done, n -= done)
        if (eg_tls_write(c->tls, p, n, &done, NULL) != EG_OK)
            bench_die("tls: the write failed");
}

/* ---- one connection ---- */

static void put(struct conn *c, const char *p, size_t n)
{
    if (c->tls)
        tls_write(c, p, n);
    else
        bench_send(c->fd, p, n);
}

static void begin(struct conn *c)
{
    started++;
    c->n = 0;
    c->body = c->seen = false;
    c->begun = bench_now();
    put(c, request, request_n);
}

static void body_seen(struct conn *c)
{
    if (option.first && !c->seen)
        sample(c->begun);
    c->seen = true;
}

static void finished(struct conn *c)
{
    if (!option.first)
        sample(c->begun);
    if (started < option.count && bench_now() < option.ends)
        begin(c);
    else
        open_count--;
}

/* What of the body is in c->in, from there on. A chunked one ends where its text says so: the origin writes none that looks like it. */
static void body_bytes(struct conn *c, size_t from)
{
    size_t n = c->n - from;
    if (n > 0 || c->chunked)
        body_seen(c);
    if (c->chunked) {
        if (memmem(c->in, c->n, "\r\n0\r\n\r\n", 7)) {
            finished(c);
            return;
        }
        size_t keep = c->n < 6 ? c->n : 6;
        memmove(c->in, c->in + c->n - keep, keep);
        c->n = keep;
        return;
    }
    if (n > c->left)
        bench_die("more than the answer");
    c->left -= n;
    c->n = 0;
    if (c->left == 0)
        finished(c);
}

static void head_bytes(struct conn *c)
{
    size_t head = bench_head_length(c->in, c->n);
    if (head == 0)
        return;
    bench_expect_ok(c->in, c->n);
    char kept = c->in[head - 1];
    c->in[head - 1] = 0;
    const char *length = strcasestr(c->in, "\r\nContent-Length:");
    c->chunked = strcasestr(c->in, "\r\nTransfer-Encoding: chunked");
    if (!length && !c->chunked)
        bench_die("an answer without a length: %s", c->in);
    c->left = length ? strtoull(length + 17, NULL, 10) : 0;
    c->in[head - 1] = kept;
    c->body = true;
    body_bytes(c, head);
}

static void readable(struct conn *c)
{
    size_t n = 0;
    bool drop = c->body && !c->chunked && c->n == 0;
    if (c->tls) {
        enum eg_status r = drop ? eg_tls_read(c->tls, dropped, CHUNK, &n, NULL)
                                : eg_tls_read(c->tls, c->in + c->n, sizeof c->in - c->n, &n, NULL);
        if (r != EG_OK)
            bench_die("tls: the read failed");
    } else if (drop) {
        ssize_t k = recv(c->fd, dropped, CHUNK, MSG_TRUNC);
        if (k <= 0)
            bench_die("the answer ended early");
        n = (size_t)k;
    } else {
        n = bench_recv(c->fd, c->in + c->n, sizeof c->in - c->n);
    }
    if (drop) {
        if (n > c->left)
            bench_die("more than the answer");
        c->left -= n;
        if (c->left == 0)
            finished(c);
        return;
    }
    c->n += n;
    if (c->body)
        body_bytes(c, 0);
    else
        head_bytes(c);
}

/* ---- the run ---- */

static void make_request(void)
{
    request = malloc(BENCH_HEAD_MAX + option.upload);
    dropped = malloc(CHUNK);
    if (!request || !dropped)
        bench_die("no memory");
    char length[64] = "";
    if (option.upload)
        snprintf(length, sizeof length, "Content-Length: %llu\r\n",
                 (unsigned long long)option.upload);
    int n = snprintf(request, BENCH_HEAD_MAX, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s%s\r\n",
                     option.upload ? "POST" : "GET", option.path, option.port, option.head, length);
    if (n < 0 || n >= BENCH_HEAD_MAX)
        bench_die("the request is too long");
    memset(request + n, 'u', option.upload);
    request_n = (size_t)n + option.upload;
}

static void connect_one(struct conn *c)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    c->fd = bench_connect(option.port);
    if (option.ca)
        tls_open(c);
    else if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
        bench_die("epoll: %s", strerror(errno));
}

/* One after the other, so that the party never needs more at once than for one. */
static void hold(struct conn *conns)
{
    char byte;
    for (unsigned i = 0; i < option.concurrency; i++) {
        connect_one(&conns[i]);
        option.count = started + 1;
        open_count = 1;
        begin(&conns[i]);
        while (open_count > 0)
            readable(&conns[i]);
    }
    printf("{\"open\":%u}\n", option.concurrency);
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    free(conns);
}

static void run(void)
{
    struct epoll_event events[EVENTS];
    struct conn *conns = calloc(option.concurrency, sizeof *conns);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!conns || epoll_fd < 0)
        bench_die("start: %s", strerror(errno));
    if (option.hold) {
        hold(conns);
        return;
    }
    for (unsigned i = 0; i < option.concurrency; i++)
        connect_one(&conns[i]);
    uint64_t begun = bench_now();
    for (open_count = 0; open_count < option.concurrency;)
        begin(&conns[open_count++]);
    while (open_count > 0) {
        int n = option.ca ? 1 : epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < n; i++)
            readable(option.ca ? conns : events[i].data.ptr);
    }
    sample_report(begun);
    if (conns->tls)
        eg_tls_free(conns->tls);
    free(conns);
    free(request);
    free(dropped);
}

int main(int argc, char **argv)
{
    static const struct option list[] = { { "port", 1, NULL, 'p' },
                                          { "path", 1, NULL, 'a' },
                                          { "head", 1, NULL, 'h' },
                                          { "count", 1, NULL, 'n' },
                                          { "concurrency", 1, NULL, 'c' },
                                          { "ms", 1, NULL, 'm' },
                                          { "tls", 1, NULL, 't' },
                                          { "upload", 1, NULL, 'u' },
                                          { "first", 0, NULL, 'f' },
                                          { "hold", 0, NULL, 'o' },
                                          { NULL, 0, NULL, 0 } };
    for (int o; (o = getopt_long(argc, argv, "", list, NULL)) != -1;) {
        switch (o) {
        case 'p':
            option.port = (uint16_t)bench_number(optarg, 65535);
            break;
        case 'a':
            option.path = optarg;
            break;
        case 'h':
            bench_read_file(optarg, option.head, sizeof option.head);
            break;
        case 'n':
            option.count = bench_number(optarg, 10000000);
            break;
        case 'c':
            option.concurrency = (unsigned)bench_number(optarg, CONNECTIONS);
            break;
        case 'm':
            option.ends = bench_now() + bench_number(optarg, 600000) * 1000000;
            break;
        case 't':
            option.ca = optarg;
            break;
        case 'u':
            option.upload = bench_number(optarg, 1 << 30);
            break;
        case 'f':
            option.first = true;
            break;
        case 'o':
            option.hold = true;
            break;
        default:
            exit(2);
        }
    }
    bench_deadline(60);
    if (option.concurrency == 0 || (option.ca && option.concurrency != 1))
        bench_die("--concurrency: at least one, and one with --tls");
    sample_begin(option.count);
    make_request();
    run();
    return 0;
}
