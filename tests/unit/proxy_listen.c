/* proxy_listen.c - listeners over TLS: client certificates and the sessions they stand for, with HTTP and SOCKS5 inside; what
 * does not shake hands is dropped, recorded, and never read as anything else. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/sock.h"
#include "stream/stream.h"
#include "support/bed.h"
#include "support/pki.h"
#include "tls/context.h"

#define OTHER_TOKEN "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static const char POLICY[] = "egress: 1\n"
                             "allow: [{address: 127.0.0.1, scheme: tcp, ports: any}]\n"
                             "networks: {allow: [127.0.0.1/32]}\n"
                             "limits: {tls_timeout: 4s}\n";

struct scene {
    struct eg_bed bed;
    struct pki_ca *ca, *stranger;
    struct pki_leaf server;
    int origin;
    uint16_t origin_port, port;
};

static void setup(struct scene *s, enum eg_auth auth, bool require)
{
    const char *names[] = { "proxy.test", NULL };
    const struct eg_sockaddr any = { { 4, { 127, 0, 0, 1 } }, 0 };
    struct eg_sockaddr at;
    char san[] = "build.test", label[] = "main-label";
    struct eg_listen_session sessions[] = { { EG_SLICE("nobody.test"), EG_SLICE("no such label") },
                                            { eg_slice_str(san), eg_slice_str(label) } };
    memset(s, 0, sizeof *s);
    eg_bed_new(&s->bed, POLICY, "");
    eg_bed_session(&s->bed, "other", "other-label", OTHER_TOKEN, 0);
    s->ca = pki_ca_new("listener test CA");
    s->stranger = pki_ca_new("another CA");
    cr_assert(s->ca && s->stranger &&
              pki_issue(s->ca, &(struct pki_request){ .names = names }, &s->server));
    struct eg_listen_config config = { .auth = auth,
                                       .cert_pem = eg_slice_str(s->server.cert_pem),
                                       .key_pem = eg_slice_str(s->server.key_pem),
                                       .client_ca_pem = eg_slice_str(pki_ca_pem(s->ca)),
                                       .require_client = require,
                                       .sessions = sessions,
                                       .session_count = 2 };
    s->port = eg_bed_listen(&s->bed, &config);
    memset(san, 'x', sizeof san - 1); /* the engine has copies */
    memset(label, 'x', sizeof label - 1);
    cr_assert(eg_sock_listen(&any, &s->origin, &at, NULL) == EG_OK);
    s->origin_port = at.port;
}

static void finish(struct scene *s)
{
    cr_expect(eg_bed_quiet(&s->bed), "flows stay");
    struct eg_sockaddr peer;
    int fd = -1;
    while (eg_sock_accept(s->origin, &fd, &peer, NULL) == EG_OK)
        close(fd);
    close(s->origin);
    eg_bed_free(&s->bed);
    pki_ca_free(s->ca);
    pki_ca_free(s->stranger);
}

/* ---- a client over TLS; san NULL: without a certificate ---- */

struct identity {
    struct pki_ca *ca;
    const char *san;
    bool expired;
};

static struct eg_stream *client(struct scene *s, const struct identity *who)
{
    const char *names[] = { who->san, NULL };
    struct pki_request request = { .names = names, .client = true };
    struct eg_tls_client_config config = { .ca_pem = { eg_slice_str(pki_ca_pem(s->ca)) } };
    struct eg_stream *tcp = NULL, *tls = NULL;
    struct eg_tls_ctx *ctx = NULL;
    struct eg_authority name;
    struct pki_leaf leaf;
    struct eg_err err = { 0 };
    if (who->expired)
        request.from_days = -9, request.to_days = -2;
    if (who->san) {
        cr_assert(pki_issue(who->ca, &request, &leaf));
        config.cert_pem = eg_slice_str(leaf.cert_pem);
        config.key_pem = eg_slice_str(leaf.key_pem);
    }
    cr_assert(eg_tls_client_ctx(&config, &ctx, &err) == EG_OK, "%s", err.text);
    cr_assert(eg_host_parse(EG_SLICE("proxy.test"), &name, NULL) == EG_OK);
    cr_assert(eg_stream_tcp(eg_bed_connect(s->port), &tcp) == EG_OK);
    cr_assert(eg_stream_tls(tcp, ctx, &name, EG_SLICE_NONE, &tls, &err) == EG_OK, "%s", err.text);
    eg_tls_ctx_unref(ctx);
    return tls;
}

/* Raises the client's end, sends the text and reads until n bytes or the end: how many. A handshake
 * that the server ends may look whole to the client (TLS 1.3), so failures show as no bytes. */
