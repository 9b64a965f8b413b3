/* socks.c - the table of SOCKS5 handshakes (socks.md) against an engine in this process, whole, byte by byte and cut at every
 * place: the answer, the reason in the audit, and what the origin receives must not depend on the pieces. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/sock.h"
#include "support/bed.h"
#include "support/vectors.h"

enum { LISTENER, SENT, ANSWER, REASON, ORIGIN, COLUMNS };
enum { TOKEN, OPEN, HTTP, SOCKS, LISTENERS };

static const char POLICY[] = "egress: 1\n"
                             "allow:\n"
                             "  - {host: raw.test, scheme: tcp, ports: any}\n"
                             "  - {host: tls.test, ports: any}\n"
                             "  - {host: port.test, ports: [1]}\n"
                             "  - {host: private.test, scheme: tcp, ports: any}\n"
                             "  - {address: 127.0.0.1, scheme: tcp, ports: any}\n"
                             "  - {address: \"::1\", scheme: tcp, ports: any}\n"
                             "deny: [bad.test]\n"
                             "networks: {allow: [127.0.0.1/32]}\n";
static const char HOSTS[] =
    "127.0.0.1 raw.test tls.test port.test bad.test\n10.0.0.1 private.test\n";

struct table {
    struct eg_bed bed;
    int origin; /* listens */
    uint16_t port, dead;
};

static void put_port(struct eg_buf *out, uint16_t port)
{
    const unsigned char octets[] = { (unsigned char)(port >> 8), (unsigned char)port };
    cr_assert(eg_buf_append(out, octets, 2) == EG_OK);
}

/* One placeholder, of which `<` was taken; returns what stands behind it. */
static struct eg_slice put_special(const struct table *t, struct eg_slice rest, struct eg_buf *out)
{
    long end = eg_slice_index(rest, '>');
    struct eg_slice word = eg_slice(rest.p, end > 0 ? (size_t)end : 0);
    if (eg_vector_is(word, "token"))
        cr_assert(eg_buf_append(out, EG_BED_TOKEN, 64) == EG_OK);
    else if (eg_vector_is(word, "port") || eg_vector_is(word, "dead"))
        put_port(out, eg_vector_is(word, "port") ? t->port : t->dead);
    else
        for (long n = strtol(word.p + 2, NULL, 10); n > 0; n--)
            cr_assert(word.n > 2 && word.p[1] == '*' && eg_buf_append(out, word.p, 1) == EG_OK);
    return eg_slice_from(rest, word.n + 1);
}

static void expand(const struct table *t, struct eg_slice cell, struct eg_buf *out)
{
    eg_buf_init(out, 4096);
    while (cell.n > 0) {
        char c = cell.p[0];
        cell = eg_slice_from(cell, 1);
        if (c == '<')
            cell = put_special(t, cell, out);
        else
            cr_assert(eg_buf_append(out, &c, 1) == EG_OK);
    }
}

/* What came over all connections to the origin, in full once the flows are gone; how many there were. */
static unsigned origin_got(struct table *t, char *out, size_t cap, size_t *n)
{
    unsigned count = 0;
    struct eg_sockaddr peer;
    int fd;
    *n = 0;
    while (eg_sock_accept(t->origin, &fd, &peer, NULL) == EG_OK) {
        bool eof;
        count++;
        *n += eg_bed_read(&t->bed, fd, out + *n, cap - *n, &eof);
        cr_expect(eof);
        close(fd);
    }
    return count;
}

/* Sends the pieces [0, cut), [cut, n), or single bytes (cut 0); a refusal may end the connection before the last. */
static void send_pieces(struct table *t, int fd, struct eg_slice bytes, size_t cut)
{
    for (size_t i = 0; i < bytes.n;) {
        size_t n = cut == 0 ? 1 : i < cut && cut < bytes.n ? cut : bytes.n - i;
        if (send(fd, bytes.p + i, n, MSG_NOSIGNAL) < 0)
            return;
        i += n;
        eg_bed_turn(&t->bed, 0);
        eg_bed_turn(&t->bed, 0);
    }
}

