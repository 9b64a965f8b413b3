/* observe.c - mode: observe in a whole egressd: what no deny rule names passes and is recorded with what it would have been; deny rules,
 * addresses and tokens hold as ever, also for the server name inside a tunnel. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/daemon.h"

static const char POLICY[] =
    "egress: 1\n"
    "%s"
    "allow:\n"
    "  - {host: web.test, scheme: http, ports: [@PLAIN@], rules: [GET /headers]}\n"
    "  - {host: tls.test, ports: [@ORIGIN@]}\n"
    "deny:\n"
    "  - denied.test\n"
    "  - {host: web.test, rules: [DELETE /**]}\n"
    "services:\n"
    "  s: {upstream: \"http://api.test:@PLAIN@\", rules: [GET /headers], deny: [\"* /admin\"]}\n"
    "networks: {allow: [127.0.0.1/32]}\n"
    "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n";

static const char *const NAMES[] = { "web.test=127.0.0.1",    "api.test=127.0.0.1",
                                     "new.test=127.0.0.1",    "tls.test=127.0.0.1",
                                     "denied.test=127.0.0.1", "private.test=10.9.8.7",
                                     "gone.test=nxdomain",    NULL };

static void start(struct eg_world *w, const char *mode)
{
    char policy[2048];
    snprintf(policy, sizeof policy, POLICY, mode);
    eg_world_new(w);
    eg_world_origin(w, NULL);
    eg_world_plain(w);
    eg_world_dns(w, NAMES);
    eg_world_egressd(w, policy, NULL, NULL);
}

static int connect_to(struct eg_client *c, const struct eg_world *w, const char *host,
                      unsigned port)
{
    char authority[300];
    snprintf(authority, sizeof authority, "%s:%u", host, port);
    eg_client_open(c, w->proxy_port);
    return eg_client_connect(c, w, authority);
}

static void expect(const struct eg_world *w, const char *host, unsigned port, int want)
{
    struct eg_client c;
    int got = connect_to(&c, w, host, port);
    cr_expect_eq(got, want, "%s:%u: %d, want %d", host, port, got, want);
    eg_client_close(&c);
}

static int request(const struct eg_world *w, const char *method, const char *target)
{
    struct eg_client c;
    char head[8192], *body = NULL;
    eg_client_open(&c, w->proxy_port);
    eg_client_text(&c,
                   "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Length: 0\r\n"
                   "Proxy-Authorization: Bearer %s\r\nConnection: close\r\n\r\n",
                   method, target, w->proxy_port, w->token);
    int status = eg_client_response(&c, head, sizeof head, &body, NULL);
    free(body);
    eg_client_close(&c);
    return status;
}

static int forward(const struct eg_world *w, const char *method, const char *path)
{
    char target[300];
    snprintf(target, sizeof target, "http://web.test:%u%s", w->plain_port, path);
    return request(w, method, target);
}

static bool is_recorded(const struct eg_world *w, const char *reason, const char *with)
{
    char want[120];
    char *lines = eg_world_events(w);
    snprintf(want, sizeof want,
             "\"mode\":\"observe\",\"decision\":\"would_deny\",\"reason\":\"%s\"", reason);
    bool found = eg_events_with(lines, want, with, NULL) > 0;
    free(lines);
    return found;
}

Test(observe, what_no_rule_names_passes_and_is_recorded, .timeout = 60)
{
    struct eg_world w;
    start(&w, "mode: observe\n");
    expect(&w, "new.test", w.plain_port, 200);
    cr_expect(is_recorded(&w, "host_not_allowed", "new.test"));
    cr_expect_eq(forward(&w, "GET", "/headers"), 200);
    cr_expect_eq(forward(&w, "GET", "/other"), 200);
    cr_expect(is_recorded(&w, "rule_denied", "/other"));
    cr_expect_not(is_recorded(&w, "rule_denied", "\"path\":\"/headers\""));
    cr_expect_eq(request(&w, "GET", "/s/other"), 200);
    cr_expect(is_recorded(&w, "rule_denied", "\"via\":\"route\""));
    eg_world_done(&w);
}

Test(observe, what_then_fails_on_its_way_is_recorded_as_well, .timeout = 60)
{
    struct eg_world w;
    start(&w, "mode: observe\n");
    expect(&w, "gone.test", 443, 502);
    cr_expect(is_recorded(&w, "host_not_allowed", "gone.test"));
    cr_expect(eg_world_await_event(&w, 1, "\"event\":\"end\"", "\"reason\":\"dns_not_found\""));
    char *lines = eg_world_events(&w);
    cr_expect_eq(eg_events_with(lines, "gone.test", NULL), 2, "%s", lines);
    free(lines);
    eg_world_done(&w);
}

Test(observe, deny_rules_and_addresses_hold, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    start(&w, "mode: observe\n");
    expect(&w, "denied.test", w.plain_port, 403);
    expect(&w, "private.test", w.plain_port, 403);
    expect(&w, "169.254.169.254", 80, 403);
    expect(&w, "api.test", w.plain_port, 403); /* round the service's deny rules */
    expect(&w, "new.test", w.proxy_port, 403);
    cr_expect_eq(forward(&w, "DELETE", "/headers"), 403);
    cr_expect_eq(request(&w, "GET", "/s/admin"), 403);
    cr_expect_eq(request(&w, "GET", "/nothing/"), 404);
    eg_client_open(&c, w.proxy_port);
    eg_client_text(&c, "CONNECT new.test:%u HTTP/1.1\r\n\r\n", w.plain_port);
    cr_expect_eq(eg_client_response(&c, (char[8192]){ 0 }, 8192, NULL, NULL), 407);
    eg_client_close(&c);
    eg_world_saw_nothing(&w);
    eg_world_done(&w);
}

