/* listeners.c - a real egressd that listens over TLS with client certificates, on a Unix socket, and for one protocol only, as a
 * policy says. Every refusal asserts that nobody was reached, every test that no descriptor is left. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/peer.h"
#include "support/pki.h"
#include "tls/context.h"

static const char POLICY[] = "egress: 1\n"
                             "allow:\n"
                             "  - {host: api.example.test, ports: [@ORIGIN@]}\n"
                             "  - {host: raw.test, scheme: tcp, ports: [@PLAIN@]}\n"
                             "networks: {allow: [127.0.0.1/32]}\n"
                             "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"
                             "limits: {tls_timeout: 6s}\n"
                             "tls: {ca: \"@DIR@/ca.pem\", system: false}\n"
                             "listen:\n"
                             "  - address: \"127.0.0.1:0\"\n"
                             "    tls: {cert: \"@DIR@/proxy.pem\", key: \"@DIR@/proxy.key\", "
                             "client_ca: \"@DIR@/clients.pem\"}\n"
                             "    auth: client_cert\n"
                             "    sessions: {\"san:build.test\": build1}\n"
                             "  - {address: \"unix:@DIR@/in.sock\"}\n"
                             "  - {address: \"127.0.0.1:0\", protocols: [socks5]}\n";

static const char *const NAMES[] = { "api.example.test=127.0.0.1", "raw.test=127.0.0.1", NULL };

struct scene {
    struct eg_world w;
    pid_t worker;
    unsigned fds;
};

/* Writes DIR/NAME.pem and DIR/NAME.key. */
static void issue(const struct eg_world *w, struct pki_ca *ca, const char *name, const char *san,
                  bool is_client, bool expired)
{
    const char *names[] = { san, NULL };
    char file[64];
    struct pki_leaf leaf;
    struct pki_request request = { .names = names, .client = is_client };
    if (expired)
        request.from_days = -9, request.to_days = -2;
    cr_assert(pki_issue(ca, &request, &leaf));
    snprintf(file, sizeof file, "%s.pem", name);
    eg_world_write(w, file, leaf.cert_pem);
    snprintf(file, sizeof file, "%s.key", name);
    eg_world_write(w, file, leaf.key_pem);
}

static void write_certificates(const struct eg_world *w)
{
    cr_assert(eg_tls_start(NULL) == EG_OK);
    struct pki_ca *ca = pki_ca_new("clients"), *forger = pki_ca_new("forger");
    cr_assert(ca && forger);
    eg_world_write(w, "clients.pem", pki_ca_pem(ca));
    issue(w, ca, "proxy", "127.0.0.1", false, false);
    issue(w, ca, "build", "build.test", true, false);
    issue(w, ca, "unknown", "unknown.test", true, false);
    issue(w, ca, "expired", "build.test", true, true);
    issue(w, forger, "forged", "build.test", true, false);
    pki_ca_free(ca);
    pki_ca_free(forger);
    eg_tls_stop();
}

static void setup(struct scene *s)
{
    eg_world_new(&s->w);
    write_certificates(&s->w);
    eg_world_origin(&s->w, NULL);
    eg_world_plain(&s->w);
    eg_world_dns(&s->w, NAMES);
    eg_world_egressd(&s->w, POLICY, NULL, NULL);
    s->worker = eg_world_worker(&s->w);
    s->fds = eg_proc_fds(s->worker);
}

static void finish(struct scene *s)
{
    eg_proc_settled(s->worker, s->fds + 2); /* sockets to the name server may stay */
    eg_world_done(&s->w);
}

/* curl through the TLS listener with DIR/NAME.pem (NULL: without a certificate). */
static int curl(const struct scene *s, const char *name, char **out)
{
    char proxy[64], url[128], cert[32] = "", key[32] = "";
    snprintf(proxy, sizeof proxy, "https://127.0.0.1:%u", s->w.proxy_port);
    snprintf(url, sizeof url, "https://api.example.test:%u/headers", s->w.origin_port);
    snprintf(cert, sizeof cert, "%s.pem", name ? name : "");
    snprintf(key, sizeof key, "%s.key", name ? name : "");
    const char *argv[] = { "curl",
                           "-sS",
                           "--proxy",
                           proxy,
                           "--proxy-cacert",
                           eg_world_path(&s->w, "clients.pem"),
                           "--cacert",
                           eg_world_path(&s->w, "ca.pem"),
                           url,
                           name ? "--proxy-cert" : NULL,
                           eg_world_path(&s->w, cert),
                           "--proxy-key",
                           eg_world_path(&s->w, key),
                           NULL };
    return eg_proc_run(&s->w, argv, NULL, out);
}

static void recorded(const struct scene *s, const char *reason, const char *also)
{
    char want[64];
    snprintf(want, sizeof want, "\"reason\":\"%s\"", reason);
    if (!eg_world_await_event(&s->w, 1, want, also)) {
        char *events = eg_world_events(&s->w);
        cr_expect(false, "%s %s: %s", reason, also, events);
        free(events);
    }
}

Test(listeners, over_tls_serve_curl_with_its_certificate, .timeout = 60)
{
    struct scene s;
    char *out = NULL;
    setup(&s);
    cr_expect(curl(&s, "build", &out) == 0 && strcasestr(out, "host"), "%s", out);
    free(out);
    recorded(&s, "ok", "\"session\":\"build1\"");
    finish(&s);
}

