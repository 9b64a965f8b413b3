/* names.c - names to addresses in a whole egressd: what is asked of whom and how often, what each
 * failure is called, and that an answer is judged whenever it is used, be it new, second or kept.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/daemon.h"
#include "support/peer.h"

#define RULES                                                                                      \
    "egress: 1\n"                                                                                  \
    "allow:\n"                                                                                     \
    "  - {host: \"*.n.test\", scheme: tcp, ports: any}\n"                                          \
    "  - {host: web.http.test, scheme: http, ports: [@PLAIN@]}\n"
#define SERVER "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"
#define LOCAL  "networks: {allow: [127.0.0.1/32, ::1/128]}\n"

#define LIMITS "limits: {drain_timeout: 200ms}\n" /* the test's origin never closes */

static const char POLICY[] = RULES SERVER LOCAL LIMITS;

/* w->plain_port is the test's own listener. */
static int set_up(struct eg_world *w, const char *const *names, const char *policy)
{
    eg_world_new(w);
    int listener = eg_peer_listen(&w->plain_port);
    eg_world_origin(w, NULL);
    eg_world_dns(w, names);
    eg_world_egressd(w, policy, NULL, NULL);
    return listener;
}

static void send_connect(const struct eg_world *w, struct eg_client *c, const char *name,
                         unsigned port)
{
    eg_client_open(c, w->proxy_port);
    eg_client_text(c, "CONNECT %s:%u HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n", name,
                   port, w->token);
}

/* CONNECT on a connection of its own: the status; the reason's name in reason (cap 64; "" when
 * there is none). */
static int try_port(const struct eg_world *w, const char *name, unsigned port, char *reason)
{
    static const char field[] = "\r\nX-Egress-Reason: ";
    struct eg_client c;
    char head[8192];
    send_connect(w, &c, name, port);
    int status = eg_client_response(&c, head, sizeof head, NULL, NULL);
    const char *at = strstr(head, field);
    snprintf(reason, 64, "%.*s", at ? (int)strcspn(at + sizeof field - 1, "\r") : 0,
             at ? at + sizeof field - 1 : "");
    eg_client_close(&c);
    return status;
}

static void expect(const struct eg_world *w, const char *name, int want, const char *reason)
{
    char got[64];
    int status = try_port(w, name, w->plain_port, got);
    cr_expect(status == want && strcmp(got, reason) == 0, "%s: %d %s, want %d %s", name, status,
              got, want, reason);
}

/* How many questions of any type for names that hold this text the server got. */
static unsigned asked(const struct eg_world *w, const char *text)
{
    char *log = eg_world_read(w, "dns.log", NULL);
    unsigned n = 0;
    for (char *line = log, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        n += strstr(line, text) != NULL;
    }
    free(log);
    return n;
}

static void reload(const struct eg_world *w, const char *policy)
{
    eg_world_policy(w, policy);
    cr_assert(kill(w->egressd.pid, SIGHUP) == 0);
    cr_assert(eg_world_await_event(w, 1, "\"reason\":\"reloaded\"", "\"event\":\"system\""));
}

/* ---- what is kept ---- */

Test(names, asked_once_while_their_time_to_live_lasts, .timeout = 60)
{
    static const char *const NAMES[] = { "kept.n.test=ttl300,127.0.0.1", "no.n.test=nxdomain",
                                         NULL };
    struct eg_world w;
    set_up(&w, NAMES, POLICY);
    for (int i = 0; i < 5; i++) {
        expect(&w, "kept.n.test", 200, "");
        expect(&w, "KEPT.n.test.", 200, "");
        expect(&w, "no.n.test", 502, "dns_not_found");
    }
    cr_expect_eq(asked(&w, "kept.n.test "), 2, "both families once");
    cr_expect_eq(asked(&w, "no.n.test "), 2);
    eg_world_done(&w);
}

Test(names, asked_once_for_all_who_come_at_once, .timeout = 60)
{
    enum { CLIENTS = 30 };
    static struct eg_client c[CLIENTS];
    static const char *const NAMES[] = { "same.n.test=hang6,127.0.0.1", NULL };
    struct eg_world w;
    char head[8192];
    set_up(&w, NAMES, POLICY);
    for (int i = 0; i < CLIENTS; i++)
        send_connect(&w, &c[i], "same.n.test", w.plain_port);
    for (int i = 0; i < CLIENTS; i++) {
        cr_expect(eg_client_response(&c[i], head, sizeof head, NULL, NULL) == 200, "%s", head);
        eg_client_close(&c[i]);
    }
    cr_expect_eq(asked(&w, "same.n.test A "), 1);
    eg_world_done(&w);
}

/* The address is the proxy's own listener: whether it is refused depends on the port of the
 * connection, so the kept answer is judged by who uses it. */
