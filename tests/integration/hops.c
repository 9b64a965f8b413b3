/* hops.c - chains of proxies: a second and a third egressd as http, https (mutual TLS), socks5 and
 * socks5+tls upstreams, one after the other; and proxies that misbehave, played by the test: each
 * failure has its reason and names its hop, the origin receives nothing, no descriptor is left. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/daemon.h"
#include "support/peer.h"
#include "support/pki.h"
#include "tls/context.h"

static const char *const NAMES[] = { "web.test=127.0.0.1", "raw.test=127.0.0.1",
                                     "api.example.test=127.0.0.1", "proxy.test=127.0.0.1", NULL };

/* ---- certificates of proxies and of their clients, from a CA that vouches for no origin ---- */

static void write_pem(const struct eg_world *w, const char *name, const char *pem)
{
    eg_world_write(w, name, pem);
    cr_assert(chmod(eg_world_path(w, name), 0600) == 0);
}

static void issue(const struct eg_world *w, struct pki_ca *ca, const char *name,
                  const char *const *names, bool client, int from_days, int to_days)
{
    struct pki_leaf leaf;
    char file[64];
    struct pki_request q = {
        .names = names, .client = client, .from_days = from_days, .to_days = to_days
    };
    cr_assert(pki_issue(ca, &q, &leaf));
    snprintf(file, sizeof file, "%s.pem", name);
    write_pem(w, file, leaf.cert_pem);
    snprintf(file, sizeof file, "%s-key.pem", name);
    write_pem(w, file, leaf.key_pem);
}

static void make_pki(const struct eg_world *w)
{
    static const char *const server[] = { "proxy.test", "127.0.0.1", NULL };
    static const char *const client[] = { "build.example", NULL };
    cr_assert(eg_tls_start(NULL) == EG_OK);
    struct pki_ca *ca = pki_ca_new("proxies"), *other = pki_ca_new("others");
    cr_assert(ca && other);
    write_pem(w, "hop-ca.pem", pki_ca_pem(ca));
    write_pem(w, "other-ca.pem", pki_ca_pem(other));
    issue(w, ca, "hop", server, false, 0, 0);
    issue(w, ca, "old", server, false, -20, -10);
    issue(w, ca, "client", client, true, 0, 0);
    issue(w, other, "stranger", client, true, 0, 0);
    pki_ca_free(ca);
    pki_ca_free(other);
    eg_tls_stop();
}

/* ---- upstreams that are egressds ---- */

enum { WITH_TOKEN, MUTUAL_TLS, EXPIRED_TLS, LISTENERS };
struct upstream {
    struct eg_world world;
    unsigned port[LISTENERS];
};

static const char UPSTREAM[] =
    "egress: 1\n"
    "allow:\n"
    "  - {host: web.test, scheme: http, ports: [@PLAIN@]}\n"
    "  - {host: raw.test, scheme: tcp, ports: [@PLAIN@]}\n"
    "  - {host: api.example.test, scheme: tcp, ports: [@ORIGIN@]}\n"
    "  - {address: 127.0.0.1, scheme: tcp, ports: any}\n"
    "networks: {allow: [127.0.0.0/8]}\n"
    "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"
    "listen:\n"
    "  - {address: \"127.0.0.1:0\"}\n"
    "  - {address: \"127.0.0.1:0\", auth: none, tls: {cert: \"%s/hop.pem\", key: "
    "\"%s/hop-key.pem\", client_ca: \"%s/hop-ca.pem\", require_client: true}}\n"
    "  - {address: \"127.0.0.1:0\", auth: none, tls: {cert: \"%s/old.pem\", key: "
    "\"%s/old-key.pem\"}}\n";

static unsigned nth_port(const char *ready, unsigned n)
{
    for (unsigned i = 0;; i++) {
        ready = strstr(ready, "\"port\":");
        cr_assert(ready != NULL);
        ready += 7;
        if (i == n)
            return (unsigned)strtoul(ready, NULL, 10);
    }
}

