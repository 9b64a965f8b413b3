/* reload.c - SIGHUP: what the new policy denies is cut, all else goes on; a policy that can't be
 * had changes nothing. */
#include <criterion/criterion.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/peer.h"

/* allow: lines of the list; more: further keys */
#define POLICY(allow, more)                                                                        \
    "egress: 1\nallow:\n" allow "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n" more
#define RAW   "  - {host: raw.test, scheme: tcp, ports: [@PLAIN@]}\n"
#define OTHER "  - {host: other.test, scheme: tcp, ports: [@PLAIN@]}\n"
#define WEB   "  - {host: web.test, scheme: http, ports: [@PLAIN@]}\n"
#define LOCAL "networks: {allow: [127.0.0.1/32]}\n"

static const char *const NAMES[] = { "raw.test=127.0.0.1", "other.test=127.0.0.1",
                                     "web.test=127.0.0.1", "api.example.test=127.0.0.1", NULL };

static int setup(struct eg_world *w, const char *policy)
{
    eg_world_new(w);
    int listener = eg_peer_listen(&w->plain_port);
    eg_world_origin(w, NULL);
    eg_world_dns(w, NAMES);
    eg_world_egressd(w, policy, NULL, NULL);
    return listener;
}

static void reload(const struct eg_world *w, const char *policy, unsigned nth, const char *reason)
{
    char want[64];
    snprintf(want, sizeof want, "\"reason\":\"%s\"", reason);
    eg_world_policy(w, policy);
    cr_assert(kill(w->egressd.pid, SIGHUP) == 0);
    cr_assert(eg_world_await_event(w, nth, want, "\"event\":\"system\""), "%s\n%s", want,
              eg_world_events(w));
}

struct tunnel {
    struct eg_client c, o;
};

static int connect_to(const struct eg_world *w, struct eg_client *c, const char *host)
{
    char authority[100];
    snprintf(authority, sizeof authority, "%s:%u", host, w->plain_port);
    eg_client_open(c, w->proxy_port);
    return eg_client_connect(c, w, authority);
}

static void open_tunnel(const struct eg_world *w, int listener, const char *host, struct tunnel *t)
{
    cr_assert(connect_to(w, &t->c, host) == 200);
    eg_peer_accept(listener, &t->o);
}

/* Bytes pass both ways. */
static void passes(struct tunnel *t)
{
    size_t up = t->o.len, down = t->c.len;
    eg_client_text(&t->c, "up");
    cr_assert(eg_client_wait(&t->o, NULL, up + 2), "nothing passes");
    eg_client_text(&t->o, "down");
    cr_assert(eg_client_wait(&t->c, NULL, down + 4), "nothing passes");
}

static void is_cut(struct tunnel *t)
{
    cr_assert(eg_client_wait(&t->c, NULL, 0) && eg_client_wait(&t->o, NULL, 0), "it is not cut");
}

static void close_tunnel(struct tunnel *t)
{
    eg_client_close(&t->c);
    eg_client_close(&t->o);
}

/* GET on c; the status. The origin answers on o, which is a new connection when fresh. */
static int get(const struct eg_world *w, int listener, struct eg_client *c, struct eg_client *o,
               bool fresh)
{
    char head[8192];
    eg_client_text(c,
                   "GET http://web.test:%u/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer "
                   "%s\r\n\r\n",
                   w->plain_port, w->token);
    if (fresh)
        eg_peer_request(listener, o);
    else
        cr_assert(eg_client_wait(o, "\r\n\r\n", 0));
    eg_client_take(o, o->len);
    eg_client_text(o, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    return eg_client_response(c, head, sizeof head, NULL, NULL);
}

static int get_refused(const struct eg_world *w, struct eg_client *c, const char *reason)
{
    char head[8192];
    eg_client_text(c,
                   "GET http://web.test:%u/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer "
                   "%s\r\n\r\n",
                   w->plain_port, w->token);
    int status = eg_client_response(c, head, sizeof head, NULL, NULL);
    cr_assert(eg_head_has(head, "X-Egress-Reason", reason), "%s", head);
    return status;
}

Test(reload, cuts_the_tunnels_that_the_new_policy_denies, .timeout = 60)
{
    struct eg_world w;
    struct tunnel raw, other;
    struct eg_client c;
    int listener = setup(&w, POLICY(RAW OTHER, LOCAL));
    open_tunnel(&w, listener, "raw.test", &raw);
    open_tunnel(&w, listener, "other.test", &other);
    passes(&raw);
    passes(&other);
    reload(&w, POLICY(OTHER, LOCAL), 1, "reloaded");
    is_cut(&raw);
    passes(&other);
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"policy_cut\"", "raw.test"));
    cr_assert(connect_to(&w, &c, "raw.test") == 403);
    eg_client_close(&c);
    reload(&w, POLICY(RAW OTHER, LOCAL "deny: [other.test]\n"), 2, "reloaded");
    is_cut(&other); /* deny beats allow */
    close_tunnel(&raw);
    open_tunnel(&w, listener, "raw.test", &raw); /* allowed again */
    passes(&raw);
    reload(&w, POLICY(RAW OTHER, ""), 3, "reloaded"); /* 127.0.0.1 is no longer opened */
    is_cut(&raw);
    cr_assert(eg_peer_unused(listener));
    close_tunnel(&raw);
    close_tunnel(&other);
    close(listener);
    eg_world_done(&w);
}

