/* policy_public.c - egress/policy.h: what a caller may give it, what it is told, and that a decision allocates nothing. */
#include <criterion/criterion.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "egress/policy.h"
#include "policy/public.h"

static const char text[] =
    "egress: 1\n"
    "name: one\n"
    "allow:\n"
    "  - api.example.com\n"
    "  - {host: files.example, scheme: http, rules: [GET /a/**]}\n"
    "  - {cidr: 192.0.2.0/24, ports: [443]}\n"
    "deny: [{host: no.example, why: never}]\n"
    "services:\n"
    "  s: {upstream: \"https://up.example/v1\", rules: [GET /v1/m]}\n"
    "  t: {upstream: \"https://up.example\", route: other, credential: token}\n"
    "credentials:\n"
    "  token: {oauth2: {grant: refresh_token, token_url: \"https://t.example/t\", client_id: me, "
    "refresh_token: \"keyring:a/b\"}, hosts: [up.example]}\n";

static struct egress_policy_file file_of(const char *name, const char *yaml)
{
    return (struct egress_policy_file){ name, yaml, strlen(yaml), EGRESS_LAYER_REPO, true };
}

static struct egress_policy *compiled(const char *yaml,
                                      const struct egress_compile_options *options)
{
    struct egress_policy *policy;
    const struct egress_policy_file file = file_of("dir/egress.yaml", yaml);
    cr_assert_eq(egress_policy_compile(&file, 1, options, &policy, NULL), EG_OK);
    return policy;
}

static enum eg_status asked(const struct egress_policy *p, enum egress_ask kind, const char *host,
                            unsigned port, const char *path, struct egress_verdict *v)
{
    const struct egress_question q = { .kind = kind,
                                       .host = host,
                                       .port = (uint16_t)port,
                                       .service = host,
                                       .method = "GET",
                                       .path = path };
    egress_policy_ask(p, &q, v);
    cr_assert_not_null(v->rule);
    cr_assert_not_null(v->detail);
    return v->status;
}

Test(policy, the_public_engine_answers_what_the_engine_answers)
{
    static const char *const hosts[] = { "api.example.com", "API.Example.COM.", "b.api.example.com",
                                         "no.example",      "files.example",    "192.0.2.9",
                                         "up.example" };
    struct egress_policy *p = compiled(text, NULL);
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        for (unsigned port = 80; port <= 443; port += 363) {
            struct egress_verdict got;
            struct eg_verdict want;
            struct eg_authority to;
            cr_assert_eq(eg_authority_parse(eg_slice_str(hosts[i]), (uint16_t)port, &to, NULL),
                         EG_OK);
            eg_policy_judge_tunnel(p->view, &to, &want);
            cr_assert_eq(asked(p, EGRESS_ASK_TUNNEL, hosts[i], port, NULL, &got), want.status, "%s",
                         hosts[i]);
            cr_assert(eg_slice_eq(eg_slice_str(got.rule), want.rule) &&
                      eg_slice_eq(eg_slice_str(got.detail), want.detail));
            cr_assert((int)got.scheme == (int)want.scheme && got.sni_optional == want.sni_optional);
        }
    egress_policy_free(p);
}

