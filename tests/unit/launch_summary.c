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

static void expect(const char *text)
{
    struct eg_buf b;
    eg_buf_init(&b, 65536);
    cr_assert_eq(eg_summary_write(ring, false, &b), EG_OK);
    cr_expect_eq(eg_buf_slice(&b).n, strlen(text), "%.*s", (int)b.len, eg_buf_slice(&b).p);
    cr_expect(eg_slice_eq(eg_buf_slice(&b), eg_slice_str(text)), "%.*s", (int)b.len,
              eg_buf_slice(&b).p);
    eg_buf_done(&b);
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
           "refused 1x  a.example:80  host_denied  (egress.yaml:9)\n"
           "refused 1x  b.example:8443  host_not_allowed  (no rule)\n");
}

SUMMARY(addresses_of_version_six_are_in_brackets)
{
    decide(false, "2001:db8::1", 443, EG_HOST_NOT_ALLOWED, "");
    expect("refused 1x  [2001:db8::1]:443  host_not_allowed  (no rule)\n");
}

SUMMARY(first_try_without_a_token_is_forgotten_once_it_came_with_one)
{
    decide(false, "git.example", 443, EG_TOKEN_MISSING, "");
    decide(false, "other.example", 443, EG_TOKEN_MISSING, "");
    decide(true, "git.example", 443, EG_OK, "egress.yaml:3");
    expect("refused 1x  other.example:443  token_missing  (no rule)\n");
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
    expect("would refuse 1x  x.example:443  host_not_allowed  (no rule)\n");
}

SUMMARY(texts_of_the_ring_can_not_write_to_the_terminal)
{
    decide(false, "a\033[2Jb\n\x80", 1, EG_BAD_HOST, "x\ty");
    expect("refused 1x  a?[2Jb??:1  bad_host  (x?y)\n");
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
            cr_assert_eq(
                eg_buf_printf(&want, "refused 1x  %s:443  host_not_allowed  (no rule)\n", host),
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
    expect("refused 1x  openai  phantom_invalid  (no rule)\n");
}
