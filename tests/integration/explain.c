/* explain.c - `egressctl explain` as a program: its exit status, what it says of each way, its JSON, and that it is as strict with files as `run`. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/daemon.h"

static const char POLICY[] = "egress: 1\n"
                             "%s"
                             "allow:\n"
                             "  - docs.example\n"
                             "  - \"*.wild.example\"\n"
                             "  - {host: mirror.example, scheme: http, rules: [GET /pub/**]}\n"
                             "deny: [bad.wild.example]\n"
                             "services:\n"
                             "  api:\n"
                             "    upstream: https://api.example/v1\n"
                             "    rules: [GET /v1/models]\n";

static void start(struct eg_world *w, const char *more)
{
    char policy[1024], home[320];
    snprintf(policy, sizeof policy, POLICY, more);
    eg_world_new(w);
    eg_world_write(w, "egress.yaml", policy);
    snprintf(home, sizeof home, "%s", w->dir);
    setenv("HOME", home, 1);
    unsetenv("XDG_CONFIG_HOME");
}

/* "explain -p DIR/egress.yaml" and these words; its exit status. */
static int explain(const struct eg_world *w, char **out, const char *a, const char *b,
                   const char *c, const char *d)
{
    char file[400];
    snprintf(file, sizeof file, "%s", eg_world_path(w, "egress.yaml"));
    const char *const argv[] = {
        EG_BUILD_DIR "/egressctl", "explain", "-p", file, a, b, c, d, NULL
    };
    return eg_proc_run(w, argv, NULL, out);
}

static void expect(const struct eg_world *w, int want, const char *text, const char *a,
                   const char *b, const char *c, const char *d)
{
    char *out = NULL;
    int got = explain(w, &out, a, b, c, d);
    cr_expect(got == want && strstr(out, text), "%s: %d, want %d with \"%s\":\n%s", a, got, want,
              text, out);
    free(out);
}

Test(explain, says_what_each_way_is_and_what_would_open_it, .timeout = 60)
{
    struct eg_world w;
    start(&w, "");
    expect(&w, 0, "allowed  a tunnel to docs.example:443", "docs.example", NULL, NULL, NULL);
    expect(&w, 0, "egress.yaml:3  allow docs.example: it allows https",
           "https://docs.example/a?b#c", NULL, NULL, NULL);
    expect(&w, 1, "port_not_allowed", "https://docs.example:8443", NULL, NULL, NULL);
    expect(&w, 1, "add `- wild.example` to allow in", "wild.example", NULL, NULL, NULL);
    expect(&w, 1, "remove or narrow the deny rule at", "https://bad.wild.example/", NULL, NULL,
           NULL);
    expect(&w, 1, "add `- {host: git.example, scheme: tcp, ports: [22]}`", "tcp://git.example:22",
           NULL, NULL, NULL);
    expect(&w, 1, "add \"PUT /pub/x\" to the rules at", "-X", "PUT", "http://mirror.example/pub/x",
           NULL);
    expect(&w, 0, "allowed  GET by the route of api: /api/models", "https://api.example/v1/models",
           NULL, NULL, NULL);
    expect(&w, 1, "add \"GET /v1/other\" to the rules at", "--service", "api", "/other", NULL);
    expect(&w, 1, "add \"10.1.2.3/32\" to networks.allow", "--address", "10.1.2.3", "docs.example",
           NULL);
    expect(&w, 2, "the policy has no service none\n", "--service", "none", "/", NULL);
    expect(&w, 2, "this is no host", "a b", NULL, NULL, NULL);
    expect(&w, 2, "this is no URL", "https://user@docs.example/", NULL, NULL, NULL);
    eg_world_done(&w);
}

Test(explain, json_is_one_object_with_every_way, .timeout = 60)
{
    struct eg_world w;
    char *out = NULL;
    start(&w, "");
    cr_assert_eq(explain(&w, &out, "--json", "-X", "POST", "https://api.example/v1/models"), 1);
    json_t *o = json_loads(out, 0, NULL);
    const json_t *ways = json_object_get(o, "ways"), *route = json_array_get(ways, 1);
    cr_expect_eq(json_array_size(ways), 2, "%s", out);
    cr_expect_str_eq(json_string_value(json_object_get(route, "reason")), "rule_denied");
    cr_expect_str_eq(json_string_value(json_object_get(json_object_get(route, "least"), "line")),
                     "\"POST /v1/models\"");
    cr_expect(json_is_true(
        json_object_get(json_array_get(json_object_get(route, "considered"), 0), "decides")));
    json_decref(o);
    free(out);
    eg_world_done(&w);
}

Test(explain, mode_observe_is_told_apart_and_wants_trust, .timeout = 60)
{
    struct eg_world w;
    start(&w, "mode: observe\n");
    expect(&w, 6, "untrusted-key", "other.example", NULL, NULL, NULL);
    expect(&w, 0, "passes, since the mode is observe", "--trust", "other.example", NULL, NULL);
    expect(&w, 1, "deny rule", "--trust", "bad.wild.example", NULL, NULL);
    eg_world_done(&w);
}
