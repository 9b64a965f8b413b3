/* policy_hostile.c - files that were made to hurt: each ends in an error after little work (a second and less here), and damaged blocks are refused or harmless. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "policy/compile.h"

enum { SECOND = 1000 };
#ifdef __has_feature /* clang's way to say so */
#if __has_feature(address_sanitizer) && !defined __SANITIZE_ADDRESS__
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
enum { SLOWER = 20 }; /* instrumented code on a busy machine */
#else
enum { SLOWER = 4 }; /* a machine that is slow */
#endif

/* Of this process: what others do on the machine does not count. */
static uint64_t cpu_ms(void)
{
    struct timespec now;
    cr_assert_eq(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Compiles; returns the first problem's code, "ok" without one. Fails above some seconds. */
static const char *outcome(const char *text, size_t n, struct eg_buf *block)
{
    static char code[64];
    struct eg_policy_file file = { "egress.yaml", eg_slice(text, n), EG_LAYER_REPO, true };
    struct eg_diags *d = NULL;
    struct eg_buf own;
    cr_assert_geq(sodium_init(), 0);
    eg_buf_init(&own, 256 << 20);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    uint64_t start = cpu_ms();
    enum eg_status st = eg_policy_compile(&file, 1, NULL, d, block ? block : &own, NULL);
    uint64_t took = cpu_ms() - start;
    cr_assert(st == EG_OK || st == EG_INVALID, "%s", egress_status_name(st));
    snprintf(code, sizeof code, "%s", st == EG_OK ? "ok" : eg_diags_at(d, 0)->code);
    cr_assert_leq(eg_diags_total(d), 1000);
    eg_diags_free(d);
    eg_buf_done(&own);
    cr_assert_lt(took, SECOND * SLOWER, "%llu ms", (unsigned long long)took);
    return code;
}

static char *repeat(const char *head, const char *unit, size_t times, const char *tail, size_t *n)
{
    size_t h = strlen(head), u = strlen(unit), t = strlen(tail);
    char *text = malloc(h + u * times + t + 1);
    cr_assert_not_null(text);
    memcpy(text, head, h);
    for (size_t i = 0; i < times; i++)
        memcpy(text + h + i * u, unit, u);
    memcpy(text + h + u * times, tail, t + 1);
    *n = h + u * times + t;
    return text;
}

static void expect(const char *head, const char *unit, size_t times, const char *tail,
                   const char *code)
{
    size_t n;
    char *text = repeat(head, unit, times, tail, &n);
    const char *got = outcome(text, n, NULL);
    cr_assert_str_eq(got, code, "%s ... %s: %s", head, unit, got);
    free(text);
}

/* One line of 4,000 @, shown for each of a thousand problems. */
Test(policy, hostile_userinfo)
{
    expect("egress: 1\nallow: [", "{a: \"@\", b: \"http://@@@@://@:@\"}, ", 3000, "]\n",
           "unknown-key");
    expect("egress: 1\nx: '", "@", 4000, "'\n", "unknown-key");
    expect("egress: 1\nx: '", "a://", 4000, "@'\n", "unknown-key");
    expect("egress: 1\nupstream: [{proxy: 'http://", "proxy:", 600000, "@x:1'}]\n", "bad-url");
    expect("egress: 1\nupstream: [{proxy: 'http://", "%40", 1000000, "@x:1'}]\n", "bad-url");
}

Test(policy, hostile_nesting)
{
    expect("egress: 1\nname: ", "[", 2000000, "", "too-large");
    expect("egress: 1\nname: ", "{a: ", 500000, "", "too-large");
    expect("egress: 1\nname: ", "[", 30, "", "syntax");
    expect("egress: 1\nname:\n", "- ", 1000000, "x\n", "too-large");
    expect("egress: 1\nname: ", "]", 1000, "", "syntax");
    expect("egress: 1\n", "? ", 2000000, "", "bad-type"); /* bug: took 557 MiB */
}

Test(policy, hostile_size)
{
    expect("egress: 1\nallow:\n", "  - a.example\n", 750000, "", "too-large");
    expect("", "\n", (4 << 20) - 1, "", "missing-key");
    expect("egress: 1\nname: ", "x", 4000000, "\n", "bad-value");
    expect("egress: 1\nallow: [", "1,", 2000000, "]\n", "too-large");
    expect("egress: 1\n# ", "#", 4000000, "\n", "ok");
    /* bugs: each rule's line was found by counting the columns of all before it, and each rule was held against all others of its host */
    expect("egress: 1\nallow: [", "a,", 190000, "]\n", "ok");
    expect("egress: 1\nallow: [", "a,", 201000, "]\n", "too-large");
}

Test(policy, hostile_aliases)
{
    char text[4096];
    int n = snprintf(text, sizeof text, "egress: 1\na: &a [x, x, x, x, x, x, x, x, x]\n");
    for (char c = 'b'; c < 'z'; c++)
        n += snprintf(text + n, sizeof text - (size_t)n,
                      "%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", c, c, c - 1, c - 1,
                      c - 1, c - 1, c - 1, c - 1, c - 1, c - 1);
    cr_assert_str_eq(outcome(text, (size_t)n, NULL), "anchor");
}

Test(policy, hostile_keys)
{
    size_t cap = 4 << 20, n = 0;
    char *text = malloc(cap);
    cr_assert_not_null(text);
    n += (size_t)snprintf(text, cap, "egress: 1\nservices:\n");
    for (int i = 0; n < cap - 64; i++)
        n += (size_t)snprintf(text + n, cap - n, "  k%d: {}\n", i);
    cr_assert_str_eq(outcome(text, n, NULL), "too-large");
    n = (size_t)snprintf(text, cap, "egress: 1\n");
    for (int i = 0; i < 20000; i++)
        n += (size_t)snprintf(text + n, cap - n, "k%d: 1\n", i);
    cr_assert_str_eq(outcome(text, n, NULL), "unknown-key");
    n = (size_t)snprintf(text, cap, "egress: 1\n");
    for (int i = 0; i < 20000; i++)
        n += (size_t)snprintf(text + n, cap - n, "name: 1\n");
    cr_assert_str_eq(outcome(text, n, NULL), "duplicate-key");
    free(text);
}

Test(policy, hostile_bytes)
{
    static const char *const units[] = { "\"",       "'",    "&a ",  "*a ",    "!",
                                         "!!x ",     "%",    "? ",   ": ",     "- ",
                                         ",",        "|",    ">",    "#",      "\xff",
                                         "\xf0\x9f", "\t",   "\r",   "\x01",   "---\n",
                                         "...\n",    "a: {", "a: [", "\"a\":", "<<: " };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t n;
        char *text = repeat("egress: 1\n", units[i], 50000, "", &n);
        cr_assert_str_neq(outcome(text, n, NULL), "", "%s", units[i]);
        free(text);
    }
    cr_assert_str_eq(outcome("egress: 1\nname: \0x\n", 18, NULL), "bad-byte");
}

/* The cost of a decision does not grow with the number of rules: a hundred times the rules may not be ten times as slow. */
static char *many_rules(unsigned count, size_t *n)
{
    size_t cap = 64 + (size_t)count * 40;
    char *text = malloc(cap);
    cr_assert_not_null(text);
    *n = (size_t)snprintf(text, cap, "egress: 1\nallow:\n");
    for (unsigned i = 0; i < count; i++) {
        bool below = i % 3 == 0;
        *n += (size_t)snprintf(text + *n, cap - *n, "  - %sh%u.example.com%s\n",
                               below ? "\"*." : "", i, below ? "\"" : "");
    }
    return text;
}

static uint64_t judge_ns(unsigned rules)
{
    size_t n;
    struct eg_buf block;
    struct eg_policy *p;
    struct eg_authority to[3];
    struct eg_verdict v;
    char *text = many_rules(rules, &n);
    eg_buf_init(&block, 256 << 20);
    cr_assert_str_eq(outcome(text, n, &block), "ok");
    cr_assert_eq(eg_policy_open(block.data, block.len, &p, NULL), EG_OK);
    cr_assert_eq(eg_authority_parse(EG_SLICE("h1.example.com:443"), 0, &to[0], NULL), EG_OK);
    cr_assert_eq(eg_authority_parse(EG_SLICE("x.y.h3.example.com:443"), 0, &to[1], NULL), EG_OK);
    cr_assert_eq(eg_authority_parse(EG_SLICE("nothing.example.org:443"), 0, &to[2], NULL), EG_OK);
    uint64_t best = UINT64_MAX;
    for (int round = 0; round < 20; round++) {
        uint64_t start = eg_clock_ns();
        for (int i = 0; i < 3000; i++) {
            eg_policy_judge_tunnel(p, &to[i % 3], &v);
            cr_assert_eq(v.status, i % 3 == 2 ? EG_HOST_NOT_ALLOWED : EG_OK);
        }
        uint64_t took = eg_clock_ns() - start;
        best = took < best ? took : best;
    }
    eg_policy_close(p);
    eg_buf_done(&block);
    free(text);
    return best;
}

Test(policy, a_hundred_times_the_rules_cost_a_decision_nothing)
{
    uint64_t few = judge_ns(300);
    uint64_t many = judge_ns(30000);
    cr_assert_lt(many, few * 10, "%llu ns for few, %llu ns for many rules", (unsigned long long)few,
                 (unsigned long long)many);
}
