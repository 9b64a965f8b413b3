/* proxy_capture.c - clients that show no token: captured connections, which know nothing of a proxy, and the listener that stands for a
 * session. Where a captured client wanted to go, the test says in the kernel's place. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/sock.h"
#include "proxy/flow.h"
#include "proxy/names.h"
#include "support/bed.h"

static struct eg_sockaddr goal; /* family 0: the kernel knows of none */

static bool wanted(void *ctx, struct eg_sockaddr *ret)
{
    (void)ctx;
    *ret = goal;
    return goal.addr.family != 0;
}

static const char POLICY[] = "egress: 1\n"
                             "allow:\n"
                             "  - {host: raw.test, scheme: tcp, ports: any}\n"
                             "  - {host: tls.test, ports: any}\n"
                             "  - {host: plain.test, scheme: http, ports: any}\n"
                             "  - {host: gone.test, scheme: tcp, ports: any}\n"
                             "  - {address: 127.0.0.2, scheme: tcp, ports: any}\n"
                             "deny: [never.test]\n"
                             "networks: {allow: [127.0.0.0/8]}\n";
static const char HOSTS[] = "127.0.0.1 raw.test tls.test plain.test\n";

#define TLS_HEAD "\x16\x03\x01"
#define ALERT    EG_HELLO_ALERT

struct scene {
    struct eg_bed bed;
    uint16_t port, origin_port;
    int origin;
};

static uint16_t listen_as(struct scene *s, enum eg_ingress_kind kind, const char *label)
{
    const struct eg_listen_session whose = { EG_SLICE(""), eg_slice_str(label) };
    struct eg_listen_config config = {
        .kind = kind, .auth = EG_AUTH_TOKEN, .sessions = &whose, .session_count = 1
    };
    return eg_bed_listen(&s->bed, &config);
}

/* A resolver, so that there is a table; its socket is not asked. */
static void resolver(struct scene *s)
{
    const struct eg_sockaddr any = { { 4, { 127, 0, 0, 1 } }, 0 };
    const struct eg_listen_config config = { .kind = EG_INGRESS_NAMES_TCP };
    struct eg_sockaddr at;
    int fd = -1;
    cr_assert(eg_sock_listen(&any, &fd, &at, NULL) == EG_OK);
    cr_assert(eg_engine_listen(s->bed.engine, fd, &config, NULL) == EG_OK);
}

static void setup(struct scene *s, const char *label)
{
    const struct eg_sockaddr any = { { 4, { 127, 0, 0, 1 } }, 0 };
    struct eg_sockaddr at;
    memset(s, 0, sizeof *s);
    eg_bed_new(&s->bed, POLICY, HOSTS);
    s->bed.engine->wanted = wanted;
    goal = (struct eg_sockaddr){ .port = 0 };
    resolver(s);
    s->port = listen_as(s, EG_INGRESS_CAPTURE, label);
    cr_assert(eg_sock_listen(&any, &s->origin, &at, NULL) == EG_OK);
    s->origin_port = at.port;
}

static void finish(struct scene *s)
{
    cr_expect(eg_bed_quiet(&s->bed), "flows stay");
    close(s->origin);
    eg_bed_free(&s->bed);
}

/* As if the child had looked that name up. */
static void to_name(struct scene *s, const char *host, uint16_t port)
{
    struct eg_authority name;
    cr_assert(eg_host_parse(eg_slice_str(host), &name, NULL) == EG_OK);
    cr_assert(eg_names_address(s->bed.engine->names, &name, &goal.addr) == EG_OK);
    goal.port = port;
}

/* What a client that says that gets, until the end of the connection. */
static size_t said(struct scene *s, struct eg_slice first, char *out, size_t n)
{
    bool eof = false;
    int fd = eg_bed_connect(s->port);
    if (first.n > 0)
        cr_assert(send(fd, first.p, first.n, 0) == (ssize_t)first.n);
    else
        shutdown(fd, SHUT_WR);
    size_t have = eg_bed_read(&s->bed, fd, out, n, &eof);
    cr_expect(eof || have == n, "the connection stays");
    close(fd);
    return have;
}

