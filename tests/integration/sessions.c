/* sessions.c - egressctl session create, list and revoke against a running egressd: what each session may, and that none may with another's secrets. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "support/daemon.h"

#define REAL "sk-live-0123456789abcdefghijklmnopqrstuvwxyzABCD"

static const char POLICY[] = "egress: 1\n"
                             "allow: [{address: 127.0.0.1, scheme: tcp, ports: [@PLAIN@]}]\n"
                             "services:\n"
                             "  api:\n"
                             "    upstream: https://api.example.test:@ORIGIN@\n"
                             "    credential: key\n"
                             "    write: [\"header:Authorization: Bearer {}\"]\n"
                             "    env: {base_url: API_BASE_URL, key: [API_KEY]}\n"
                             "  other:\n"
                             "    upstream: https://api.example.test:@ORIGIN@\n"
                             "    credential: key\n"
                             "    write: [\"header:Authorization: Bearer {}\"]\n"
                             "    env: {base_url: OTHER_BASE_URL, key: [OTHER_KEY]}\n"
                             "credentials:\n"
                             "  key: {from: env:TEST_REAL_KEY, hosts: [api.example.test]}\n"
                             "networks: {allow: [127.0.0.0/8]}\n"
                             "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n"
                             "tls: {ca: \"@DIR@/ca.pem\", system: false}\n";
static const char *const ENVIRONMENT[] = { "TEST_REAL_KEY=" REAL, NULL };
static const char *const NAMES[] = { "api.example.test=127.0.0.1", NULL };
static const char *const TWO[] = { "--workers", "2", NULL };

struct session {
    char id[64], token[80], phantom[400], other[400];
};

static void setup(struct eg_world *w)
{
    eg_world_new(w);
    eg_world_origin(w, NULL);
    eg_world_plain(w);
    eg_world_dns(w, NAMES);
    eg_world_egressd(w, POLICY, TWO, ENVIRONMENT);
}

static void create(const struct eg_world *w, const char *label, const char *ttl, struct session *s)
{
    char *out = NULL;
    memset(s, 0, sizeof *s);
    int code = ttl ? eg_ctl_run(w, &out, "session", "create", "--label", label, "--json", "--ttl",
                                ttl, NULL)
                   : eg_ctl_run(w, &out, "session", "create", "--label", label, "--json", NULL);
    cr_assert(code == 0, "%s", out);
    eg_json_text(out, "id", s->id, sizeof s->id);
    eg_json_text(out, "token", s->token, sizeof s->token);
    cr_assert(strlen(s->token) == 64 && strspn(s->token, "0123456789abcdef") == 64, "%s", out);
    free(out);
    cr_assert(eg_ctl_run(w, &out, "env", "--session", s->id, "--format", "json", NULL) == 0, "%s",
              out);
    eg_json_text(out, "API_KEY", s->phantom, sizeof s->phantom);
    eg_json_text(out, "OTHER_KEY", s->other, sizeof s->other);
    cr_assert(strlen(s->phantom) == strlen(REAL) && strcmp(s->phantom, s->other) != 0);
    free(out);
}

static int tunnel(const struct eg_world *w, const char *token, char reason[64])
{
    struct eg_client c;
    char head[8192];
    int status = eg_daemon_tunnel(&c, w, token, w->plain_port, head, sizeof head);
    const char *at = strcasestr(head, "\nX-Egress-Reason:");
    snprintf(reason, 64, "%.*s", at ? (int)strcspn(at + 17, "\r") : 0, at ? at + 17 : "");
    memmove(reason, reason + strspn(reason, " "), strlen(reason) - strspn(reason, " ") + 1);
    eg_client_close(&c);
    return status;
}

static void refused(const struct eg_world *w, const char *token, const char *reason)
{
    char got[64];
    for (int i = 0; i < 6; i++) { /* by every worker */
        int status = tunnel(w, token, got);
        cr_assert(status == 407 && strcmp(got, reason) == 0, "%d %s, not 407 %s", status, got,
                  reason);
    }
}

static int route(const struct eg_world *w, const char *service, const char *phantom,
                 const char *token)
{
    struct eg_client c;
    char head[8192];
    eg_client_open(&c, w->proxy_port);
    eg_client_text(&c,
                   "GET /%s/headers HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAuthorization: Bearer %s\r\n",
                   service, w->proxy_port, phantom);
    if (token)
        eg_client_text(&c, "Proxy-Authorization: Bearer %s\r\n", token);
    eg_client_text(&c, "\r\n");
    int status = eg_client_response(&c, head, sizeof head, NULL, NULL);
    eg_client_close(&c);
    return status;
}

/* Of a route whose phantom is known and whose session is over. */
static bool dead(int status)
{
    return status == 401 || status == 407;
}

