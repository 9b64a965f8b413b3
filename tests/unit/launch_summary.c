/* launch_summary.c - what the person sees of the refusals when the child has ended. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "launch/launch.h"

TestSuite(launch_summary, .timeout = 60);

static struct egress_ring *ring;

static void make_ring(void)
{
    int fd;
    cr_assert_eq(egress_ring_create(4096, &ring, &fd), EG_OK);
}

static void free_ring(void)
{
    egress_ring_free(ring);
}

static void decide(bool allowed, const char *host, uint16_t port, enum eg_status reason,
                   const char *rule)
{
    struct egress_event e = {
        .kind = EGRESS_EVENT_DECISION, .allowed = allowed, .port = port, .reason = (uint16_t)reason
    };
    snprintf(e.host, sizeof e.host, "%s", host);
    snprintf(e.rule, sizeof e.rule, "%s", rule);
    egress_ring_append(ring, &e);
}

static struct eg_summary expect_with(const char *options, const char *text)
{
    struct eg_buf b;
    struct eg_summary sum;
    eg_buf_init(&b, 65536);
    cr_assert_eq(eg_summary_write(ring, options, false, &b, &sum), EG_OK);
    cr_expect_eq(eg_buf_slice(&b).n, strlen(text), "%.*s", (int)b.len, eg_buf_slice(&b).p);
    cr_expect(eg_slice_eq(eg_buf_slice(&b), eg_slice_str(text)), "%.*s", (int)b.len,
              eg_buf_slice(&b).p);
    eg_buf_done(&b);
    return sum;
}

static void expect(const char *text)
{
    (void)expect_with(NULL, text);
}

#define SUMMARY(name) Test(launch_summary, name, .init = make_ring, .fini = free_ring)

SUMMARY(empty_ring_and_only_allowed_say_nothing)
{
    expect("");
    decide(true, "api.example", 443, EG_OK, "egress.yaml:3");
    expect("");
}

SUMMARY(equal_refusals_are_one_line_in_the_order_of_the_first)
{
    decide(false, "b.example", 443, EG_HOST_NOT_ALLOWED, "");
    decide(false, "a.example", 80, EG_HOST_DENIED, "egress.yaml:9");
    decide(false, "b.example", 443, EG_HOST_NOT_ALLOWED, "");
    decide(false, "b.example", 8443, EG_HOST_NOT_ALLOWED, "");
    expect("refused 2x  b.example:443  host_not_allowed  (no rule)\n"
           "    egressctl explain b.example:443\n"
           "refused 1x  a.example:80  host_denied  (egress.yaml:9)\n"
           "    egressctl explain a.example:80\n"
           "refused 1x  b.example:8443  host_not_allowed  (no rule)\n"
           "    egressctl explain b.example:8443\n");
}

SUMMARY(addresses_of_version_six_are_in_brackets)
{
    decide(false, "2001:db8::1", 443, EG_HOST_NOT_ALLOWED, "");
    expect("refused 1x  [2001:db8::1]:443  host_not_allowed  (no rule)\n"
           "    egressctl explain '[2001:db8::1]:443'\n");
}

SUMMARY(first_try_without_a_token_is_forgotten_once_it_came_with_one)
{
    decide(false, "git.example", 443, EG_TOKEN_MISSING, "");
    decide(false, "other.example", 443, EG_TOKEN_MISSING, "");
    decide(true, "git.example", 443, EG_OK, "egress.yaml:3");
    expect("refused 1x  other.example:443  token_missing  (no rule)\n"
           "    the session token is missing\n");
}

SUMMARY(observe_mode_says_would_refuse)
{
    struct egress_event e = { .kind = EGRESS_EVENT_DECISION,
                              .allowed = 1,
                              .observe = 1,
                              .port = 443,
                              .reason = EG_HOST_NOT_ALLOWED,
                              .host = "x.example" };
    egress_ring_append(ring, &e);
    expect("would refuse 1x  x.example:443  host_not_allowed  (no rule)\n"
           "    egressctl explain x.example:443\n");
}

SUMMARY(texts_of_the_ring_can_not_write_to_the_terminal)
{
    decide(false, "a\033[2Jb\n\x80", 1, EG_BAD_HOST, "x\ty");
    expect("refused 1x  a?[2Jb??:1  bad_host  (x?y)\n"
           "    malformed host, address or port\n");
}

SUMMARY(twenty_lines_and_a_count_of_the_rest)
{
    struct eg_buf want;
    char host[32];
    eg_buf_init(&want, 65536);
    for (unsigned i = 0; i < 33; i++) {
        snprintf(host, sizeof host, "h%u.example", i);
        decide(false, host, 443, EG_HOST_NOT_ALLOWED, "");
        if (i < 20)
            cr_assert_eq(eg_buf_printf(&want,
                                       "refused 1x  %s:443  host_not_allowed  (no rule)\n"
                                       "    egressctl explain %s:443\n",
                                       host, host),
                         EG_OK);
    }
    cr_assert_eq(eg_buf_printf(&want, "and 13 more; `egressctl audit --denied` shows all\n"),
                 EG_OK);
    cr_assert_eq(eg_buf_append(&want, "", 1), EG_OK);
    expect(eg_buf_slice(&want).p);
    eg_buf_done(&want);
}

SUMMARY(route_without_a_host_shows_its_service)
{
    struct egress_event e = { .kind = EGRESS_EVENT_DECISION,
                              .reason = EG_PHANTOM_INVALID,
                              .service = "openai" };
    egress_ring_append(ring, &e);
    expect("refused 1x  openai  phantom_invalid  (no rule)\n"
           "    the service's phantom is not valid\n");
}

static void request(const char *method, const char *host, const char *path, const char *service,
                    enum eg_status reason, const char *address)
{
    struct egress_event e = { .kind = EGRESS_EVENT_DECISION,
                              .via = service[0] ? EGRESS_VIA_ROUTE : EGRESS_VIA_FORWARD,
                              .stage = address[0] ? EGRESS_STAGE_ADDRESS : EGRESS_STAGE_REQUEST,
                              .port = 80,
                              .reason = (uint16_t)reason };
    snprintf(e.method, sizeof e.method, "%s", method);
    snprintf(e.host, sizeof e.host, "%s", host);
    snprintf(e.path, sizeof e.path, "%s", path);
    snprintf(e.service, sizeof e.service, "%s", service);
    snprintf(e.address, sizeof e.address, "%s", address);
    egress_ring_append(ring, &e);
}

SUMMARY(request_and_route_and_address_are_in_the_command)
{
    request("PUT", "a.example", "/x/y", "", EG_RULE_DENIED, "");
    request("GET", "api.example", "/v1/x", "api", EG_RULE_DENIED, "");
    request("GET", "a.example", "/z", "", EG_ADDRESS_DENIED, "10.0.0.1");
    (void)expect_with("-p 'a b.yaml' --trust",
                      "refused 1x  a.example:80  rule_denied  (no rule)\n"
                      "    egressctl explain -p 'a b.yaml' --trust -X PUT http://a.example:80/x/y\n"
                      "refused 1x  api.example:80  rule_denied  (no rule)\n"
                      "    egressctl explain -p 'a b.yaml' --trust --service api -X GET /v1/x\n"
                      "refused 1x  a.example:80  address_denied  (no rule)\n"
                      "    egressctl explain -p 'a b.yaml' --trust --address 10.0.0.1 -X GET "
                      "http://a.example:80/z\n");
}

/* Who took a worker over writes what it likes, and people paste what they are shown. */
SUMMARY(nothing_of_the_ring_is_more_than_a_word_to_a_shell)
{
    static const char *const evil[] = { "$(id)", "`id`", "a;id", "a|id", "a&id", "a>b",
                                        "a'b",   "a\"b", "a b",  "a\\b", "-p",   "{a,b}",
                                        "~root", "a*",   "!!",   "#x",   "a\nid" };
    char path[64];
    for (size_t i = 0; i < sizeof evil / sizeof *evil; i++) {
        struct eg_buf b;
        struct eg_summary sum;
        snprintf(path, sizeof path, "/%s", evil[i]);
        request("GET", evil[i], "/", "", EG_RULE_DENIED, "");
        decide(false, evil[i], 443, EG_HOST_NOT_ALLOWED, "");
        request(evil[i], "a.example", "/", "", EG_PORT_NOT_ALLOWED, "");
        request("GET", "a.example", "/", evil[i], EG_RULE_DENIED, "");
        if (evil[i][0] != '-')
            request("GET", "b.example", path, "", EG_RULE_DENIED, "");
        eg_buf_init(&b, 65536);
        cr_assert_eq(eg_summary_write(ring, NULL, false, &b, &sum), EG_OK);
        cr_assert_eq(eg_buf_append(&b, "", 1), EG_OK);
        cr_expect_null(strstr(eg_buf_slice(&b).p, "egressctl explain"), "%s: %s", evil[i],
                       eg_buf_slice(&b).p);
        eg_buf_done(&b);
        free_ring();
        make_ring();
    }
}