Test(policy, a_malformed_question_is_answered_as_a_client_is)
{
    static char big[EGRESS_PATH_MAX + 2];
    struct egress_policy *p = compiled(text, NULL);
    struct egress_verdict v;
    cr_assert_eq(asked(p, EGRESS_ASK_TUNNEL, NULL, 443, NULL, &v), EG_BAD_HOST);
    cr_assert_eq(asked(p, EGRESS_ASK_TUNNEL, "", 443, NULL, &v), EG_BAD_HOST);
    cr_assert_eq(asked(p, EGRESS_ASK_TUNNEL, "api.example.com", 0, NULL, &v), EG_BAD_HOST);
    cr_assert_eq(asked(p, EGRESS_ASK_TUNNEL, "api.example.com:443", 443, NULL, &v), EG_BAD_HOST);
    cr_assert_eq(asked(p, EGRESS_ASK_TUNNEL, "127.1", 443, NULL, &v), EG_BAD_HOST);
    cr_assert_eq(asked(p, EGRESS_ASK_TUNNEL, "[::1", 443, NULL, &v), EG_BAD_HOST);
    cr_assert_eq(asked(p, EGRESS_ASK_TUNNEL, "::1", 443, NULL, &v), EG_HOST_NOT_ALLOWED);
    cr_assert_eq(asked(p, EGRESS_ASK_TUNNEL, "[::1]", 443, NULL, &v), EG_HOST_NOT_ALLOWED);
    cr_assert_eq(asked(p, EGRESS_ASK_REQUEST, "files.example", 80, NULL, &v), EG_BAD_TARGET);
    cr_assert_eq(asked(p, EGRESS_ASK_REQUEST, "files.example", 80, "a", &v), EG_BAD_TARGET);
    cr_assert_eq(asked(p, EGRESS_ASK_REQUEST, "files.example", 80, "/a/%zz", &v), EG_BAD_TARGET);
    cr_assert_eq(asked(p, EGRESS_ASK_REQUEST, "files.example", 80, "/a/%2561", &v), EG_OK);
    cr_assert_eq(asked(p, EGRESS_ASK_REQUEST, "files.example", 80, "/%61/b", &v), EG_OK);
    cr_assert_eq(asked(p, EGRESS_ASK_REQUEST, "files.example", 80, "/a/%2e%2e/b", &v),
                 EG_RULE_DENIED);
    memset(big, 'a', sizeof big - 1);
    big[0] = '/';
    cr_assert_eq(asked(p, EGRESS_ASK_REQUEST, "files.example", 80, big, &v), EG_TARGET_TOO_LONG);
    big[sizeof big - 2] = 0; /* now as long as may be */
    cr_assert_eq(asked(p, EGRESS_ASK_REQUEST, "files.example", 80, big, &v), EG_RULE_DENIED);
    big[2] = '/';
    cr_assert_eq(asked(p, EGRESS_ASK_REQUEST, "files.example", 80, big, &v), EG_OK);
    cr_assert_eq(asked(p, EGRESS_ASK_ROUTE, "none", 0, "/", &v), EG_ROUTE_UNKNOWN);
    cr_assert_eq(asked(p, EGRESS_ASK_ROUTE, NULL, 0, "/", &v), EG_ROUTE_UNKNOWN);
    cr_assert_eq(asked(p, (enum egress_ask)9, "a.example", 1, "/", &v), EG_INVALID);
    const struct egress_question without = { .kind = EGRESS_ASK_ROUTE,
                                             .service = "s",
                                             .path = "/m" };
    egress_policy_ask(p, &without, &v);
    cr_assert_eq(v.status, EG_BAD_REQUEST);
    egress_policy_free(p);
}

/* A token endpoint is a service of ours, which no child sees. */
Test(policy, routes_are_those_that_a_child_has)
{
    struct egress_policy *p = compiled(text, NULL);
    struct egress_verdict v;
    cr_assert_eq(egress_policy_routes(p), 2);
    cr_assert_lt(egress_policy_routes(p), eg_policy_service_count(p->view));
    cr_assert_str_eq(egress_policy_route(p, 0), "s");
    cr_assert_str_eq(egress_policy_route(p, 1), "other");
    cr_assert_str_eq(egress_policy_route(p, 2), "");
    cr_assert_eq(asked(p, EGRESS_ASK_ROUTE, "s", 0, "/m", &v), EG_OK);
    cr_assert_eq(asked(p, EGRESS_ASK_ROUTE, "s", 0, "/n", &v), EG_RULE_DENIED);
    for (unsigned i = 0; i < eg_policy_service_count(p->view); i++) {
        struct eg_service s;
        eg_policy_service(p->view, i, &s);
        if (s.internal)
            cr_assert_eq(asked(p, EGRESS_ASK_ROUTE, s.route.p, 0, "/", &v), EG_ROUTE_UNKNOWN);
    }
    egress_policy_free(p);
}