Test(names, a_kept_answer_is_judged_on_every_use, .timeout = 60)
{
    static const char *const NAMES[] = { "kept.n.test=ttl300,127.0.0.1", NULL };
    struct eg_world w;
    char reason[64];
    set_up(&w, NAMES, POLICY);
    expect(&w, "kept.n.test", 200, "");
    cr_expect(try_port(&w, "kept.n.test", w.proxy_port, reason) == 403 &&
                  strcmp(reason, "address_denied") == 0,
              "%s", reason);
    expect(&w, "kept.n.test", 200, "");
    cr_expect_eq(asked(&w, "kept.n.test "), 2);
    eg_world_done(&w);
}

Test(names, a_kept_address_that_a_reload_denies_is_refused, .timeout = 60)
{
    static const char *const NAMES[] = { "kept.n.test=ttl300,127.0.0.1", NULL };
    struct eg_world w;
    int listener = set_up(&w, NAMES, POLICY);
    struct eg_client o;
    expect(&w, "kept.n.test", 200, "");
    eg_peer_accept(listener, &o);
    eg_client_close(&o);
    reload(&w, RULES SERVER LIMITS);
    expect(&w, "kept.n.test", 403, "address_denied");
    cr_expect(eg_peer_unused(listener));
    cr_expect_eq(asked(&w, "kept.n.test "), 4, "a new policy begins with an empty cache");
    eg_world_done(&w);
}

Test(names, that_change_their_address_to_a_private_one_are_refused, .timeout = 60)
{
    static const char *const NAMES[] = { "rebind.n.test=ttl1,127.0.0.1,then,10.1.2.3",
                                         "mixed.n.test=127.0.0.1,10.1.2.3", NULL };
    struct eg_world w;
    char reason[64];
    int status;
    int listener = set_up(&w, NAMES, POLICY);
    struct eg_client o;
    uint64_t from = eg_clock_ms();
    while ((status = try_port(&w, "rebind.n.test", w.plain_port, reason)) == 200 &&
           eg_clock_ms() - from < EG_PROC_DEADLINE_MS) {
        eg_peer_accept(listener, &o);
        eg_client_close(&o);
    }
    cr_expect(status == 403 && strcmp(reason, "address_denied") == 0, "%d %s", status, reason);
    cr_expect_geq(eg_clock_ms() - from, 900, "the first answer was public");
    expect(&w, "rebind.n.test", 403, "address_denied");
    expect(&w, "mixed.n.test", 403, "address_denied");
    cr_expect(eg_peer_unused(listener));
    eg_world_done(&w);
}

/* ---- failures and families ---- */

Test(names, have_a_reason_for_each_failure, .timeout = 60)
{
    static const char *const NAMES[] = { "no.n.test=nxdomain",     "empty.n.test=",
                                         "broken.n.test=servfail", "bad.n.test=garbage",
                                         "silent.n.test=hang",     NULL };
    struct eg_world w;
    int listener = set_up(
        &w, NAMES, RULES SERVER LOCAL "limits: {dns_timeout: 3s, drain_timeout: 200ms}\n");
    expect(&w, "no.n.test", 502, "dns_not_found");
    expect(&w, "absent.n.test", 502, "dns_not_found");
    expect(&w, "empty.n.test", 502, "dns_not_found");
    expect(&w, "broken.n.test", 502, "dns_failed");
    expect(&w, "bad.n.test", 502, "dns_failed");
    uint64_t from = eg_clock_ms();
    expect(&w, "silent.n.test", 504, "dns_timeout");
    cr_expect(eg_clock_ms() - from < EG_PROC_DEADLINE_MS, "%d ms", (int)(eg_clock_ms() - from));
    cr_expect_geq(asked(&w, "broken.n.test A "), 1);
    cr_expect_geq(asked(&w, "broken.n.test AAAA "), 1);
    cr_expect(eg_peer_unused(listener));
    eg_world_done(&w);
}

Test(names, whose_server_recovers_are_found_at_once, .timeout = 60)
{
    static const char *const NAMES[] = {
        "broken.n.test=servfail,then,servfail,then,servfail,then,servfail,"
        "then,127.0.0.1",
        NULL
    };
    struct eg_world w;
    char reason[64];
    int status, tries = 0;
    set_up(&w, NAMES, POLICY);
    do
        status = try_port(&w, "broken.n.test", w.plain_port, reason);
    while (status == 502 && tries++ < 5);
    cr_expect(status == 200, "a failure is not kept: %d %s after %d", status, reason, tries);
    cr_expect_geq(tries, 1);
    eg_world_done(&w);
}

/* A listener on ::1 with the port of the other one; -1: there is no IPv6 here. */
static int listen_six(uint16_t port)
{
    struct sockaddr_in6 at = { .sin6_family = AF_INET6,
                               .sin6_addr = IN6ADDR_LOOPBACK_INIT,
                               .sin6_port = htons(port) };
    int one = 1, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 16) == 0)
        return fd;
    close(fd);
    return -1;
}

