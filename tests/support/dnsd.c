/* dnsd.c - see dnsd.h. It answers A and AAAA of the names it was given; it is as strict as tests need and no more. */
#include "support/dnsd.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/listen.h"

enum { ADDRS = 16, MESSAGE = 1024, PORTS = 64, HEADER = 12 };
enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_AAAA = 28 };
enum { HANG4 = 1, HANG6 = 2, NXDOMAIN = 4, SERVFAIL = 8, GARBAGE = 16, CUT = 32, BAD_ID = 64 };
enum { TTL = 60, NO_ALIAS = -1 };

struct rule {
    struct rule *next;
    struct rule *then; /* for the next question of the same type */
    char name[256];
    unsigned flags;
    unsigned asked[2]; /* A, AAAA */
    uint32_t ttl;
    long alias; /* TTL of a CNAME before the addresses */
    unsigned count;
    struct eg_addr addrs[ADDRS];
};

struct conn {
    struct conn *next, **link;
    struct dnsd *dnsd;
    struct eg_watch watch;
    size_t len;
    unsigned char in[MESSAGE];
};

struct dnsd {
    struct eg_loop *loop;
    int udp, tcp;
    struct eg_watch watch;
    struct eg_listener listener;
    struct eg_sockaddr at;
    struct rule *rules;
    struct conn *conns;
    void (*asked)(void *ctx, const char *name, unsigned type, bool tcp);
    void *ctx;
    unsigned questions, port_count;
    in_port_t ports[PORTS];
};

struct question {
    char name[256];
    unsigned type;
    size_t end; /* of the question section */
};

static bool parse(const unsigned char *m, size_t n, struct question *q)
{
    size_t at = HEADER;
    size_t len = 0;
    if (n < HEADER || m[4] != 0 || m[5] != 1)
        return false;
    while (at < n && m[at] != 0) {
        size_t label = m[at++];
        if (label > 63 || at + label >= n || len + label + 1 >= sizeof q->name)
            return false;
        if (len)
            q->name[len++] = '.';
        memcpy(q->name + len, m + at, label);
        len += label;
        at += label;
    }
    q->name[len] = '\0';
    if (at + 5 > n)
        return false;
    q->type = (unsigned)m[at + 1] << 8 | m[at + 2];
    q->end = at + 5;
    return true;
}

static const struct rule *find(struct dnsd *d, const struct question *q)
{
    for (struct rule *r = d->rules; r; r = r->next) {
        if (strcasecmp(r->name, q->name) != 0)
            continue;
        const struct rule *now = r;
        for (unsigned n = r->asked[q->type == TYPE_AAAA]++; n > 0 && now->then; n--)
            now = now->then;
        return now;
    }
    return NULL;
}

/* A record's name (a pointer to the question's, or to the alias's), type, class IN, TTL and length. */
static size_t put_head(unsigned char *out, unsigned name, unsigned type, uint32_t ttl, unsigned len)
{
    unsigned char head[] = { (unsigned char)(0xc0 | name >> 8),
                             (unsigned char)name,
                             0,
                             (unsigned char)type,
                             0,
                             1,
                             (unsigned char)(ttl >> 24),
                             (unsigned char)(ttl >> 16),
                             (unsigned char)(ttl >> 8),
                             (unsigned char)ttl,
                             0,
                             (unsigned char)len };
    memcpy(out, head, sizeof head);
    return sizeof head;
}

static size_t put_answers(unsigned char *out, size_t at, const struct rule *r, unsigned type,
                          unsigned *count)
{
    unsigned name = HEADER;
    if (r->alias != NO_ALIAS) { /* NAME CNAME x.NAME */
        at += put_head(out + at, HEADER, TYPE_CNAME, (uint32_t)r->alias, 4);
        name = (unsigned)at;
        memcpy(out + at, "\1x\xc0\x0c", 4);
        at += 4;
        (*count)++;
    }
    for (unsigned i = 0; i < r->count; i++) {
        unsigned char len = r->addrs[i].family == 4 ? 4 : 16;
        if ((type == TYPE_A) != (len == 4) || (type != TYPE_A && type != TYPE_AAAA))
            continue;
        at += put_head(out + at, name, type, r->ttl, len);
        memcpy(out + at, r->addrs[i].b, len);
        at += len;
        (*count)++;
    }
    return at;
}