Test(reload, judges_kept_connections_again, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, o, second;
    int listener = setup(&w, POLICY(WEB RAW, LOCAL));
    eg_client_open(&c, w.proxy_port);
    cr_assert(get(&w, listener, &c, &o, true) == 200);
    cr_assert(get(&w, listener, &c, &o, false) == 200);
    reload(&w, POLICY(RAW, LOCAL), 1, "reloaded");
    cr_assert(eg_client_wait(&o, NULL, 0), "the pooled connection is closed");
    cr_assert(get_refused(&w, &c, "host_not_allowed") == 403); /* the client's own stays */
    cr_assert(eg_peer_unused(listener));
    reload(&w, POLICY(WEB RAW, LOCAL), 2, "reloaded");
    cr_assert(get(&w, listener, &c, &second, true) == 200);
    eg_client_close(&o);
    eg_client_close(&second);
    eg_client_close(&c);
    close(listener);
    eg_world_done(&w);
}

Test(reload, drops_no_exchange_that_stays_allowed, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c, o;
    char head[8192];
    int listener = setup(&w, POLICY(WEB, LOCAL));
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c,
                   "GET http://web.test:%u/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer "
                   "%s\r\n\r\n",
                   w.plain_port, w.token);
    eg_peer_request(listener, &o);
    reload(&w, POLICY(WEB RAW, LOCAL), 1, "reloaded");
    eg_client_text(&o, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
    reload(&w, POLICY(WEB, LOCAL), 2, "reloaded");
    eg_client_text(&o, "lf");
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%s", head);
    eg_client_text(&c,
                   "GET http://web.test:%u/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer "
                   "%s\r\n\r\n",
                   w.plain_port, w.token);
    eg_client_close(&o);
    eg_peer_request(listener, &o);
    eg_client_text(&o, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
    cr_assert(eg_client_wait(&c, "ha", 0));
    reload(&w, POLICY(RAW, LOCAL), 3, "reloaded"); /* denied in the middle: never looks whole */
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) <= 0);
    cr_assert(eg_client_wait(&o, NULL, 0));
    eg_client_close(&o);
    eg_client_close(&c);
    close(listener);
    eg_world_done(&w);
}

Test(reload, that_fails_changes_nothing, .timeout = 60)
{
    struct eg_world w;
    struct tunnel raw;
    struct eg_client c, o;
    int listener = setup(&w, POLICY(RAW WEB, LOCAL));
    open_tunnel(&w, listener, "raw.test", &raw);
    eg_client_open(&c, w.proxy_port);
    cr_assert(get(&w, listener, &c, &o, true) == 200);
    reload(&w, "egress: 1\nallow: [other.test\n", 1, "reload_failed");
    reload(&w, POLICY(OTHER, "nonsense: 1\n"), 2, "reload_failed");
    reload(&w, "", 3, "reload_failed");
    passes(&raw);
    cr_assert(get(&w, listener, &c, &o, false) == 200); /* even the pool is as it was */
    eg_client_close(&o);
    eg_client_close(&c);
    cr_assert(connect_to(&w, &c, "other.test") == 403);
    eg_client_close(&c);
    reload(&w, POLICY(OTHER, LOCAL), 1, "reloaded"); /* and a good one still comes in */
    is_cut(&raw);
    close_tunnel(&raw);
    close(listener);
    eg_world_done(&w);
}