static void flight(const struct eg_world *w, const void *p, size_t n)
{
    struct eg_client c;
    cr_assert_eq(connect_to(&c, w, "tls.test", w->origin_port), 200);
    eg_client_send(&c, p, n);
    (void)eg_client_wait(&c, NULL, 1); /* an answer, an alert, or the end */
    eg_client_close(&c);
}

Test(observe, server_name_that_is_denied_is_cut_and_another_is_recorded, .timeout = 60)
{
    struct eg_world w;
    unsigned char hello[300];
    start(&w, "mode: observe\n");
    flight(&w, hello, eg_daemon_client_hello(hello, "denied.test"));
    cr_expect(
        eg_world_await_event(&w, 1, "\"decision\":\"deny\",\"reason\":\"sni_mismatch\"", "hello"));
    flight(&w, hello, eg_daemon_client_hello(hello, "metadata.google.internal"));
    cr_expect(
        eg_world_await_event(&w, 2, "\"decision\":\"deny\",\"reason\":\"sni_mismatch\"", "hello"));
    flight(&w, hello, eg_daemon_client_hello(hello, "bad name.test"));
    cr_expect(
        eg_world_await_event(&w, 3, "\"decision\":\"deny\",\"reason\":\"sni_mismatch\"", "hello"));
    eg_world_saw_nothing(&w);
    flight(&w, hello, eg_daemon_client_hello(hello, "other.test"));
    cr_expect(is_recorded(&w, "sni_mismatch", "\"detail\":\"other.test\""));
    flight(&w, "SSH-2.0-OpenSSH_9.2\r\n", 21);
    cr_expect(is_recorded(&w, "not_tls", "\"stage\":\"hello\""));
    eg_world_done(&w);
}

Test(observe, a_reload_to_enforce_cuts_what_only_observing_let_through, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char policy[2048];
    char *status = NULL;
    start(&w, "mode: observe\n");
    cr_expect_eq(eg_ctl_run(&w, &status, "status", NULL), 0);
    cr_expect(strstr(status, "mode observe"), "%s", status);
    free(status);
    cr_assert_eq(connect_to(&c, &w, "new.test", w.plain_port), 200);
    cr_assert(eg_daemon_echo(&c));
    snprintf(policy, sizeof policy, POLICY, "mode: enforce\n");
    eg_world_policy(&w, policy);
    cr_assert(kill(w.egressd.pid, SIGHUP) == 0);
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"policy_cut\"", "new.test"));
    eg_client_close(&c);
    expect(&w, "new.test", w.plain_port, 403);
    cr_expect(
        eg_world_await_event(&w, 1, "\"mode\":\"enforce\",\"decision\":\"deny\"", "new.test"));
    eg_world_done(&w);
}