Test(policy, every_address_is_judged_and_one_bad_one_refuses)
{
    static const struct egress_address list[] = { { EGRESS_IPV4, { 93, 184, 216, 34 } },
                                                  { EGRESS_IPV6, { 0x26, 6, 1 } },
                                                  { EGRESS_IPV4, { 198, 200, 1, 1 } },
                                                  { 5, { 1 } } };
    const struct egress_compile_options options = { .own = &list[2], .own_count = 1 };
    struct egress_policy *p = compiled(text, &options);
    struct egress_question q = { .kind = EGRESS_ASK_TUNNEL,
                                 .host = "api.example.com",
                                 .port = 443,
                                 .addresses = list,
                                 .address_count = 2 };
    struct egress_verdict v;
    egress_policy_ask(p, &q, &v);
    cr_assert_eq(v.status, EG_OK);
    cr_assert_str_eq(v.rule, "dir/egress.yaml:4");
    q.address_count = 3;
    egress_policy_ask(p, &q, &v);
    cr_assert_eq(v.status, EG_ADDRESS_DENIED);
    cr_assert(strstr(v.detail, "this machine"));
    q.addresses = &list[3];
    q.address_count = 1;
    egress_policy_ask(p, &q, &v);
    cr_assert_eq(v.status, EG_ADDRESS_DENIED);
    egress_policy_free(p);
}

static unsigned seen, deciders;
static char mine[] = "mine";

static void see(void *context, const struct egress_considered *c)
{
    seen++;
    deciders += c->decides;
    cr_assert_eq(context, mine);
    cr_assert(c->action && c->rule && c->to && c->why);
}

Test(policy, the_public_engine_explains)
{
    struct egress_policy *p = compiled(text, NULL);
    struct egress_question q = { .kind = EGRESS_ASK_TUNNEL,
                                 .host = "new.example.com",
                                 .port = 443 };
    struct egress_verdict v;
    struct egress_remedy remedy;
    seen = deciders = 0;
    cr_assert(egress_policy_explain(p, &q, &v, see, mine, &remedy));
    cr_assert_eq(v.status, EG_HOST_NOT_ALLOWED);
    cr_assert_str_eq(remedy.key, "allow");
    cr_assert_str_eq(remedy.line, "new.example.com");
    q.host = "no.example";
    cr_assert(egress_policy_explain(p, &q, &v, see, mine, NULL));
    cr_assert(seen == 1 && deciders == 1 && v.status == EG_HOST_DENIED);
    cr_assert_str_eq(v.detail, "never");
    q.host = "api.example.com";
    cr_assert(egress_policy_explain(p, &q, &v, NULL, NULL, &remedy));
    cr_assert(v.status == EG_OK && remedy.key[0] == 0 && remedy.text[0] == 0);
    q.host = "a b";
    cr_assert(!egress_policy_explain(p, &q, &v, see, mine, &remedy));
    cr_assert_eq(v.status, EG_BAD_HOST);
    egress_policy_free(p);
}