static void decision(struct scene *s, const char *reason, const char *host, const char *session)
{
    struct egress_event e = { 0 }, last = { 0 };
    while (eg_bed_event(&s->bed, &e))
        if (e.kind == EGRESS_EVENT_DECISION)
            last = e;
    cr_expect(strcmp(egress_status_name((enum eg_status)last.reason), reason) == 0 &&
                  strcmp(last.host, host) == 0 && strcmp(last.session, session) == 0 &&
                  last.via == EGRESS_VIA_CAPTURED,
              "%s %s %s via %d", egress_status_name((enum eg_status)last.reason), last.host,
              last.session, last.via);
}

/* The bytes of a ClientHello for that name, as this parser wants them. */
static size_t hello(const char *sni, char *out)
{
    size_t n = strlen(sni), ext = n + 9, body = 41 + 2 + ext;
    char *p = out;
    const char head[] = {
        22,         3, 1, (char)((body + 4) >> 8), (char)(body + 4), 1, 0, (char)(body >> 8),
        (char)body, 3, 3
    };
    memcpy(p, head, sizeof head);
    p += sizeof head;
    memset(p, 7, 32);
    p += 32;
    const char rest[] = { 0,
                          0,
                          2,
                          0x13,
                          1,
                          1,
                          0,
                          (char)(ext >> 8),
                          (char)ext,
                          0,
                          0,
                          (char)((n + 5) >> 8),
                          (char)(n + 5),
                          (char)((n + 3) >> 8),
                          (char)(n + 3),
                          0,
                          (char)(n >> 8),
                          (char)n };
    memcpy(p, rest, sizeof rest);
    p += sizeof rest;
    memcpy(p, sni, n);
    return (size_t)(p + n - out);
}

/* The origin's end of a relay. */
static int accepted(struct scene *s)
{
    struct eg_sockaddr peer;
    int fd = -1;
    for (int i = 0; i < 5000 && eg_sock_accept(s->origin, &fd, &peer, NULL) != EG_OK; i++)
        eg_bed_turn(&s->bed, 1);
    cr_assert(fd >= 0, "nobody came to the origin");
    return fd;
}

static void relayed(struct scene *s, struct eg_slice first)
{
    char got[300];
    bool eof;
    int fd = eg_bed_connect(s->port);
    cr_assert(send(fd, first.p, first.n, 0) == (ssize_t)first.n);
    int origin = accepted(s);
    size_t n = eg_bed_read(&s->bed, origin, got, first.n, &eof);
    cr_expect(n == first.n && memcmp(got, first.p, n) == 0,
              "what the client said, and nothing before it: %zu", n);
    cr_assert(send(origin, "pong", 4, 0) == 4);
    cr_expect(eg_bed_read(&s->bed, fd, got, 4, &eof) == 4 && memcmp(got, "pong", 4) == 0,
              "nothing before the origin's own words");
    close(fd);
    close(origin);
}

Test(capture, tcp_is_relayed_without_a_word_of_ours)
{
    struct scene s;
    setup(&s, "main-label");
    to_name(&s, "raw.test", s.origin_port);
    relayed(&s, EG_SLICE("SSH-2.0-x\r\n"));
    decision(&s, "ok", "raw.test", "main-label");
    finish(&s);
}

Test(capture, tls_for_the_name_is_relayed)
{
    struct scene s;
    char text[200];
    setup(&s, "main-label");
    to_name(&s, "tls.test", s.origin_port);
    relayed(&s, eg_slice(text, hello("tls.test", text)));
    decision(&s, "ok", "tls.test", "main-label");
    finish(&s);
}

Test(capture, sni_of_another_name_is_told_by_an_alert)
{
    struct scene s;
    char text[200], got[64];
    setup(&s, "main-label");
    to_name(&s, "tls.test", s.origin_port);
    size_t n = said(&s, eg_slice(text, hello("raw.test", text)), got, sizeof got);
    cr_expect(n == EG_HELLO_ALERT_SIZE && memcmp(got, ALERT, n) == 0);
    decision(&s, "sni_mismatch", "tls.test", "main-label");
    finish(&s);
}

