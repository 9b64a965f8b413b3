/* policy_properties.c - a bounded share of the properties that `make properties` tries a million times and more: always the same seeds. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>

#include "support/naive.h"
#include "support/property.h"

Test(policy_properties, engine_says_what_the_naive_evaluator_says, .timeout = 300)
{
    struct eg_property_count count;
    cr_assert_geq(sodium_init(), 0);
    eg_property_engine(20261121, 2000, 50, &count);
    cr_assert_eq(count.failed, 0, "%lu of %lu differ", count.failed, count.pairs);
    cr_assert_eq(count.pairs, 100000);
    cr_assert(count.allowed > 10000 && count.refused > 10000 && count.observed > 3000,
              "%lu %lu %lu", count.allowed, count.refused, count.observed);
}

Test(policy_properties, laws, .timeout = 300)
{
    struct eg_property_count count;
    cr_assert_geq(sodium_init(), 0);
    eg_property_laws(20261121, 300, 20, &count);
    cr_assert_eq(count.failed, 0, "%lu of %lu fail", count.failed, count.pairs);
    cr_assert(count.allowed > 300 && count.refused > 300, "%lu %lu", count.allowed, count.refused);
}

/* The naive evaluator stands for the description: some of its sentences, one by one. */
Test(policy_properties, naive_paths)
{
    static const struct {
        const char *method, *pattern, *path;
        bool allow, deny;
    } rows[] = {
        { "GET", "/a/*", "/a/b", true, true },      { "GET", "/a/*", "/a/b/c", false, false },
        { "GET", "/a/**", "/a", true, true },       { "GET", "/a/**", "/a/b/c", true, true },
        { "GET", "/a/{b,c}", "/a/c", true, true },  { "GET", "/a{,s}", "/a", true, true },
        { "GET", "/a/b", "/a%2Fb", false, true },   { "GET", "/a%2Fb", "/a%2Fb", true, true },
        { "GET", "/a", "/a/", false, true },        { "GET", "/a", "/a;x", false, true },
        { "GET", "/a/b", "/a%252Fb", false, true }, { "GET", "/a/*", "/a", false, true },
        { "get", "/a", "/a", false, true },         { "POST", "/a", "/a", false, false },
        { "GET", "/a", "/A", false, false },        { "GET", "/**/c", "/a/b/c", true, true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct eg_random_pattern pattern = { .method = "GET" };
        snprintf(pattern.path, sizeof pattern.path, "%s", rows[i].pattern);
        cr_expect_eq(eg_naive_match(&pattern, rows[i].method, rows[i].path, false), rows[i].allow,
                     "row %zu", i);
        cr_expect_eq(eg_naive_match(&pattern, rows[i].method, rows[i].path, true), rows[i].deny,
                     "row %zu", i);
    }
}

/* What a mutation makes is a valid policy as well. */
Test(policy_properties, mutations_compile, .timeout = 300)
{
    struct eg_random r;
    struct eg_random_policy p;
    cr_assert_geq(sodium_init(), 0);
    eg_random_seed(&r, 7);
    for (unsigned i = 0; i < 200; i++) {
        if (i % 20 == 0)
            eg_random_policy(&r, &p);
        eg_random_mutate(&r, &p);
        struct eg_buf block;
        struct eg_policy *policy = eg_random_compile(&p, &block);
        cr_assert_not_null(policy, "step %u", i);
        eg_policy_close(policy);
        eg_buf_done(&block);
    }
}