Test(policy, what_can_not_be_compiled_is_told)
{
    struct egress_policy *p = (void *)1;
    struct egress_problems *list = (void *)1;
    struct egress_problem one;
    struct egress_policy_file files[65];
    for (unsigned i = 0; i < 65; i++)
        files[i] = file_of("a.yaml", "egress: 1\n");
    const struct egress_address odd = { 5, { 0 } };
    const struct egress_compile_options bad[] = { { .own = &odd, .own_count = 1 },
                                                  { .own = &odd, .own_count = 1025 } };
    cr_assert_eq(egress_policy_compile(files, 0, NULL, &p, &list), EG_INVALID);
    cr_assert(!p && egress_problems_count(list) == 0);
    egress_problems_free(list);
    cr_assert_eq(egress_policy_compile(files, 65, NULL, &p, NULL), EG_INVALID);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(egress_policy_compile(files, 1, &bad[i], &p, NULL), EG_INVALID);
    files[1].layer = (enum egress_layer)7;
    cr_assert_eq(egress_policy_compile(files, 2, NULL, &p, NULL), EG_INVALID);
    files[1] = file_of(NULL, "egress: 1\n");
    cr_assert_eq(egress_policy_compile(files, 2, NULL, &p, NULL), EG_INVALID);
    files[0] = file_of(
        "b.yaml",
        "egress: 1\nallow: [a.example]\ntls: {ca: x.pem}\nextends: ./team.yaml\nalow: []\n");
    cr_assert_eq(egress_policy_compile(files, 1, NULL, &p, &list), EG_INVALID);
    cr_assert(!p && egress_problems_count(list) == 3);
    egress_problems_get(list, 2, &one);
    cr_assert(one.severity == EGRESS_ERROR && one.line == 5 && one.column == 1 && one.width == 4);
    cr_assert_str_eq(one.code, "unknown-key");
    cr_assert_str_eq(one.file, "b.yaml");
    char *shown = egress_problems_show(list, false);
    cr_assert(shown && strstr(shown, "b.yaml:5:1: error[unknown-key]: ") && strstr(shown, "^~~~"));
    free(shown);
    egress_problems_free(list);
    egress_problems_free(NULL);
    egress_policy_free(NULL);
}

static enum eg_status give_part(void *context, const char *path, const char *below,
                                struct egress_text *into)
{
    static const char part[] = "egress: 1\nallow: [team.example]\n";
    cr_assert_str_eq(path, "dir/team.yaml");
    cr_assert_eq(below == NULL, *(bool *)context,
                 "what an untrusted file names lies below its own folder");
    return egress_text_append(into, part, sizeof part - 1);
}

Test(policy, what_a_policy_names_comes_from_the_caller)
{
    bool trusted = true;
    const struct egress_compile_options options = { .extend = give_part, .context = &trusted };
    struct egress_policy_file file =
        file_of("dir/egress.yaml", "egress: 1\nextends: ./team.yaml\n");
    for (;; trusted = false) {
        struct egress_policy *p;
        struct egress_verdict v;
        file.trusted = trusted;
        cr_assert_eq(egress_policy_compile(&file, 1, &options, &p, NULL), EG_OK);
        cr_assert_eq(asked(p, EGRESS_ASK_TUNNEL, "team.example", 443, NULL, &v), EG_OK);
        cr_assert_str_eq(v.rule, "dir/team.yaml:2");
        egress_policy_free(p);
        if (!trusted)
            break;
    }
}

Test(policy, equal_policies_have_one_id)
{
    struct egress_policy *a = compiled("egress: 1\nallow: [a.example, b.example]\n", NULL);
    struct egress_policy *b =
        compiled("egress: 1\nallow: [b.example, {host: a.example, why: x}]\n", NULL);
    struct egress_policy *c = compiled("egress: 1\nname: n\nallow: [a.example]\n", NULL);
    cr_assert_eq(memcmp(egress_policy_id(a), egress_policy_id(b), EGRESS_POLICY_ID), 0);
    cr_assert_neq(memcmp(egress_policy_id(a), egress_policy_id(c), EGRESS_POLICY_ID), 0);
    cr_assert_str_eq(egress_policy_name(a), "");
    cr_assert_str_eq(egress_policy_name(c), "n");
    egress_policy_free(a);
    egress_policy_free(b);
    egress_policy_free(c);
}

Test(policy, a_decision_allocates_nothing, .timeout = 60)
{
    char path[] = EG_BUILD_DIR "/tests/bin/frugal", *argv[] = { path, NULL };
    extern char **environ;
    pid_t child;
    int status;
    cr_assert_eq(posix_spawn(&child, path, NULL, NULL, argv, environ), 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
}