static struct eg_summary sum_of(bool allowed, bool observe, enum eg_status reason)
{
    struct eg_buf b;
    struct eg_summary sum;
    struct egress_event e = { .kind = EGRESS_EVENT_DECISION,
                              .allowed = allowed,
                              .observe = observe,
                              .port = 443,
                              .reason = (uint16_t)reason,
                              .host = "x.example" };
    free_ring();
    make_ring();
    egress_ring_append(ring, &e);
    eg_buf_init(&b, 65536);
    cr_assert_eq(eg_summary_write(ring, NULL, false, &b, &sum), EG_OK);
    eg_buf_done(&b);
    return sum;
}

SUMMARY(what_was_denied_and_what_only_failed)
{
    cr_expect(!sum_of(true, false, EG_OK).denied);
    cr_expect(!sum_of(true, true, EG_OK).denied);
    cr_expect(sum_of(false, false, EG_HOST_NOT_ALLOWED).denied);
    cr_expect(sum_of(false, true, EG_HOST_DENIED).denied);
    cr_expect(sum_of(true, true, EG_HOST_NOT_ALLOWED).denied);
    cr_expect(sum_of(false, false, EG_CANARY).denied);
    cr_expect(sum_of(false, false, EG_RATE_LIMITED).denied);
    cr_expect(!sum_of(false, false, EG_DNS_NOT_FOUND).denied);
    cr_expect(!sum_of(false, false, EG_CONNECT_REFUSED).denied);
    cr_expect(!sum_of(false, false, EG_TLS_UNTRUSTED).denied);
}

SUMMARY(overwritten_events_are_told)
{
    struct eg_buf b;
    struct eg_summary sum;
    for (unsigned i = 0; i < 5000; i++)
        decide(true, "x.example", 443, EG_OK, "");
    eg_buf_init(&b, 65536);
    cr_assert_eq(eg_summary_write(ring, NULL, false, &b, &sum), EG_OK);
    cr_expect(!sum.denied && sum.lost == 5000 - 4096, "%llu", (unsigned long long)sum.lost);
    eg_buf_done(&b);
}