Test(capture, server_may_speak_first)
{
    struct scene s;
    char got[8];
    bool eof;
    setup(&s, "main-label");
    to_name(&s, "raw.test", s.origin_port);
    int fd = eg_bed_connect(s.port), origin = accepted(&s);
    cr_assert(send(origin, "hello", 5, 0) == 5);
    cr_expect(eg_bed_read(&s.bed, fd, got, 5, &eof) == 5);
    close(fd);
    close(origin);
    finish(&s);
}

Test(capture, refusals_are_told_in_the_clients_protocol)
{
    static const struct {
        const char *host, *reason;
    } rows[] = { { "never.test", "host_denied" },
                 { "unknown.test", "host_not_allowed" },
                 { "gone.test", "dns_failed" } };
    struct scene s;
    char text[200], got[4096];
    setup(&s, "main-label");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        to_name(&s, rows[i].host, 443);
        size_t n = said(&s, eg_slice(text, hello(rows[i].host, text)), got, sizeof got);
        cr_expect(n == EG_HELLO_ALERT_SIZE && memcmp(got, ALERT, n) == 0, "%s: %zu bytes",
                  rows[i].host, n);
        n = said(&s, EG_SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), got, sizeof got - 1);
        got[n] = 0;
        cr_expect(strncmp(got, "HTTP/1.1 ", 9) == 0 && strstr(got, rows[i].reason) &&
                      strstr(got, rows[i].host),
                  "%s: %s", rows[i].host, got);
        cr_expect_eq(said(&s, EG_SLICE("\0\0\0\x08\x04\xd2\x16\x2f"), got, sizeof got), 0,
                     "%s: another protocol is not answered", rows[i].host);
        cr_expect_eq(said(&s, EG_SLICE_NONE, got, sizeof got), 0, "%s: who says nothing",
                     rows[i].host);
    }
    finish(&s);
}

/* What OpenSSH shows: "Received disconnect from ... port 22:1: egress policy: ..." */
Test(capture, ssh_is_told_by_a_disconnect)
{
    struct scene s;
    char got[400];
    setup(&s, "main-label");
    to_name(&s, "never.test", 22);
    size_t n = said(&s, EG_SLICE("SSH-2.0-OpenSSH_9.2\r\n"), got, sizeof got);
    cr_assert(n > 40 && memcmp(got, "SSH-2.0-egress\r\n", 16) == 0, "%zu", n);
    const unsigned char *p = (const unsigned char *)got + 16;
    size_t length = (size_t)p[2] << 8 | p[3], pad = p[4], text = p[13];
    cr_expect(p[0] == 0 && p[1] == 0 && 4 + length == n - 16 && (4 + length) % 8 == 0 && pad >= 4);
    cr_expect(p[5] == 1 && memcmp(p + 6, "\0\0\0\1\0\0\0", 7) == 0 &&
              length == 1 + 1 + 4 + 4 + text + 4 + pad);
    static const char want[] = "egress policy: host_denied: never.test:22";
    cr_expect(text > sizeof want && memcmp(p + 14, want, sizeof want - 1) == 0);
    for (size_t i = 14 + text; i < 4 + length; i++)
        cr_expect(p[i] == 0, "language and padding came from behind the padding's own bytes");
    finish(&s);
}

Test(capture, connect_that_fails_is_told_too)
{
    struct scene s;
    char text[200], got[64];
    setup(&s, "main-label");
    close(s.origin);
    s.origin = -1;
    to_name(&s, "raw.test", s.origin_port);
    size_t n = said(&s, eg_slice(text, hello("raw.test", text)), got, sizeof got);
    cr_expect(n == EG_HELLO_ALERT_SIZE && memcmp(got, ALERT, n) == 0, "%zu", n);
    s.origin = eg_bed_connect(s.port); /* something to close */
    finish(&s);
}