static void run(struct table *t, const struct eg_vector_row *row, unsigned listener, size_t cut,
                struct eg_slice sent, struct eg_slice answer)
{
    char got[2048], at_origin[2048];
    size_t n, origin_n;
    bool eof = false, allowed = eg_vector_is(row->cell[REASON], "ok");
    bool http = answer.n && answer.p[0] == 'H';
    int fd = eg_bed_connect_unix(listener);
    (void)eg_bed_reason(&t->bed); /* of the row before */
    send_pieces(t, fd, sent, cut);
    if (allowed)
        shutdown(fd, SHUT_WR);
    n = eg_bed_read(&t->bed, fd, got, allowed ? answer.n : sizeof got, &eof);
    cr_expect(http ? n > answer.n : n == answer.n, "%s:%d: cut %zu: answer %s", row->file,
              row->line, cut, eg_vector_show(eg_slice(got, n)));
    cr_expect(n >= answer.n && memcmp(got, answer.p, answer.n) == 0, "%s:%d: cut %zu: answer %s",
              row->file, row->line, cut, eg_vector_show(eg_slice(got, n)));
    cr_expect(eof == !allowed, "%s:%d: cut %zu: %s", row->file, row->line, cut,
              eof ? "closed" : "open");
    const char *reason = eg_bed_reason(&t->bed);
    cr_expect(eg_vector_is(row->cell[REASON], reason), "%s:%d: cut %zu: reason %s", row->file,
              row->line, cut, reason);
    if (!allowed)
        close(fd);
    unsigned reached = origin_got(t, at_origin, sizeof at_origin, &origin_n);
    if (allowed)
        close(fd);
    bool hello = eg_vector_is(row->cell[REASON], "not_tls");
    cr_expect(reached == (allowed || hello) &&
                  eg_slice_eq(eg_slice(at_origin, origin_n), row->cell[ORIGIN]),
              "%s:%d: cut %zu: %u connections, origin got %s", row->file, row->line, cut, reached,
              eg_vector_show(eg_slice(at_origin, origin_n)));
    cr_expect(eg_bed_quiet(&t->bed), "%s:%d: cut %zu: the flow stays", row->file, row->line, cut);
}

static void check(const struct eg_vector_row *row, void *ctx)
{
    static const char *const names[LISTENERS] = { "token", "open", "http", "socks" };
    struct table *t = ctx;
    struct eg_buf sent, answer;
    unsigned listener = 0;
    while (listener < LISTENERS && !eg_vector_is(row->cell[LISTENER], names[listener]))
        listener++;
    cr_assert(listener < LISTENERS, "%s:%d: which listener?", row->file, row->line);
    expand(t, row->cell[SENT], &sent);
    expand(t, row->cell[ANSWER], &answer);
    for (size_t cut = 0; cut <= sent.len; cut++)
        run(t, row, listener, cut, eg_buf_slice(&sent), eg_buf_slice(&answer));
    eg_buf_done(&sent);
    eg_buf_done(&answer);
}

static void listen_all(struct table *t)
{
    const unsigned both = EG_PROTOCOL_HTTP | EG_PROTOCOL_SOCKS;
    struct eg_listen_config configs[LISTENERS] = {
        [TOKEN] = { .protocols = both, .auth = EG_AUTH_TOKEN },
        [OPEN] = { .protocols = both, .auth = EG_AUTH_NONE },
        [HTTP] = { .protocols = EG_PROTOCOL_HTTP, .auth = EG_AUTH_TOKEN },
        [SOCKS] = { .protocols = EG_PROTOCOL_SOCKS, .auth = EG_AUTH_NONE },
    };
    for (unsigned i = 0; i < LISTENERS; i++)
        eg_bed_listen_unix(&t->bed, i, &configs[i]);
}

static void setup(struct table *t)
{
    const struct eg_sockaddr any = { { 4, { 127, 0, 0, 1 } }, 0 };
    char token[65];
    struct eg_sockaddr at;
    int fd;
    eg_bed_new(&t->bed, POLICY, HOSTS);
    memset(token, 'e', 64);
    token[64] = 0;
    eg_bed_session(&t->bed, "old", "old", token, 1);
    memset(token, 'f', 64);
    eg_bed_session(&t->bed, "gone", "gone", token, 0);
    eg_engine_session_revoke(t->bed.engine, "gone");
    cr_assert(eg_sock_listen(&any, &t->origin, &at, NULL) == EG_OK);
    t->port = at.port;
    cr_assert(eg_sock_listen(&any, &fd, &at, NULL) == EG_OK);
    t->dead = at.port;
    close(fd);
    listen_all(t);
}

Test(proxy, socks_table, .timeout = 300)
{
    struct table t;
    setup(&t);
    cr_expect_geq(eg_vectors_each("tests/vectors/socks.md", COLUMNS, check, &t), 100);
    close(t.origin);
    eg_bed_free(&t.bed);
}

static void check_octet(const struct eg_vector_row *row, void *ctx)
{
    bool found = false;
    (void)ctx;
    for (int i = 0; i < EG_STATUS_COUNT; i++) {
        enum eg_status status = (enum eg_status)i;
        if (!eg_vector_is(row->cell[0], egress_status_name(status)))
            continue;
        found = true;
        cr_expect_eq(egress_status_socks(status), strtol(row->cell[1].p, NULL, 10), "%s:%d",
                     row->file, row->line);
    }
    cr_expect(found, "%s:%d: no such reason", row->file, row->line);
}

Test(proxy, socks_replies)
{
    cr_expect_geq(eg_vectors_each("tests/vectors/socks.md", 2, check_octet, NULL), 28);
}