static void start_upstream(struct upstream *u, const struct eg_world *w)
{
    char policy[4096];
    const char *d = w->dir;
    eg_world_new(&u->world);
    u->world.origin_port = w->origin_port;
    u->world.plain_port = w->plain_port;
    u->world.dns_port = w->dns_port;
    snprintf(policy, sizeof policy, UPSTREAM, d, d, d, d, d);
    eg_world_egressd(&u->world, policy, NULL, NULL);
    for (unsigned i = 0; i < LISTENERS; i++)
        u->port[i] = nth_port(u->world.egressd.ready, i);
}

/* ---- the egressd that is tried ---- */

static const char POLICY[] = "egress: 1\n"
                             "allow:\n"
                             "  - {host: web.test, scheme: http, ports: [@PLAIN@]}\n"
                             "  - {host: raw.test, scheme: tcp, ports: [@PLAIN@]}\n"
                             "services:\n"
                             "  api: {upstream: \"https://api.example.test:@ORIGIN@\"}\n"
                             "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"
                             "tls: {ca: \"@DIR@/ca.pem\", system: false}\n"
                             "limits: {connect_timeout: 20s, response_timeout: 20s}\n"
                             "credentials:\n"
                             "  login: {from: env:TEST_LOGIN, hosts: [127.0.0.1, proxy.test]}\n"
                             "  token: {from: env:TEST_TOKEN, hosts: [127.0.0.1]}\n"
                             "upstream: {proxies: [%s]}\n";

#define MUTUAL                                                                                     \
    "tls: {ca: \"@DIR@/hop-ca.pem\", client_cert: \"@DIR@/client.pem\", client_key: "              \
    "\"@DIR@/client-key.pem\"}"

static void new_world(struct eg_world *w)
{
    eg_world_new(w);
    eg_world_origin(w, NULL);
    eg_world_plain(w);
    eg_world_dns(w, NAMES);
    make_pki(w);
}

static void start(struct eg_world *w, const char *proxies, const char *token)
{
    char policy[4096], login[100], bare[100];
    const char *environment[] = { login, bare, NULL };
    snprintf(policy, sizeof policy, POLICY, proxies);
    snprintf(login, sizeof login, "TEST_LOGIN=corp:%s", token);
    snprintf(bare, sizeof bare, "TEST_TOKEN=%s", token);
    eg_world_egressd(w, policy, NULL, environment);
}

static void stop(struct eg_world *w)
{
    int status = eg_proc_end(&w->egressd, SIGTERM);
    cr_assert(status == 0, "egressd ended with %d", status);
}

static void tunnel_works(const struct eg_world *w, const char *way)
{
    struct eg_client c;
    char to[64], head[8192], *body = NULL;
    snprintf(to, sizeof to, "raw.test:%u", w->plain_port);
    eg_client_open(&c, w->proxy_port);
    cr_assert(eg_client_connect(&c, w, to) == 200, "%s: %s", way, eg_world_events(w));
    eg_client_text(&c, "POST /echo HTTP/1.1\r\nHost: r\r\nContent-Length: 5\r\n\r\nhello");
    cr_assert(eg_client_response(&c, head, sizeof head, &body, NULL) == 200 &&
                  strcmp(body, "hello") == 0,
              "%s", way);
    free(body);
    eg_client_close(&c);
}