/* The answer to m in out; 0: there is none. */
static size_t answer(struct dnsd *d, const unsigned char *m, size_t n, bool tcp, unsigned char *out,
                     bool *bad_id)
{
    struct question q;
    if (!parse(m, n, &q))
        return 0;
    d->questions++;
    if (d->asked)
        d->asked(d->ctx, q.name, q.type, tcp);
    const struct rule *r = find(d, &q);
    unsigned flags = r ? r->flags : NXDOMAIN;
    if ((flags & HANG4 && q.type == TYPE_A) || (flags & HANG6 && q.type == TYPE_AAAA))
        return 0;
    *bad_id = flags & BAD_ID;
    memcpy(out, m, q.end);
    memset(out + 6, 0, 6);
    out[2] = 0x84 | (m[2] & 1); /* answer, authoritative, recursion desired as asked */
    out[3] = 0x80;
    if (flags & NXDOMAIN)
        out[3] |= 3;
    if (flags & SERVFAIL)
        out[3] |= 2;
    if (flags & GARBAGE) {
        out[7] = 5;
        memset(out + q.end, 0xff, 40);
        return q.end + 40;
    }
    if (flags & CUT && !tcp) {
        out[2] |= 2;
        return q.end;
    }
    unsigned count = 0;
    size_t end =
        r && !(flags & (NXDOMAIN | SERVFAIL)) ? put_answers(out, q.end, r, q.type, &count) : q.end;
    out[7] = (unsigned char)count;
    return end;
}

static void note_port(struct dnsd *d, in_port_t port)
{
    for (unsigned i = 0; i < d->port_count; i++)
        if (d->ports[i] == port)
            return;
    if (d->port_count < PORTS)
        d->ports[d->port_count++] = port;
}

static void on_udp(struct eg_watch *w, unsigned events)
{
    struct dnsd *d = w->ctx;
    unsigned char in[MESSAGE];
    unsigned char out[MESSAGE];
    (void)events;
    for (;;) {
        struct sockaddr_in from;
        socklen_t from_len = sizeof from;
        bool bad_id = false;
        ssize_t n = recvfrom(d->udp, in, sizeof in, 0, (struct sockaddr *)&from, &from_len);
        if (n < 0)
            return;
        note_port(d, from.sin_port);
        size_t len = answer(d, in, (size_t)n, false, out, &bad_id);
        if (bad_id) {
            out[0] ^= 0x55;
            (void)!sendto(d->udp, out, len, 0, (struct sockaddr *)&from, from_len);
            out[0] ^= 0x55;
        }
        if (len)
            (void)!sendto(d->udp, out, len, 0, (struct sockaddr *)&from, from_len);
    }
}

static void conn_free(struct conn *c)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    eg_watch_drop(c->dnsd->loop, &c->watch);
    close(c->watch.fd);
    free(c);
}

/* RFC 1035 section 4.2.2: two octets of length before each message. */
static void on_conn(struct eg_watch *w, unsigned events)
{
    struct conn *c = w->ctx;
    unsigned char out[MESSAGE + 2];
    (void)events;
    ssize_t n = recv(w->fd, c->in + c->len, sizeof c->in - c->len, 0);
    if (n <= 0) {
        conn_free(c);
        return;
    }
    c->len += (size_t)n;
    while (c->len >= 2) {
        size_t need = ((size_t)c->in[0] << 8 | c->in[1]) + 2;
        bool bad_id = false;
        if (need > sizeof c->in) {
            conn_free(c);
            return;
        }
        if (c->len < need)
            return;
        size_t len = answer(c->dnsd, c->in + 2, need - 2, true, out + 2, &bad_id);
        out[0] = (unsigned char)(len >> 8);
        out[1] = (unsigned char)len;
        if (len)
            (void)!send(w->fd, out, len + 2, MSG_NOSIGNAL);
        memmove(c->in, c->in + need, c->len - need);
        c->len -= need;
    }
}

static void on_accept(struct eg_listener *l, int fd, const struct eg_sockaddr *peer)
{
    struct dnsd *d = l->ctx;
    struct conn *c = calloc(1, sizeof *c);
    (void)peer;
    if (!c) {
        close(fd);
        return;
    }
    c->dnsd = d;
    c->watch = (struct eg_watch){ .ready = on_conn, .ctx = c, .fd = fd };
    c->next = d->conns;
    c->link = &d->conns;
    if (c->next)
        c->next->link = &c->next;
    d->conns = c;
    if (eg_watch_set(d->loop, &c->watch, fd, 0, EG_IN) != EG_OK)
        conn_free(c);
}

