/* base_secret.c - the vault: its allocator, and what the kernel is told about its pages. */
#include <criterion/criterion.h>
#include <signal.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/secret.h"

/* The sanitizer's mlock does nothing and succeeds. */
#if defined(__SANITIZE_ADDRESS__)
#define LOCK_IS_REAL 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LOCK_IS_REAL 0
#endif
#endif
#ifndef LOCK_IS_REAL
#define LOCK_IS_REAL 1
#endif

static struct eg_vault *vault_of(size_t capacity)
{
    struct eg_vault *v = NULL;
    struct eg_err err = { 0 };
    cr_assert_geq(sodium_init(), 0);
    cr_assert_eq(eg_vault_new(&v, capacity, false, NULL, &err), EG_OK, "%s", err.text);
    return v;
}

static struct eg_secret *secret_of(struct eg_vault *v, const void *p, size_t n)
{
    struct eg_secret *s = NULL;
    struct eg_err err = { 0 };
    cr_assert_eq(eg_secret_new(v, p, n, &s, &err), EG_OK, "%s", err.text);
    return s;
}

static enum eg_status keep_address(void *ctx, const unsigned char *p, size_t n)
{
    (void)n;
    *(const unsigned char **)ctx = p;
    return EG_OK;
}

static const unsigned char *address_of(const struct eg_secret *s)
{
    const unsigned char *p = NULL;
    cr_assert_eq(eg_secret_lend(s, keep_address, &p), EG_OK);
    return p;
}

static enum eg_status answer(void *ctx, const unsigned char *p, size_t n)
{
    cr_expect_eq(n, 3u);
    cr_expect_eq(memcmp(p, "abc", 3), 0);
    ++*(int *)ctx;
    return EG_NOT_FOUND;
}

Test(base, secret_is_lent)
{
    struct eg_vault *v = vault_of(100);
    struct eg_secret *s = secret_of(v, "abc", 3);
    int calls = 0;
    cr_expect_eq(eg_secret_len(s), 3u);
    cr_expect_eq(eg_secret_lend(s, answer, &calls), EG_NOT_FOUND);
    cr_expect_eq(calls, 1);
    cr_expect(eg_secret_equal(s, "abc", 3));
    cr_expect_not(eg_secret_equal(s, "abd", 3));
    cr_expect_not(eg_secret_equal(s, "abc", 2));
    cr_expect_not(eg_secret_equal(s, "abcd", 4));
    cr_expect_not(eg_secret_equal(s, NULL, 0));
    eg_secret_free(s);
    eg_secret_free(NULL);
    eg_vault_free(v);
    eg_vault_free(NULL);
}

Test(base, secret_sizes_that_are_refused)
{
    struct eg_vault *v = NULL;
    struct eg_secret *s = NULL;
    cr_assert_geq(sodium_init(), 0);
    cr_expect_eq(eg_vault_new(&v, 0, false, NULL, NULL), EG_INVALID);
    cr_expect_eq(eg_vault_new(&v, SIZE_MAX, false, NULL, NULL), EG_INVALID);
    cr_expect_null(v);
    v = vault_of(64);
    cr_expect_eq(eg_secret_new(v, "", 0, &s, NULL), EG_INVALID);
    cr_expect_eq(eg_secret_random(v, 65, &s, NULL), EG_TOO_BIG);
    cr_expect_eq(eg_secret_random(v, SIZE_MAX, &s, NULL), EG_TOO_BIG);
    cr_expect_null(s);
    eg_vault_free(v);
}

Test(base, vault_fills_and_reuses_gaps)
{
    struct eg_vault *v = vault_of(160);
    struct eg_secret *s[10];
    struct eg_secret *more = NULL;
    for (int i = 0; i < 10; i++)
        s[i] = secret_of(v, "0123456789abcdef", 1 + (size_t)i);
    cr_expect_eq(eg_secret_new(v, "x", 1, &more, NULL), EG_TOO_BIG);
    eg_secret_free(s[4]);
    eg_secret_free(s[6]);
    cr_expect_eq(eg_secret_new(v, "0123456789abcdef0", 17, &more, NULL), EG_TOO_BIG);
    eg_secret_free(s[5]);
    more = secret_of(v, "0123456789abcdef0123456789abcdef", 32);
    s[4] = secret_of(v, "Z", 1);
    for (int i = 0; i < 10; i++)
        if (i != 4 && i != 5 && i != 6)
            cr_expect(eg_secret_equal(s[i], "0123456789abcdef", 1 + (size_t)i));
    cr_expect(eg_secret_equal(more, "0123456789abcdef0123456789abcdef", 32));
    eg_vault_free(v);
}