/* The deadline's own, so nothing here depends on how fast the machine is. */
Test(capture, who_waits_for_the_servers_word_is_cut)
{
    struct scene s;
    char got[8];
    bool eof = false;
    setup(&s, "main-label");
    to_name(&s, "never.test", 22);
    int fd = eg_bed_connect(s.port);
    cr_expect(eg_bed_read(&s.bed, fd, got, sizeof got, &eof) == 0 && eof);
    decision(&s, "host_denied", "never.test", "main-label");
    close(fd);
    finish(&s);
}

Test(capture, plain_http_is_judged_by_its_host)
{
    struct scene s;
    char got[2000];
    bool eof;
    setup(&s, "main-label");
    to_name(&s, "plain.test", s.origin_port);
    size_t n = said(&s, EG_SLICE("GET / HTTP/1.1\r\nHost: raw.test\r\nConnection: close\r\n\r\n"),
                    got, sizeof got - 1);
    got[n] = 0;
    cr_expect(strncmp(got, "HTTP/1.1 421 ", 13) == 0, "%s", got);
    int fd = eg_bed_connect(s.port);
    char text[200];
    snprintf(text, sizeof text, "GET /a HTTP/1.1\r\nHost: plain.test:%u\r\n\r\n", s.origin_port);
    cr_assert(send(fd, text, strlen(text), 0) == (ssize_t)strlen(text));
    int origin = accepted(&s);
    n = eg_bed_read(&s.bed, origin, got, 15, &eof);
    cr_expect(n == 15 && memcmp(got, "GET /a HTTP/1.1", 15) == 0,
              "in origin-form, as to an origin");
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    cr_assert(send(origin, answer, sizeof answer - 1, 0) == sizeof answer - 1);
    cr_expect(eg_bed_read(&s.bed, fd, got, 15, &eof) == 15 &&
              memcmp(got, "HTTP/1.1 200 OK", 15) == 0);
    close(fd);
    close(origin);
    finish(&s);
}

/* ---- addresses ---- */

Test(capture, literal_addresses_need_a_rule_of_their_own)
{
    struct scene s;
    char got[8];
    setup(&s, "main-label");
    goal = (struct eg_sockaddr){ { 4, { 10, 1, 2, 3 } }, 22 };
    cr_expect_eq(said(&s, EG_SLICE("x"), got, sizeof got), 0);
    decision(&s, "host_not_allowed", "10.1.2.3", "main-label");
    goal = (struct eg_sockaddr){ { 4, { 169, 254, 169, 254 } }, 80 };
    cr_expect_eq(said(&s, EG_SLICE("x"), got, sizeof got), 0);
    decision(&s, "metadata_denied", "169.254.169.254", "main-label");
    goal = (struct eg_sockaddr){ { 6, { 0x20, 1, 0xd, 0xb8, [15] = 1 } }, 22 };
    cr_expect_eq(said(&s, EG_SLICE("x"), got, sizeof got), 0);
    decision(&s, "host_not_allowed", "2001:db8::1", "main-label");
    finish(&s);
}

/* Even where the policy lets the whole range through: the number is a name's, and the name is gone. */
Test(capture, address_that_stands_for_nothing_is_never_connected)
{
    struct scene s;
    char got[8];
    setup(&s, "main-label");
    eg_bed_policy(&s.bed,
                  "egress: 1\nallow: [{cidr: 198.18.0.0/15, scheme: tcp, ports: any}]\nnetworks: "
                  "{allow: [198.18.0.0/15]}\n",
                  HOSTS);
    goal = (struct eg_sockaddr){ { 4, { 198, 18, 77, 7 } }, 22 };
    cr_expect_eq(said(&s, EG_SLICE("x"), got, sizeof got), 0);
    decision(&s, "dns_not_found", "198.18.77.7", "main-label");
    finish(&s);
}