/* One port for both: TCP chooses, UDP follows, again when somebody has it. */
static bool open_sockets(struct dnsd *d)
{
    struct eg_sockaddr any = { .addr = { .family = 4, .b = { 127, 0, 0, 1 } } };
    for (int i = 0; i < 20; i++) {
        struct sockaddr_storage sa;
        if (eg_sock_listen(&any, &d->tcp, &d->at, NULL) != EG_OK)
            return false;
        d->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        socklen_t n = eg_sockaddr_to(&d->at, &sa);
        if (d->udp >= 0 && bind(d->udp, (struct sockaddr *)&sa, n) == 0)
            return true;
        close(d->tcp);
        if (d->udp >= 0)
            close(d->udp);
        d->tcp = d->udp = -1;
    }
    return false;
}

struct dnsd *dnsd_new(struct eg_loop *loop)
{
    struct dnsd *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->loop = loop;
    d->udp = d->tcp = -1;
    if (!open_sockets(d))
        goto fail;
    d->watch = (struct eg_watch){ .ready = on_udp, .ctx = d };
    d->listener = (struct eg_listener){ .accepted = on_accept, .ctx = d };
    if (eg_watch_set(loop, &d->watch, d->udp, 0, EG_IN) != EG_OK ||
        eg_listener_start(&d->listener, loop, d->tcp, false, NULL) != EG_OK)
        goto fail;
    return d;
fail:
    dnsd_free(d);
    return NULL;
}

static void rule_free(struct rule *r)
{
    while (r) {
        struct rule *then = r->then;
        free(r);
        r = then;
    }
}

void dnsd_free(struct dnsd *d)
{
    if (!d)
        return;
    while (d->conns)
        conn_free(d->conns);
    eg_watch_drop(d->loop, &d->watch);
    eg_listener_stop(&d->listener);
    if (d->udp >= 0)
        close(d->udp);
    if (d->tcp >= 0)
        close(d->tcp);
    while (d->rules) {
        struct rule *r = d->rules;
        d->rules = r->next;
        rule_free(r);
    }
    free(d);
}

static bool add_word(struct rule *r, struct eg_slice word)
{
    static const struct {
        struct eg_slice word;
        unsigned flags;
    } words[] = {
        { { "hang", 4 }, HANG4 | HANG6 },
        { { "hang4", 5 }, HANG4 },
        { { "hang6", 5 }, HANG6 },
        { { "nxdomain", 8 }, NXDOMAIN },
        { { "servfail", 8 }, SERVFAIL },
        { { "garbage", 7 }, GARBAGE },
        { { "tc", 2 }, CUT },
        { { "badid", 5 }, BAD_ID },
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (eg_slice_eq(word, words[i].word)) {
            r->flags |= words[i].flags;
            return true;
        }
    }
    char text[64];
    snprintf(text, sizeof text, "%.*s", (int)word.n, word.p);
    if (sscanf(text, "ttl%u", &r->ttl) == 1 || sscanf(text, "alias%ld", &r->alias) == 1)
        return true;
    return r->count < ADDRS && eg_addr_parse(word, &r->addrs[r->count++]);
}

static struct rule *rule_new(void)
{
    struct rule *r = calloc(1, sizeof *r);
    if (r) {
        r->ttl = TTL;
        r->alias = NO_ALIAS;
    }
    return r;
}

bool dnsd_rule(struct dnsd *d, const char *rule)
{
    const char *equals = strchr(rule, '=');
    struct rule *r = rule_new();
    struct rule *now = r;
    if (!equals || !r || equals == rule || (size_t)(equals - rule) >= sizeof r->name)
        goto fail;
    memcpy(r->name, rule, (size_t)(equals - rule));
    struct eg_slice rest = eg_slice_str(equals + 1);
    struct eg_slice word;
    while (eg_slice_list_next(&rest, &word)) {
        if (eg_slice_eq(word, EG_SLICE("then"))) {
            now = now->then = rule_new();
            if (!now)
                goto fail;
        } else if (!add_word(now, word)) {
            goto fail;
        }
    }
    r->next = d->rules; /* a later rule for the same name wins */
    d->rules = r;
    return true;
fail:
    rule_free(r);
    return false;
}

struct eg_sockaddr dnsd_at(const struct dnsd *d)
{
    return d->at;
}

void dnsd_on_question(struct dnsd *d,
                      void (*asked)(void *ctx, const char *name, unsigned type, bool tcp),
                      void *ctx)
{
    d->asked = asked;
    d->ctx = ctx;
}

unsigned dnsd_questions(const struct dnsd *d)
{
    return d->questions;
}

unsigned dnsd_ports(const struct dnsd *d)
{
    return d->port_count;
}