Test(sessions, are_created_listed_and_told_apart_in_the_audit, .timeout = 90)
{
    struct eg_world w;
    struct session a, b;
    char reason[64], *out = NULL;
    setup(&w);
    create(&w, "build-7", NULL, &a);
    create(&w, "night", "8h", &b);
    cr_assert(strcmp(a.id, b.id) != 0 && strcmp(a.token, b.token) != 0 &&
              strcmp(a.token, w.token) != 0);
    cr_assert(strcmp(a.phantom, b.phantom) != 0);
    cr_assert(tunnel(&w, a.token, reason) == 200 && tunnel(&w, b.token, reason) == 200 &&
              tunnel(&w, w.token, reason) == 200);
    cr_assert(route(&w, "api", a.phantom, NULL) == 200);
    cr_assert(eg_ctl_run(&w, &out, "session", "list", "--json", NULL) == 0);
    cr_assert(eg_events_with(out, "\"label\":\"build-7\"", a.id, "\"phantoms\":2",
                             "\"revoked\":false", NULL) == 1 &&
                  eg_events_with(out, "\"label\":\"night\"", b.id, "\"expires\":\"", NULL) == 1 &&
                  eg_events_with(out, "\"label\":\"default\"", NULL) == 1,
              "%s", out);
    cr_assert(!strstr(out, a.token) && !strstr(out, a.phantom) && !strstr(out, w.token),
              "no token but at create");
    free(out);
    cr_assert(eg_ctl_run(&w, &out, "session", "list", NULL) == 0);
    cr_assert(strstr(out, "build-7") && strstr(out, "night") && strstr(out, "ID ") == out, "%s",
              out);
    free(out);
    char *events = eg_world_events(&w);
    cr_assert(eg_events_with(events, "\"event\":\"decision\"", "\"session\":\"build-7\"", NULL) ==
                  2,
              "%s", events);
    cr_assert(eg_events_with(events, "\"event\":\"decision\"", "\"session\":\"night\"", NULL) == 1,
              "%s", events);
    cr_assert(eg_events_with(events, "\"event\":\"system\"", "created", a.id, NULL) == 1, "%s",
              events);
    cr_assert(!strstr(events, a.token) && !strstr(events, a.phantom));
    free(events);
    eg_world_done(&w);
}

Test(sessions, revoked_are_refused_and_their_tunnels_cut, .timeout = 90)
{
    struct eg_world w;
    struct session a, b;
    struct eg_client cut[4], kept;
    char *out = NULL, reason[64];
    setup(&w);
    create(&w, "a", NULL, &a);
    create(&w, "b", NULL, &b);
    for (int i = 0; i < 4; i++)
        cr_assert(eg_daemon_tunnel(&cut[i], &w, a.token, w.plain_port, NULL, 0) == 200 &&
                  eg_daemon_echo(&cut[i]));
    cr_assert(eg_daemon_tunnel(&kept, &w, b.token, w.plain_port, NULL, 0) == 200);
    cr_assert(route(&w, "api", a.phantom, NULL) == 200);
    cr_assert(eg_ctl_run(&w, &out, "session", "revoke", a.id, NULL) == 0, "%s", out);
    free(out);
    for (int i = 0; i < 4; i++) {
        cr_assert(eg_client_wait(&cut[i], NULL, 0), "its tunnels are cut");
        eg_client_close(&cut[i]);
    }
    refused(&w, a.token, "token_revoked");
    size_t before, after;
    free(eg_world_read(&w, "origin.rec", &before));
    cr_assert(dead(route(&w, "api", a.phantom, NULL)), "its phantoms are dead too");
    free(eg_world_read(&w, "origin.rec", &after));
    cr_assert(before == after, "the origin saw nothing of it");
    cr_assert(eg_daemon_echo(&kept) && tunnel(&w, b.token, reason) == 200, "the other goes on");
    cr_assert(eg_world_await_event(&w, 4, "\"event\":\"end\"", "\"reason\":\"token_revoked\""));
    cr_assert(eg_ctl_run(&w, &out, "session", "list", "--json", NULL) == 0);
    cr_assert(eg_events_with(out, a.id, "\"revoked\":true", NULL) == 1, "%s", out);
    free(out);
    cr_assert(eg_ctl_run(&w, &out, "env", "--session", a.id, NULL) != 0, "no environment: %s", out);
    free(out);
    cr_assert(eg_ctl_run(&w, &out, "session", "revoke", a.id, NULL) == 1, "once only: %s", out);
    free(out);
    cr_assert(eg_ctl_run(&w, &out, "session", "revoke", "s-none", NULL) == 1, "%s", out);
    free(out);
    eg_client_close(&kept);
    eg_world_done(&w);
}