static size_t talk(struct scene *s, struct eg_stream *c, struct eg_slice text, char *out, size_t n)
{
    uint64_t end = eg_clock_ms() + 10000;
    size_t have = 0, done = 0;
    enum eg_status status = EG_AGAIN;
    while (status == EG_AGAIN && eg_clock_ms() < end) {
        status = eg_stream_connect(c, NULL);
        eg_bed_turn(&s->bed, status == EG_AGAIN ? 1 : 0);
    }
    while (status == EG_OK && text.n > 0) {
        status = eg_stream_send(c, text.p, text.n, &done, NULL);
        if (status == EG_OK)
            text = eg_slice_from(text, done);
    }
    while ((status == EG_OK || status == EG_AGAIN) && have < n && eg_clock_ms() < end) {
        status = eg_stream_recv(c, out + have, n - have, &done, NULL);
        have += status == EG_OK ? done : 0;
        if (status == EG_AGAIN)
            eg_bed_turn(&s->bed, 1);
    }
    return have;
}

/* The last event of this exchange that is a decision; its reason's name. */
static const char *decided(struct scene *s, struct egress_event *ret)
{
    struct egress_event e;
    const char *reason = "";
    for (int i = 0; i < 2000 && !reason[0]; i++) {
        while (eg_bed_event(&s->bed, &e)) {
            if (e.kind != EGRESS_EVENT_DECISION)
                continue;
            *ret = e;
            reason = egress_status_name((enum eg_status)e.reason);
        }
        if (!reason[0])
            eg_bed_turn(&s->bed, 1);
    }
    return reason;
}

static void http(struct scene *s, const struct identity *who, const char *token, const char *status,
                 const char *reason, const char *session)
{
    char text[300], got[600] = "";
    struct egress_event e = { 0 };
    struct eg_stream *c = client(s, who);
    snprintf(text, sizeof text, "CONNECT 127.0.0.1:%u HTTP/1.1\r\n%s%s\r\n\r\n", s->origin_port,
             token ? "Proxy-Authorization: Bearer " : "X: y", token ? token : "");
    size_t n = talk(s, c, eg_slice_str(text), got, 12);
    cr_expect(n == 12 && memcmp(got + 9, status, 3) == 0, "want %s, got %zu: %s", status, n, got);
    const char *said = decided(s, &e);
    cr_expect(strcmp(said, reason) == 0 && strcmp(e.session, session) == 0, "%s %s", said,
              e.session);
    eg_stream_free(c);
}

static void socks(struct scene *s, const struct identity *who, const char *answer, size_t answer_n,
                  const char *reason)
{
    char text[] = "\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01pp", got[64];
    struct egress_event e = { 0 };
    struct eg_stream *c = client(s, who);
    text[11] = (char)(s->origin_port >> 8);
    text[12] = (char)s->origin_port;
    size_t n = talk(s, c, eg_slice(text, 13), got, answer_n);
    cr_expect(n == answer_n && memcmp(got, answer, n) == 0, "%zu bytes", n);
    const char *said = decided(s, &e);
    cr_expect(strcmp(said, reason) == 0, "%s", said);
    cr_expect(e.via == EGRESS_VIA_SOCKS);
    eg_stream_free(c);
}

/* A handshake that fails: nothing is answered but TLS, and the reason is recorded. */
static void dropped(struct scene *s, const struct identity *who, const char *reason)
{
    char got[64];
    struct egress_event e = { 0 };
    struct eg_stream *c = client(s, who);
    cr_expect_eq(talk(s, c, EG_SLICE("\x05\x01\x00"), got, sizeof got), 0);
    const char *said = decided(s, &e);
    cr_expect(strcmp(said, reason) == 0, "want %s, got %s: %s", reason, said, e.detail);
    cr_expect(strncmp(e.detail, "handshake with the client", 25) == 0, "%s", e.detail);
    eg_stream_free(c);
}

/* ---- who is in ---- */