Test(names, with_one_family_or_a_silent_one_are_reached, .timeout = 60)
{
    static const char *const NAMES[] = { "six.n.test=::1", "sixth.n.test=::1,hang4",
                                         "fourth.n.test=127.0.0.1,hang6", NULL };
    struct eg_world w;
    int listener = set_up(&w, NAMES, POLICY);
    struct eg_client o;
    uint64_t from = eg_clock_ms();
    expect(&w, "fourth.n.test", 200, "");
    cr_expect(eg_clock_ms() - from < 2000, "50 ms, not the time of a question");
    eg_peer_accept(listener, &o);
    eg_client_close(&o);
    int six = listen_six(w.plain_port);
    if (six < 0) {
        fprintf(stderr, "skipped: the half on IPv6, which is not here\n");
    } else {
        expect(&w, "six.n.test", 200, "");
        from = eg_clock_ms();
        expect(&w, "sixth.n.test", 200, "");
        cr_expect_lt(eg_clock_ms() - from, 2000);
        for (int i = 0; i < 2; i++) {
            eg_peer_accept(six, &o);
            eg_client_close(&o);
        }
        close(six);
    }
    cr_expect(eg_peer_unused(listener));
    eg_world_done(&w);
}

Test(names, are_asked_of_the_next_server_when_the_first_is_dead, .timeout = 60)
{
    static const char *const NAMES[] = { "a.n.test=127.0.0.1", NULL };
    struct eg_world w;
    char policy[1000];
    snprintf(policy, sizeof policy,
             RULES LOCAL LIMITS "dns: {servers: [\"127.0.0.1:%u\", \"127.0.0.1:@DNS@\"]}\n",
             eg_peer_refusing());
    set_up(&w, NAMES, policy);
    expect(&w, "a.n.test", 200, "");
    cr_expect_geq(asked(&w, "a.n.test "), 1);
    eg_world_done(&w);
}

/* ---- nobody is asked ---- */

/* One request of that kind through the upstream proxy, which the test plays: its head, up to cap.
 */
static void through(const struct eg_world *w, int listener, const char *request, char *head,
                    size_t cap)
{
    struct eg_client c, p;
    eg_client_open(&c, w->proxy_port);
    eg_client_send(&c, request, strlen(request));
    eg_peer_request(listener, &p);
    snprintf(head, cap, "%s", p.buf);
    eg_client_close(&p);
    eg_client_close(&c);
}

Test(names, are_not_looked_up_here_when_the_upstream_resolves, .timeout = 60)
{
    static const char *const NAMES[] = { "gate.corp=127.0.0.1", "raw.n.test=127.0.0.1",
                                         "web.http.test=127.0.0.1", "api.n.test=127.0.0.1", NULL };
    struct eg_world w;
    char policy[2000], request[600], head[4096], want[100];
    uint16_t port;
    int listener = eg_peer_listen(&port);
    snprintf(policy, sizeof policy,
             RULES SERVER LIMITS "services: {api: {upstream: \"https://api.n.test:@ORIGIN@\"}}\n"
                                 "upstream: {proxies: [{proxy: \"http://gate.corp:%u\"}]}\n",
             port);
    set_up(&w, NAMES, policy);
    snprintf(request, sizeof request,
             "CONNECT raw.n.test:%u HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n",
             w.plain_port, w.token);
    through(&w, listener, request, head, sizeof head);
    cr_expect(strncmp(head, "CONNECT raw.n.test:", 19) == 0, "%s", head);
    snprintf(request, sizeof request,
             "GET http://web.http.test:%u/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Bearer "
             "%s\r\n\r\n",
             w.plain_port, w.token);
    through(&w, listener, request, head, sizeof head);
    snprintf(want, sizeof want, "GET http://web.http.test:%u/ ", w.plain_port);
    cr_expect(strncmp(head, want, strlen(want)) == 0, "%s", head);
    snprintf(request, sizeof request, "GET /api/x HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
             w.proxy_port);
    through(&w, listener, request, head, sizeof head);
    cr_expect(strncmp(head, "CONNECT api.n.test:", 19) == 0, "%s", head);
    cr_expect_eq(asked(&w, ".test"), 0, "the far side resolves what is behind it");
    cr_expect_eq(asked(&w, "gate.corp "), 2, "its own name is looked up here, once");
    eg_world_done(&w);
}

Test(names, that_policy_refuses_are_never_asked_for, .timeout = 60)
{
    static const char *const NAMES[] = { "evil.example=127.0.0.1", NULL };
    struct eg_world w;
    set_up(&w, NAMES, POLICY);
    expect(&w, "evil.example", 403, "host_not_allowed");
    expect(&w, "metadata.google.internal", 403, "metadata_denied");
    expect(&w, "a.localhost", 403, "host_not_allowed");
    cr_expect_eq(asked(&w, ""), 0);
    eg_world_done(&w);
}