/* A worker that begins later, and a reload, know of it too. */
Test(sessions, revoked_stay_so_over_reload_and_restart, .timeout = 90)
{
    struct eg_world w;
    struct session a, b;
    char *out = NULL, reason[64];
    setup(&w);
    create(&w, "a", NULL, &a);
    create(&w, "b", NULL, &b);
    cr_assert(eg_ctl_run(&w, &out, "session", "revoke", a.id, NULL) == 0, "%s", out);
    free(out);
    kill(w.egressd.pid, SIGHUP);
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"reloaded\"", "generation 2"));
    refused(&w, a.token, "token_revoked");
    cr_assert(route(&w, "api", b.phantom, NULL) == 200, "a phantom that was given out stays");
    for (unsigned n = 1; n <= 2; n++) {
        pid_t pid = eg_daemon_worker(&w, n, 0);
        kill(pid, SIGKILL);
        eg_daemon_worker(&w, n, pid);
    }
    refused(&w, a.token, "token_revoked");
    cr_assert(dead(route(&w, "api", a.phantom, NULL)));
    cr_assert(tunnel(&w, b.token, reason) == 200 && route(&w, "api", b.phantom, NULL) == 200);
    eg_world_done(&w);
}

Test(sessions, expire_at_their_ttl, .timeout = 90)
{
    struct eg_world w;
    struct session a;
    char reason[64] = "";
    setup(&w);
    uint64_t from = eg_clock_ms(), deadline = from + EG_PROC_DEADLINE_MS;
    create(&w, "short", "3s", &a);
    int status = tunnel(&w, a.token, reason);
    cr_assert(status == 200 || eg_clock_ms() - from >= 3000, "%d %s", status, reason);
    while (status == 200 && eg_clock_ms() < deadline)
        status = tunnel(&w, a.token, reason);
    cr_assert(eg_clock_ms() - from >= 2900, "not before its time: %lu ms",
              (unsigned long)(eg_clock_ms() - from));
    cr_assert(status == 407 && strcmp(reason, "token_expired") == 0, "%d %s", status, reason);
    refused(&w, a.token, "token_expired");
    cr_assert(dead(route(&w, "api", a.phantom, NULL)));
    cr_assert(tunnel(&w, w.token, reason) == 200);
    eg_world_done(&w);
}

/* No secret works in another's place. */
Test(sessions, do_not_open_each_others_doors, .timeout = 90)
{
    struct eg_world w;
    struct session a, b;
    char made[900];
    setup(&w);
    create(&w, "a", NULL, &a);
    create(&w, "b", NULL, &b);
    size_t before, after;
    free(eg_world_read(&w, "origin.rec", &before));
    cr_assert(route(&w, "other", a.phantom, NULL) == 401, "a phantom is for one service");
    cr_assert(route(&w, "api", a.token, NULL) != 200, "a token is no phantom");
    snprintf(made, sizeof made, "%.40s%s", a.phantom, b.phantom + 40);
    cr_assert(route(&w, "api", made, NULL) == 401);
    cr_assert(route(&w, "api", a.phantom, b.token) != 200,
              "a phantom with another session's token");
    cr_assert(route(&w, "api", a.phantom, "00") != 200, "a token beside it must be valid");
    cr_assert(route(&w, "api", REAL, NULL) == 401, "nor does the real key open it");
    free(eg_world_read(&w, "origin.rec", &after));
    cr_assert(before == after, "the origin saw nothing of all that");
    cr_assert(route(&w, "api", a.phantom, a.token) == 200 &&
              route(&w, "other", a.other, NULL) == 200);
    refused(&w, a.phantom, "token_invalid");
    eg_world_done(&w);
}

Test(sessions, take_labels_and_times_that_are_in_range, .timeout = 90)
{
    static const char *const labels[] = { "", "two words", "tab\there", "caf\xc3\xa9",
                                          "a-label-of-forty-eight-bytes-xxxxxxxxxxxxxxxxxxx" };
    static const char *const times[] = { "0s", "0", "-1s", "366d", "1x", "s", "1.5h" };
    struct eg_world w;
    char *out = NULL;
    setup(&w);
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        cr_expect(eg_ctl_run(&w, &out, "session", "create", "--label", labels[i], NULL) != 0,
                  "'%s': %s", labels[i], out);
        free(out);
    }
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        cr_expect(eg_ctl_run(&w, &out, "session", "create", "--ttl", times[i], NULL) == 2, "%s: %s",
                  times[i], out);
        free(out);
    }
    cr_assert(eg_ctl_run(&w, &out, "session", "create", NULL) == 0 && strstr(out, "token    "),
              "%s", out);
    free(out);
    cr_assert(eg_ctl_run(&w, &out, "session", "list", "--json", NULL) == 0);
    cr_assert(eg_events_with(out, "\"id\":", NULL) == 2, "default and the last: %s", out);
    free(out);
    eg_world_done(&w);
}