Test(proxy, listener_takes_a_certificate_for_its_session, .timeout = 60)
{
    struct scene s;
    setup(&s, EG_AUTH_CLIENT_CERT, true);
    const struct identity known = { s.ca, "build.test", false }, other = { s.ca, "a.test", false };
    http(&s, &known, NULL, "200", "ok", "main-label");
    http(&s, &known, EG_BED_TOKEN, "200", "ok", "main-label");
    http(&s, &known, OTHER_TOKEN, "407", "token_invalid", "other-label");
    socks(&s, &known, "\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12, "ok");
    http(&s, &other, NULL, "407", "token_missing", "");
    http(&s, &other, EG_BED_TOKEN, "407", "token_missing", "main-label");
    socks(&s, &other, "\x05\xff", 2, "token_missing");
    finish(&s);
}

Test(proxy, listener_with_tokens_takes_either, .timeout = 60)
{
    struct scene s;
    setup(&s, EG_AUTH_TOKEN, false);
    const struct identity known = { s.ca, "build.test", false }, none = { NULL, NULL, false };
    http(&s, &known, NULL, "200", "ok", "main-label");
    http(&s, &known, OTHER_TOKEN, "200", "ok", "other-label");
    socks(&s, &known, "\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12, "ok");
    http(&s, &none, NULL, "407", "token_missing", "");
    http(&s, &none, EG_BED_TOKEN, "200", "ok", "main-label");
    socks(&s, &none, "\x05\xff", 2, "token_missing");
    finish(&s);
}

Test(proxy, listener_knows_when_a_session_is_over, .timeout = 60)
{
    struct scene s;
    setup(&s, EG_AUTH_CLIENT_CERT, true);
    const struct identity known = { s.ca, "build.test", false };
    eg_engine_session_revoke(s.bed.engine, "main");
    http(&s, &known, NULL, "407", "token_revoked", "main-label");
    socks(&s, &known, "\x05\xff", 2, "token_revoked");
    eg_bed_session(&s.bed, "next", "main-label",
                   "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc", 0);
    http(&s, &known, NULL, "200", "ok", "main-label"); /* its successor of the same label */
    finish(&s);
}

/* ---- who is not ---- */

Test(proxy, listener_drops_failed_handshakes, .timeout = 60)
{
    struct scene s;
    setup(&s, EG_AUTH_CLIENT_CERT, true);
    const struct identity none = { NULL, NULL, false },
                          forged = { s.stranger, "build.test", false },
                          expired = { s.ca, "build.test", true };
    dropped(&s, &none, "tls_failed");
    dropped(&s, &forged, "tls_untrusted");
    dropped(&s, &expired, "tls_expired");
    finish(&s);
}

Test(proxy, listener_over_tls_takes_no_plain_bytes, .timeout = 60)
{
    static const char *const plain[] = { "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                                         "CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n",
                                         "\x05\x01\x02\x01\x01u\x01p", "\x04\x01\x01\x01\x7f" };
    struct scene s;
    struct egress_event e;
    setup(&s, EG_AUTH_TOKEN, false);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        char got[256];
        bool eof;
        int fd = eg_bed_connect(s.port);
        cr_assert(send(fd, plain[i], strlen(plain[i]), MSG_NOSIGNAL) > 0);
        size_t n = eg_bed_read(&s.bed, fd, got, sizeof got, &eof);
        cr_expect(eof && (n == 0 || got[0] == 0x15), "%zu: %zu bytes", i, n); /* an alert at most */
        const char *said = decided(&s, &e);
        cr_expect(strcmp(said, "tls_failed") == 0 || strcmp(said, "tls_timeout") == 0, "%zu: %s", i,
                  said);
        close(fd);
    }
    finish(&s);
}

/* ---- what a handshake costs others ---- */

Test(proxy, listener_is_not_held_up_by_slow_handshakes, .timeout = 60)
{
    enum { SLOW = 200 };
    struct scene s;
    struct egress_event e;
    int fd[SLOW];
    unsigned late = 0;
    setup(&s, EG_AUTH_TOKEN, false);
    for (int i = 0; i < SLOW; i++) {
        fd[i] = eg_bed_connect(s.port);
        cr_assert(i % 2 == 0 || send(fd[i], "\x16\x03\x01\x02\x00\x01", 6, MSG_NOSIGNAL) == 6);
    }
    const struct identity none = { NULL, NULL, false };
    uint64_t begun = eg_clock_ms();
    http(&s, &none, EG_BED_TOKEN, "200", "ok", "main-label");
    cr_expect(eg_clock_ms() - begun < 3500, "%u ms", (unsigned)(eg_clock_ms() - begun));
    cr_expect(eg_bed_quiet(&s.bed));
    while (eg_bed_event(&s.bed, &e))
        late += e.reason == EG_TLS_TIMEOUT && !e.allowed;
    cr_expect_eq(late, SLOW);
    for (int i = 0; i < SLOW; i++)
        close(fd[i]);
    finish(&s);
}

Test(proxy, listener_that_can_not_be_held_is_refused)
{
    struct scene s;
    setup(&s, EG_AUTH_TOKEN, false);
    struct eg_slice cert = eg_slice_str(s.server.cert_pem), key = eg_slice_str(s.server.key_pem);
    const struct eg_listen_config bad[] = {
        { .auth = EG_AUTH_CLIENT_CERT },
        { .auth = EG_AUTH_CLIENT_CERT, .cert_pem = cert, .key_pem = key },
        { .require_client = true },
        { .client_ca_pem = eg_slice_str(pki_ca_pem(s.ca)) },
        { .cert_pem = cert, .key_pem = EG_SLICE("no key") },
        { .cert_pem = cert, .key_pem = key, .client_ca_pem = EG_SLICE("no CA") },
        { .cert_pem = cert, .key_pem = key, .require_client = true },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct eg_sockaddr any = { { 4, { 127, 0, 0, 1 } }, 0 };
        struct eg_listen_config config = bad[i];
        struct eg_err err = { 0 };
        int fd = -1;
        cr_assert(eg_sock_listen(&any, &fd, &config.self, NULL) == EG_OK);
        cr_expect(eg_engine_listen(s.bed.engine, fd, &config, &err) == EG_INVALID && err.text[0],
                  "%zu", i);
        cr_expect(!eg_sock_local(fd, &config.self), "%zu: still open", i);
    }
    finish(&s);
}