Test(reload, with_an_unreadable_tls_file_keeps_the_old_policy, .timeout = 60)
{
#define ROUTE(ca)                                                                                  \
    POLICY(RAW, LOCAL "services:\n  api: {upstream: \"https://api.example.test:@ORIGIN@\"}\n"      \
                      "tls: {ca: \"@DIR@/" ca "\", system: false}\n")
    struct eg_world w;
    struct eg_client c;
    char head[8192];
    int listener = setup(&w, ROUTE("ca.pem"));
    eg_world_write(&w, "broken.pem", "-----BEGIN CERTIFICATE-----\nnonsense\n");
    reload(&w, ROUTE("absent.pem"), 1, "reload_failed");
    reload(&w, ROUTE("broken.pem"), 2, "reload_failed");
    for (int i = 0; i < 2; i++) {
        eg_client_open(&c, w.proxy_port);
        eg_client_text(&c, "GET /api/x HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", w.proxy_port);
        cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%s", head);
        eg_client_close(&c);
    }
    close(listener);
    eg_world_done(&w);
}

/* Another CA: neither a kept connection nor a TLS session of before carries the old trust over. */
Test(reload, with_another_ca_trusts_nobody_from_before, .timeout = 60)
{
    struct eg_world w, stranger;
    struct eg_client c;
    char head[8192], path[600];
    int listener = setup(&w, ROUTE("ca.pem"));
    eg_world_new(&stranger);
    eg_world_origin(&stranger, NULL); /* only for a CA of its own */
    char *pem = eg_world_read(&stranger, "ca.pem", NULL);
    eg_world_write(&w, "other.pem", pem);
    snprintf(path, sizeof path, "GET /api/x HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", w.proxy_port);
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, "%s", path);
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%s", head);
    reload(&w, ROUTE("other.pem"), 1, "reloaded");
    eg_client_text(&c, "%s", path);
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 502 &&
                  eg_head_has(head, "X-Egress-Reason", "tls_untrusted"),
              "%s", head);
    char *rec = eg_world_read(&w, "origin.rec", NULL);
    cr_assert(eg_text_count(rec, "GET /x") == 1, "%s", rec);
    free(rec);
    free(pem);
    eg_client_close(&c);
    close(listener);
    eg_world_done(&stranger);
    eg_world_done(&w);
}

/* ---- a name server that the test plays ---- */

static int dns_listen(uint16_t *port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0);
    cr_assert(getsockname(fd, (struct sockaddr *)&at, &n) == 0);
    *port = ntohs(at.sin_port);
    return fd;
}

struct question {
    unsigned char bytes[512];
    size_t n;
    struct sockaddr_in from;
};

static void dns_read(int fd, struct question *q)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    socklen_t len = sizeof q->from;
    cr_assert(poll(&p, 1, EG_PROC_DEADLINE_MS) == 1, "nobody asked");
    ssize_t n = recvfrom(fd, q->bytes, sizeof q->bytes, 0, (struct sockaddr *)&q->from, &len);
    cr_assert(n > 16);
    q->n = (size_t)n;
}

/* Answers with 127.0.0.1, or with nothing when the question was for IPv6. Drops what stood
 * behind the question (EDNS). */
static void dns_answer(int fd, struct question *q)
{
    static const unsigned char a[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1 };
    size_t at = 12;
    while (at < q->n && q->bytes[at])
        at += 1u + q->bytes[at];
    bool four = q->bytes[at + 2] == 1;
    at += 5;
    q->bytes[2] |= 0x80;
    memset(q->bytes + 6, 0, 6);
    q->bytes[7] = four;
    if (four)
        memcpy(q->bytes + at, a, sizeof a), at += sizeof a;
    cr_assert(sendto(fd, q->bytes, at, 0, (struct sockaddr *)&q->from, sizeof q->from) ==
              (ssize_t)at);
}

Test(reload, in_the_middle_of_a_question_judges_its_answer, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    struct question q[2];
    char head[8192];
    eg_world_new(&w);
    int listener = eg_peer_listen(&w.plain_port), dns = dns_listen(&w.dns_port);
    eg_world_egressd(&w, POLICY(RAW OTHER, LOCAL), NULL, NULL);
    for (int i = 0; i < 2; i++) {
        eg_client_open(&c, w.proxy_port);
        eg_client_text(&c, "CONNECT raw.test:%u HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                       w.plain_port, w.token);
        dns_read(dns, &q[0]);
        dns_read(dns, &q[1]);
        /* first the name is denied meanwhile, then only its address */
        reload(&w, i == 0 ? POLICY(OTHER, LOCAL) : POLICY(RAW, ""), 1u + 2u * (unsigned)i,
               "reloaded");
        dns_answer(dns, &q[0]);
        dns_answer(dns, &q[1]);
        cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 403, "%s", head);
        cr_assert(eg_peer_unused(listener));
        eg_client_close(&c);
        if (i == 0)
            reload(&w, POLICY(RAW OTHER, LOCAL), 2, "reloaded");
    }
    close(dns);
    close(listener);
    eg_world_done(&w);
}
