/* frugal.c - asks compiled policies all kinds of questions and counts what is allocated on the way: nothing may be. Exit 0 and a line when that holds, else 1. A program
 * of its own, since it stands between everybody and malloc. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "egress/policy.h"
#include "policy/explain.h"

static volatile unsigned long
    allocations; /* compilers think that malloc changes no variable of ours */

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
void __sanitizer_malloc_hook(const volatile void *p, size_t n); /* called by its allocator */
void __sanitizer_malloc_hook(const volatile void *p, size_t n)
{
    (void)p;
    (void)n;
    allocations++;
}
#else
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *malloc(size_t n)
{
    allocations++;
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t size)
{
    allocations++;
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n)
{
    allocations++;
    return __libc_realloc(p, n);
}
#endif

static char text[1 << 18];

/* Lists that are long enough for an index, in every role. */
static void write_policy(bool observe)
{
    size_t n = (size_t)sprintf(text, "egress: 1\n%sallow:\n", observe ? "mode: observe\n" : "");
    for (unsigned i = 0; i < 500; i++)
        n += (size_t)sprintf(text + n, "  - h%u.example.com\n  - \"*.w%u.example.com\"\n", i, i);
    n += (size_t)sprintf(text + n, "  - {cidr: 192.0.2.0/24, ports: [443]}\n"
                                   "  - {host: files.example, scheme: http, rules: [");
    for (unsigned i = 0; i < 200; i++)
        n += (size_t)sprintf(text + n, "\"GET /a%u/*/b\", \"* /**/x%u*\", ", i, i);
    n += (size_t)sprintf(text + n, "]}\ndeny:\n  - {host: files.example, rules: [");
    for (unsigned i = 0; i < 100; i++)
        n += (size_t)sprintf(text + n, "\"* /a%u/secret*\", ", i);
    n += (size_t)sprintf(text + n,
                         "]}\n  - {cidr: 198.51.100.0/24}\n"
                         "services:\n  s:\n    upstream: https://up.example/v1\n    rules: [");
    for (unsigned i = 0; i < 100; i++)
        n += (size_t)sprintf(text + n, "\"GET /v1/m%u\", ", i);
    sprintf(text + n, "]\n    deny: [\"DELETE /**\"]\n");
}

static struct egress_policy *compile(bool observe)
{
    struct egress_policy *policy;
    struct egress_problems *problems;
    write_policy(observe);
    const struct egress_policy_file file = { "p.yaml", text, strlen(text), EGRESS_LAYER_USER,
                                             true };
    if (egress_policy_compile(&file, 1, NULL, &policy, &problems) != EG_OK) {
        char *shown = egress_problems_show(problems, false);
        fprintf(stderr, "%s", shown ? shown : "no policy\n");
        exit(1);
    }
    egress_problems_free(problems);
    return policy;
}

static void ask_all(const struct egress_policy *policy)
{
    static const char *const hosts[] = { "h7.example.com",     "H499.example.com.",
                                         "a.b.w3.example.com", "w3.example.com",
                                         "no.example.com",     "192.0.2.7",
                                         "::ffff:192.0.2.7",   "[64:ff9b::c633:6401]",
                                         "169.254.169.254",    "127.1",
                                         "files.example",      "up.example" };
    static const char *const paths[] = { "/a7/x/b", "/a7/secret%2541", "/none/of/these",
                                         "/q/x5y",  "/a1//b",          "/a1/%2e%2e/b",
                                         "bad",     "/v1/m3" };
    static const struct egress_address addresses[] = { { EGRESS_IPV4, { 93, 184, 216, 34 } },
                                                       { EGRESS_IPV6, { 0x20, 0x02, 10 } } };
    struct egress_verdict v;
    for (size_t h = 0; h < sizeof hosts / sizeof *hosts; h++)
        for (size_t p = 0; p < sizeof paths / sizeof *paths; p++)
            for (enum egress_ask kind = EGRESS_ASK_TUNNEL; kind <= EGRESS_ASK_ROUTE; kind++) {
                const struct egress_question q = { .kind = kind,
                                                   .host = hosts[h],
                                                   .port = p % 2 ? 443 : 80,
                                                   .service = "s",
                                                   .method = p % 3 ? "GET" : "DELETE",
                                                   .path = paths[p],
                                                   .addresses = addresses,
                                                   .address_count = p % 3 };
                egress_policy_ask(policy, &q, &v);
            }
}

int main(void)
{
    struct egress_policy *policies[] = { compile(false), compile(true) };
    allocations = 0;
    void *volatile one = malloc(1);
    if (allocations == 0) {
        puts("allocations are not counted");
        return 1;
    }
    free(one);
    allocations = 0;
    for (size_t i = 0; i < 2; i++)
        ask_all(policies[i]);
    unsigned long made = allocations;
    printf("%lu allocations\n", made);
    for (size_t i = 0; i < 2; i++)
        egress_policy_free(policies[i]);
    return made ? 1 : 0;
}