/* Random sizes in random order never overlap and keep their bytes. */
Test(base, vault_under_churn)
{
    struct eg_vault *v = vault_of(4096);
    struct eg_secret *s[64] = { 0 };
    unsigned char bytes[200];
    uint32_t r = 7;
    for (int i = 0; i < 5000; i++) {
        r = r * 1664525u + 1013904223u;
        size_t k = (r >> 10) % 64;
        size_t n = 1 + (r >> 16) % sizeof bytes;
        if (s[k]) {
            memset(bytes, (int)k, sizeof bytes);
            cr_assert(eg_secret_equal(s[k], bytes, eg_secret_len(s[k])));
            eg_secret_free(s[k]);
            s[k] = NULL;
            continue;
        }
        memset(bytes, (int)k, n);
        enum eg_status st = eg_secret_new(v, bytes, n, &s[k], NULL);
        cr_assert(st == EG_OK || (st == EG_TOO_BIG && !s[k]));
    }
    eg_vault_free(v);
}

Test(base, secret_free_wipes)
{
    struct eg_vault *v = vault_of(64);
    struct eg_secret *s = secret_of(v, "password", 8);
    const unsigned char *p = address_of(s);
    eg_secret_free(s);
    cr_expect(sodium_is_zero(p, 8));
    eg_vault_free(v);
}

Test(base, secret_random_differs)
{
    struct eg_vault *v = vault_of(256);
    struct eg_secret *a = NULL;
    struct eg_secret *b = NULL;
    cr_assert_eq(eg_secret_random(v, 32, &a, NULL), EG_OK);
    cr_assert_eq(eg_secret_random(v, 32, &b, NULL), EG_OK);
    cr_expect_not(eg_secret_equal(a, address_of(b), 32));
    cr_expect_not(sodium_is_zero(address_of(a), 32));
    eg_vault_free(v);
}

/* The VmFlags line of the mapping that holds p. */
static void flags_of(const unsigned char *p, char *out, size_t cap)
{
    char line[512];
    bool inside = false;
    FILE *f = fopen("/proc/self/smaps", "re");
    cr_assert_not_null(f);
    out[0] = '\0';
    while (fgets(line, sizeof line, f)) {
        unsigned long from;
        unsigned long to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (uintptr_t)p >= from && (uintptr_t)p < to;
        if (inside && strncmp(line, "VmFlags:", 8) == 0)
            snprintf(out, cap, "%s", line);
    }
    fclose(f);
}

Test(base, vault_pages_are_locked_and_stay_out_of_forks_and_cores)
{
    struct eg_vault *v = vault_of(3 * 4096 + 5);
    struct eg_secret *first = secret_of(v, "a", 1);
    struct eg_secret *rest = NULL;
    char flags[512];
    cr_assert_eq(eg_secret_random(v, 3 * 4096 - 16, &rest, NULL), EG_OK);
    const unsigned char *ends[] = { address_of(first), address_of(rest) + 3 * 4096 - 17 };
    for (int i = 0; i < 2; i++) {
        flags_of(ends[i], flags, sizeof flags);
        cr_expect(strstr(flags, " dc"), "%s", flags);
        cr_expect(strstr(flags, " dd"), "%s", flags);
        cr_expect(strstr(flags, " lo") || !LOCK_IS_REAL, "%s", flags);
    }
    eg_vault_free(v);
}

/* Reads one byte in a child: does it die of it? */
static bool child_dies(const volatile unsigned char *p)
{
    int status = 0;
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        _exit(*p == 0 ? 1 : 2);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

Test(base, vault_is_not_inherited)
{
    struct eg_vault *v = vault_of(64);
    struct eg_secret *s = secret_of(v, "password", 8);
    static unsigned char ordinary;
    cr_expect(child_dies(address_of(s)));
    cr_expect_not(child_dies(&ordinary));
    eg_vault_free(v);
}

Test(base, vault_has_a_guard_page_behind_it)
{
    struct eg_vault *v = vault_of(64);
    struct eg_secret *s = secret_of(v, "0123456789abcdef", 16);
    char flags[512];
    flags_of(address_of(s) + 64, flags, sizeof flags);
    cr_expect(flags[0] && !strstr(flags, " rd "), "%s", flags);
    eg_vault_free(v);
}

/* As a user who may lock nothing: what does eg_vault_new say? 0 when all is as promised. */
static int try_without_lock(void)
{
    struct rlimit none = { 0, 0 };
    struct eg_vault *v = NULL;
    struct eg_err err = { 0 };
    bool locked = true;
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0)
        return 1;
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
        return 2;
    if (eg_vault_new(&v, 64, true, &locked, &err) != EG_PERMISSION || v || !locked)
        return 3;
    if (!strstr(err.text, "RLIMIT_MEMLOCK"))
        return 4;
    if (eg_vault_new(&v, 64, false, &locked, NULL) != EG_OK || locked)
        return 5;
    eg_vault_free(v);
    return 0;
}

Test(base, vault_tells_when_it_is_not_locked)
{
    int status = 0;
    if (!LOCK_IS_REAL)
        cr_skip_test("the sanitizer's mlock always succeeds");
    cr_assert_geq(sodium_init(), 0);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0)
        _exit(try_without_lock());
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect(WIFEXITED(status));
    cr_expect_eq(WEXITSTATUS(status), 0);
}