Test(capture, port_called_by_itself_is_refused)
{
    struct scene s;
    char got[2000];
    setup(&s, "main-label");
    const struct eg_sockaddr own[] = { { { 4, { 127, 0, 0, 1 } }, s.port },
                                       { { 6, { [15] = 1 } }, s.port },
                                       { { 4, { 127, 0, 0, 2 } }, 80 },
                                       { { 0 }, 0 } };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        goal = own[i];
        size_t n = said(&s, EG_SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), got, sizeof got - 1);
        got[n] = 0;
        cr_expect(strncmp(got, "HTTP/1.1 400 ", 13) == 0, "row %zu: %s", i, got);
        decision(&s, "bad_target", "", "main-label");
    }
    s.bed.engine->wanted = NULL; /* the kernel: this connection was not redirected */
    size_t n = said(&s, EG_SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), got, sizeof got - 1);
    got[n] = 0;
    cr_expect(strncmp(got, "HTTP/1.1 400 ", 13) == 0, "%s", got);
    finish(&s);
}

/* ---- whose ---- */

Test(capture, session_that_is_not_there_or_gone_is_nobody)
{
    struct scene s;
    char got[8];
    setup(&s, "another-label");
    to_name(&s, "raw.test", s.origin_port);
    cr_expect_eq(said(&s, EG_SLICE("x"), got, sizeof got), 0);
    cr_expect_str_eq(eg_bed_reason(&s.bed), "token_missing");
    s.port = listen_as(&s, EG_INGRESS_CAPTURE, "main-label");
    eg_engine_session_revoke(s.bed.engine, "main");
    cr_expect_eq(said(&s, EG_SLICE("x"), got, sizeof got), 0);
    cr_expect_str_eq(eg_bed_reason(&s.bed), "token_revoked");
    finish(&s);
}

Test(capture, listener_for_nobody_is_refused)
{
    struct scene s;
    const struct eg_listen_config nobody = { .kind = EG_INGRESS_CAPTURE,
                                             .self = { { 4, { 127, 0, 0, 1 } }, 1 } };
    const struct eg_sockaddr any = { { 4, { 127, 0, 0, 1 } }, 0 };
    struct eg_sockaddr at;
    int fd = -1;
    setup(&s, "main-label");
    cr_assert(eg_sock_listen(&any, &fd, &at, NULL) == EG_OK);
    cr_expect(eg_engine_listen(s.bed.engine, fd, &nobody, NULL) == EG_INVALID);
    finish(&s);
}

Test(capture, open_listener_is_its_session_and_a_token_counts_first)
{
    static const struct {
        const char *token, *status, *reason, *session;
    } rows[] = { { NULL, "200", "ok", "main-label" },
                 { "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "200", "ok",
                   "other-label" },
                 { "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc", "407",
                   "token_invalid", "" } };
    struct scene s;
    setup(&s, "main-label");
    eg_bed_session(&s.bed, "other", "other-label",
                   "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 0);
    uint16_t port = listen_as(&s, EG_INGRESS_OPEN, "main-label");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[300], got[13] = "";
        struct egress_event e = { 0 }, last = { 0 };
        bool eof;
        int fd = eg_bed_connect(port);
        snprintf(text, sizeof text, "CONNECT raw.test:%u HTTP/1.1\r\n%s%s\r\n\r\n", s.origin_port,
                 rows[i].token ? "Proxy-Authorization: Bearer " : "X: y",
                 rows[i].token ? rows[i].token : "");
        cr_assert(send(fd, text, strlen(text), 0) == (ssize_t)strlen(text));
        cr_expect(eg_bed_read(&s.bed, fd, got, 12, &eof) == 12 &&
                      memcmp(got + 9, rows[i].status, 3) == 0,
                  "row %zu: %s", i, got);
        while (eg_bed_event(&s.bed, &e))
            if (e.kind == EGRESS_EVENT_DECISION)
                last = e;
        cr_expect(strcmp(egress_status_name((enum eg_status)last.reason), rows[i].reason) == 0 &&
                      strcmp(last.session, rows[i].session) == 0,
                  "row %zu: %s %s", i, egress_status_name((enum eg_status)last.reason),
                  last.session);
        close(fd);
    }
    finish(&s);
}
