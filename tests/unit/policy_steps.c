/* policy_steps.c - the index over long lists of paths finds what trying them one by one finds, in every reading, and gives up where it should. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/reading.h"
#include "support/policies.h"

enum { TEXT = 1 << 18, PATH = 160 };

static uint64_t state;

static unsigned below(unsigned n) /* xorshift64 */
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 32) % n;
}

#define PICK(list) ((list)[below(sizeof(list) / sizeof *(list))])

/* Few words, so that patterns and requests meet. */
static void put_pattern(char *out)
{
    static const char *const methods[] = { "GET", "POST", "*" };
    static const char *const parts[] = { "a",     "b",       "ab",    "*",       "a*",
                                         "*b",    "**",      "{a,b}", "{a*,b}c", "a%20b",
                                         "a%2Fb", "%2Fa",    "a;x",   "a*b*",    "abc",
                                         "abc*",  "abcdef*", "%21*",  "a%3Bx",   "{ab,}" };
    unsigned segments = 1 + below(5);
    size_t n = (size_t)sprintf(out, "%s ", PICK(methods));
    for (unsigned i = 0; i < segments; i++)
        n += (size_t)sprintf(out + n, "/%s", PICK(parts));
    if (below(4) == 0)
        sprintf(out + n, "/");
}

static void put_path(char *out)
{
    static const char *const parts[] = { "a",       "b",       "ab",    "abc",   "abcdefg",
                                         "c",       "ac",      "bc",    "a%20b", "a%2Fb",
                                         "%2Fa",    "a;x",     "a;y=z", "!b",    ";x",
                                         "a%253Bx", "a%252Fb", "",      "abXb" };
    unsigned segments = 1 + below(5);
    size_t n = 0;
    for (unsigned i = 0; i < segments; i++)
        n += (size_t)sprintf(out + n, "/%s", PICK(parts));
    if (below(3) == 0)
        sprintf(out + n, "/");
}

/* One service whose rules and whose deny rules are that list. */
static struct eg_policy *build(const char *list, struct eg_buf *block)
{
    char *text = malloc(2 * TEXT);
    cr_assert_not_null(text);
    snprintf(text, 2 * TEXT,
             "egress: 1\nservices:\n  s:\n    upstream: https://a.example/v1\n    rules: [%s]\n    "
             "deny: [%s]\n",
             list, list);
    struct eg_policy *p = eg_policies_build("egress.yaml", text, block);
    free(text);
    return p;
}

/* Of all readings, by the index alone. */
static const struct eg_block_path *by_index(const struct eg_policy *p, struct eg_block_paths list,
                                            const struct eg_block_request *r, bool deny)
{
    const struct eg_block_path *first = NULL, *one;
    for (enum eg_reading how = EG_READ_AS_IT_IS; how < (deny ? EG_READINGS : EG_READ_RAW); how++)
        for (unsigned whole = 0; whole < 2; whole++) {
            struct eg_view v = eg_view_of(r, how, whole);
            cr_assert(eg_block_steps_find(p, list, &v, r->method, deny, &one));
            if (one && (!first || one < first))
                first = one;
        }
    return first;
}

static unsigned hits;

static void compare(const struct eg_policy *p, struct eg_block_paths list, bool deny)
{
    static const char *const methods[] = { "GET", "POST", "get", "DELETE" };
    char path[PATH], base[PATH] = "";
    put_path(path);
    if (below(3) == 0)
        put_path(base);
    if (base[0] && base[strlen(base) - 1] == '/')
        base[strlen(base) - 1] = 0; /* as a service's is */
    const struct eg_block_request r = { eg_slice_str(PICK(methods)), eg_slice_str(base),
                                        eg_slice_str(path) };
    struct eg_block_paths few = list;
    few.root = 0;
    const struct eg_block_path *want = eg_block_path_find(p, few, &r, deny);
    const struct eg_block_path *got = eg_block_path_find(p, list, &r, deny);
    cr_assert(list.root > 0);
    cr_assert_eq(got, want, "%s %s%s %s: path %ld, without the index %ld", deny ? "deny" : "allow",
                 base, path, r.method.p, got ? (long)(got - p->paths) : -1L,
                 want ? (long)(want - p->paths) : -1L);
    cr_assert_eq(by_index(p, list, &r, deny), want, "%s %s%s: readings differ",
                 deny ? "deny" : "allow", base, path);
    hits += want != NULL;
}

Test(policy, the_index_of_paths_finds_what_trying_all_finds, .timeout = 120)
{
    enum { POLICIES = 120, REQUESTS = 200 };
    char *list = malloc(TEXT);
    cr_assert_not_null(list);
    state = 88172645463325252u;
    for (unsigned i = 0; i < POLICIES; i++) {
        struct eg_buf block;
        size_t n = 0;
        for (unsigned k = 0, count = 20 + below(60); k < count; k++) {
            char pattern[PATH];
            put_pattern(pattern);
            n += (size_t)sprintf(list + n, "%s\"%s\"", k ? ", " : "", pattern);
        }
        struct eg_policy *p = build(list, &block);
        for (unsigned k = 0; k < REQUESTS; k++) {
            compare(p, p->services[0].rules, false);
            compare(p, p->services[0].denies, true);
        }
        eg_policy_close(p);
        eg_buf_done(&block);
    }
    cr_assert(hits > 5000, "%u requests matched: too few to tell", hits);
    free(list);
}

/* More ways to match at once than the index follows: then it says so, and the list is tried. */
Test(policy, an_index_that_can_not_tell_is_not_believed)
{
    struct eg_buf block;
    char *list = malloc(TEXT);
    cr_assert_not_null(list);
    char path[PATH] = "/ab";
    size_t n = 0;
    for (unsigned i = 0; i < 100; i++) { /* every one of them matches the first segment */
        n += (size_t)sprintf(list + n, "%s\"GET /a*", i ? ", " : "");
        for (unsigned k = 0; k < i; k++)
            n += (size_t)sprintf(list + n, "b*");
        n += (size_t)sprintf(list + n, "/x%u\"", i);
    }
    memset(path + 2, 'b', 120);
    strcat(path, "/x7");
    struct eg_policy *p = build(list, &block);
    const struct eg_block_request r = { EG_SLICE("GET"), EG_SLICE_NONE, eg_slice_str(path) };
    const struct eg_view v = eg_view_of(&r, EG_READ_AS_IT_IS, false);
    const struct eg_block_path *one;
    cr_assert(!eg_block_steps_find(p, p->services[0].rules, &v, r.method, false, &one));
    cr_assert_not_null(eg_block_path_find(p, p->services[0].rules, &r, false));
    eg_policy_close(p);
    eg_buf_done(&block);
    free(list);
}