Test(listeners, over_tls_drop_whom_they_do_not_know, .timeout = 120)
{
    static const struct {
        const char *name, *reason, *also;
    } rows[] = {
        { NULL, "tls_failed", "handshake with the client" },
        { "forged", "tls_untrusted", "handshake with the client" },
        { "expired", "tls_expired", "handshake with the client" },
        { "unknown", "token_missing", "\"via\":\"tunnel\"" },
    };
    struct scene s;
    struct eg_client c;
    setup(&s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *out = NULL;
        cr_expect(curl(&s, rows[i].name, &out) != 0, "%zu: %s", i, out);
        free(out);
        recorded(&s, rows[i].reason, rows[i].also);
    }
    eg_client_open(&c, s.w.proxy_port); /* no downgrade */
    eg_client_text(&c, "CONNECT raw.test:%u HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                   s.w.plain_port, s.w.token);
    cr_expect(eg_client_wait(&c, NULL, 0) && (c.len == 0 || c.buf[0] == 0x15), "%zu", c.len);
    eg_client_close(&c);
    eg_world_saw_nothing(&s.w);
    finish(&s);
}

Test(listeners, slow_handshakes_hold_up_nobody, .timeout = 60)
{
    enum { SLOW = 200 };
    static struct eg_client slow[SLOW];
    struct scene s;
    char *out = NULL;
    setup(&s);
    for (int i = 0; i < SLOW; i++) {
        eg_client_open(&slow[i], s.w.proxy_port);
        eg_client_send(&slow[i], "\x16\x03\x01\x02\x00\x01", 6);
    }
    uint64_t begun = eg_clock_ms();
    cr_expect(curl(&s, "build", &out) == 0, "%s", out);
    cr_expect(eg_clock_ms() - begun < 5500, "%u ms", (unsigned)(eg_clock_ms() - begun));
    free(out);
    for (int i = 0; i < SLOW; i++) {
        cr_expect(eg_client_wait(&slow[i], NULL, 0), "%d is still open", i);
        eg_client_close(&slow[i]);
    }
    recorded(&s, "tls_timeout", "handshake with the client");
    finish(&s);
}

Test(listeners, on_a_unix_socket_speak_both_protocols, .timeout = 60)
{
    struct scene s;
    char proxy[500], url[128], *out = NULL;
    setup(&s);
    snprintf(proxy, sizeof proxy, "socks5h://anybody:%s@localhost%s", s.w.token,
             eg_world_path(&s.w, "in.sock"));
    snprintf(url, sizeof url, "http://raw.test:%u/headers", s.w.plain_port);
    const char *socks[] = { "curl", "-sS", "--proxy", proxy, url, NULL };
    cr_expect(eg_proc_run(&s.w, socks, NULL, &out) == 0 && strcasestr(out, "host"), "%s", out);
    free(out);
    recorded(&s, "ok", "\"via\":\"socks\"");
    const char *http[] = { "curl",
                           "-sS",
                           "-i",
                           "--unix-socket",
                           eg_world_path(&s.w, "in.sock"),
                           "http://localhost/nothing",
                           NULL };
    cr_expect(eg_proc_run(&s.w, http, NULL, &out) == 0 && strstr(out, "HTTP/1.1 400") &&
                  strcasestr(out, "X-Egress-Reason: no_routes"),
              "%s", out);
    free(out);
    finish(&s);
}

Test(listeners, of_one_protocol_refuse_the_other, .timeout = 60)
{
    struct scene s;
    struct eg_client c;
    char head[8192];
    setup(&s);
    const char *last = strrchr(s.w.egressd.ready, '{');
    const char *port = last ? strstr(last, "\"port\":") : NULL;
    cr_assert(port != NULL, "%s", s.w.egressd.ready);
    eg_client_open(&c, (uint16_t)strtol(port + 7, NULL, 10));
    eg_client_text(&c, "CONNECT raw.test:%u HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n",
                   s.w.plain_port, s.w.token);
    cr_expect(eg_client_response(&c, head, sizeof head, NULL, NULL) == 400 &&
                  eg_head_has(head, "X-Egress-Reason", "bad_request"),
              "%s", head);
    eg_client_close(&c);
    recorded(&s, "bad_request", "SOCKS5 only");
    eg_world_saw_nothing(&s.w);
    finish(&s);
}

/* As the bundle of all of the system's would be: it was a worker that died, without a word about why. */
Test(listeners, ca_bundle_that_fits_into_no_message_is_told_at_start, .timeout = 60)
{
    struct eg_world w;
    char path[512], *out = NULL;
    eg_world_new(&w);
    write_certificates(&w);
    snprintf(path, sizeof path, "%s", eg_world_path(&w, "clients.pem"));
    char *one = eg_world_read(&w, "clients.pem", NULL);
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    for (size_t n = 0; n < 200 * 1024; n += strlen(one))
        cr_assert(fputs(one, f) >= 0);
    cr_assert_eq(fclose(f), 0);
    eg_world_policy(&w, "egress: 1\nlisten:\n  - address: \"127.0.0.1:0\"\n"
                        "    tls: {cert: \"@DIR@/proxy.pem\", key: \"@DIR@/proxy.key\", "
                        "client_ca: \"@DIR@/clients.pem\"}\n");
    const char *argv[] = { EG_BUILD_DIR "/egressd",
                           "--policy",
                           eg_world_path(&w, "egress.yaml"),
                           "--control",
                           w.control,
                           NULL };
    cr_assert_eq(eg_proc_run(&w, argv, NULL, &out), 1, "%s", out);
    cr_assert(strstr(out, "name only the CA of its clients"), "%s", out);
    free(out);
    free(one);
    eg_world_done(&w);
}