static void requests_work(const struct eg_world *w, const char *way)
{
    struct eg_client c;
    char head[8192];
    for (int kind = 0; kind < 2; kind++) {
        eg_client_open(&c, w->proxy_port);
        for (int i = 0; i < 3; i++) { /* the second and third from the pool */
            if (kind == 0)
                eg_client_text(&c,
                               "GET http://web.test:%u/status/204 HTTP/1.1\r\nHost: "
                               "x\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                               w->plain_port, w->token);
            else
                eg_client_text(&c, "GET /api/bytes/10 HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
                               w->proxy_port);
            int status = eg_client_response(&c, head, sizeof head, NULL, NULL);
            cr_assert(status == (kind == 0 ? 204 : 200), "%s: %d: %s", way, status, head);
        }
        eg_client_close(&c);
    }
}

/* Everything that leaves, by that chain. */
static void carries(struct eg_world *w, const char *proxies, const char *token)
{
    start(w, proxies, token);
    unsigned before = eg_proc_fds(eg_world_worker(w));
    tunnel_works(w, proxies);
    requests_work(w, proxies);
    long pooled = eg_daemon_await_sum(w, "pooled", 2); /* one of each request's */
    cr_assert(pooled == 2, "%s: %ld pooled", proxies, pooled);
    (void)eg_daemon_await_sum(w, "open_flows", 0);
    unsigned after = eg_proc_fds(eg_world_worker(w));
    cr_assert(after <= before + 2, "%s: %u descriptors, then %u", proxies, before, after);
    stop(w);
}

Test(hops, of_every_kind_carry_tunnels_requests_and_routes, .timeout = 120)
{
    struct eg_world w;
    struct upstream u;
    char text[1024];
    new_world(&w);
    start_upstream(&u, &w);
    const char *token = u.world.token;
    snprintf(text, sizeof text, "{proxy: \"http://127.0.0.1:%u\", credential: login}", u.port[0]);
    carries(&w, text, token);
    snprintf(text, sizeof text, "{proxy: \"http://127.0.0.1:%u\", credential: token, auth: bearer}",
             u.port[0]);
    carries(&w, text, token);
    snprintf(text, sizeof text, "{proxy: \"socks5h://me@127.0.0.1:%u\", credential: token}",
             u.port[0]);
    carries(&w, text, token);
    snprintf(text, sizeof text, "{proxy: \"https://proxy.test:%u\", " MUTUAL "}", u.port[1]);
    carries(&w, text, token);
    snprintf(text, sizeof text, "{proxy: \"socks5+tls://127.0.0.1:%u\", " MUTUAL "}", u.port[1]);
    carries(&w, text, token);
    char *asked = eg_world_read(&w, "dns.log", NULL);
    cr_assert(strstr(asked, "proxy.test") != NULL, "the first hop's name is ours to resolve");
    free(asked);
    eg_world_done(&u.world);
    eg_world_done(&w);
}

Test(hops, stand_one_behind_the_other, .timeout = 120)
{
    struct eg_world w;
    struct upstream near, far;
    char text[1024];
    new_world(&w);
    start_upstream(&near, &w);
    start_upstream(&far, &w);
    const char *token = near.world.token;
    snprintf(text, sizeof text,
             "{proxy: \"http://127.0.0.1:%u\", credential: login}, {proxy: "
             "\"https://127.0.0.1:%u\", " MUTUAL "}",
             near.port[0], far.port[1]);
    carries(&w, text, token);
    snprintf(text, sizeof text,
             "{proxy: \"socks5+tls://127.0.0.1:%u\", " MUTUAL "}, {proxy: "
             "\"https://127.0.0.1:%u\", " MUTUAL "}",
             near.port[1], far.port[1]);
    carries(&w, text, token);
    snprintf(text, sizeof text,
             "{proxy: \"https://127.0.0.1:%u\", " MUTUAL "}, {proxy: "
             "\"socks5+tls://127.0.0.1:%u\", " MUTUAL "}",
             near.port[1], far.port[1]);
    carries(&w, text, token);
    eg_world_done(&near.world);
    eg_world_done(&far.world);
    eg_world_done(&w);
}

/* Without a CA of its own a hop is verified by the system's certificates, whatever origins are
 * verified with. */
Test(hops, without_a_ca_trust_what_the_system_trusts, .timeout = 120)
{
    struct eg_world w;
    struct upstream u;
    char text[1024];
    new_world(&w);
    start_upstream(&u, &w);
    cr_assert(setenv("SSL_CERT_FILE", eg_world_path(&w, "hop-ca.pem"), 1) == 0);
    snprintf(text, sizeof text,
             "{proxy: \"https://proxy.test:%u\", tls: {client_cert: \"@DIR@/client.pem\", "
             "client_key: \"@DIR@/client-key.pem\"}}",
             u.port[1]);
    carries(&w, text, u.world.token);
    eg_world_done(&u.world);
    eg_world_done(&w);
}

/* ---- what fails, and who is named ---- */

/* Asks for raw.test through the chain. */
static int ask(const struct eg_world *w, struct eg_client *c)
{
    eg_client_open(c, w->proxy_port);
    eg_client_text(c, "CONNECT raw.test:%u HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                   w->plain_port, w->token);
    return 0;
}

/* The child is told status and reason, and the hop is named to it and in the audit. */
static void told(const struct eg_world *w, struct eg_client *c, int status, const char *reason,
                 const char *hop)
{
    char head[8192], *body = NULL;
    int got = eg_client_response(c, head, sizeof head, &body, NULL);
    cr_expect(got == status && eg_head_has(head, "X-Egress-Reason", reason), "want %d %s: %s",
              status, reason, head);
    cr_expect(body && strstr(body, hop), "want %s: %s", hop, body);
    cr_expect(eg_world_await_event(w, 1, reason, hop), "%s", hop);
    free(body);
    eg_client_close(c);
}

/* One hop that can't be got through: why, in the policy's words. */
static void refused(struct eg_world *w, const char *proxies, int status, const char *reason,
                    const char *hop)
{
    struct eg_client c;
    start(w, proxies, "y");
    ask(w, &c);
    told(w, &c, status, reason, hop);
    stop(w);
}

Test(hops, over_tls_are_verified_by_their_own_ca_alone, .timeout = 120)
{
    struct eg_world w;
    struct upstream u;
    char text[1024], hop[64];
    new_world(&w);
    start_upstream(&u, &w);
    snprintf(hop, sizeof hop, "https://127.0.0.1:%u: ", u.port[1]);
    snprintf(text, sizeof text,
             "{proxy: \"https://127.0.0.1:%u\", tls: {ca: \"@DIR@/other-ca.pem\"}}", u.port[1]);
    refused(&w, text, 502, "tls_untrusted", hop);
    /* the origin's CA does not vouch for the hop */
    snprintf(text, sizeof text, "{proxy: \"https://127.0.0.1:%u\", tls: {ca: \"@DIR@/ca.pem\"}}",
             u.port[1]);
    refused(&w, text, 502, "tls_untrusted", hop);
    snprintf(text, sizeof text,
             "{proxy: \"https://127.0.0.1:%u\", tls: {ca: \"@DIR@/hop-ca.pem\", server_name: "
             "other.test}}",
             u.port[1]);
    refused(&w, text, 502, "tls_name", hop);
    snprintf(hop, sizeof hop, "https://127.0.0.1:%u: ", u.port[2]);
    snprintf(text, sizeof text,
             "{proxy: \"https://127.0.0.1:%u\", tls: {ca: \"@DIR@/hop-ca.pem\"}}", u.port[2]);
    refused(&w, text, 502, "tls_expired", hop);
    eg_world_saw_nothing(&w);
    eg_world_done(&u.world);
    eg_world_done(&w);
}

/* With TLS 1.3 a client certificate is refused after the client's side of the handshake is done:
 * the hop closes, or says so by an alert. */
Test(hops, that_want_a_certificate_refuse_who_has_none_or_a_strangers, .timeout = 120)
{
    static const char *const with[] = {
        "tls: {ca: \"@DIR@/hop-ca.pem\"}",
        "tls: {ca: \"@DIR@/hop-ca.pem\", client_cert: \"@DIR@/stranger.pem\", client_key: "
        "\"@DIR@/stranger-key.pem\"}",
    };
    struct eg_world w;
    struct upstream u;
    struct eg_client c;
    char text[1024], hop[64], head[8192], *body = NULL;
    new_world(&w);
    start_upstream(&u, &w);
    snprintf(hop, sizeof hop, "https://127.0.0.1:%u: ", u.port[1]);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "{proxy: \"https://127.0.0.1:%u\", %s}", u.port[1], with[i]);
        start(&w, text, "y");
        ask(&w, &c);
        cr_expect(eg_client_response(&c, head, sizeof head, &body, NULL) == 502 &&
                      strstr(body, hop),
                  "%s: %s", head, body);
        free(body);
        eg_client_close(&c);
        stop(&w);
    }
    eg_world_saw_nothing(&w);
    eg_world_done(&u.world);
    eg_world_done(&w);
}
