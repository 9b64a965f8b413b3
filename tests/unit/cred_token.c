/* cred_token.c - session tokens and their field values. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cred/cred.h"

Test(cred, token_is_64_hex_digits_and_never_the_same)
{
    char a[EG_TOKEN_HEX + 1], b[EG_TOKEN_HEX + 1];
    cr_assert_geq(sodium_init(), 0);
    eg_token_make(a);
    eg_token_make(b);
    cr_expect_eq(strlen(a), 64);
    cr_expect_eq(strspn(a, "0123456789abcdef"), 64);
    cr_expect_str_neq(a, b);
}

Test(cred, token_hash_depends_on_key_and_token)
{
    unsigned char key[32] = { 1 }, other[32] = { 2 }, a[32], b[32];
    cr_assert_geq(sodium_init(), 0);
    eg_token_hash(key, EG_SLICE("token"), a);
    eg_token_hash(key, EG_SLICE("token"), b);
    cr_expect_eq(memcmp(a, b, 32), 0);
    eg_token_hash(other, EG_SLICE("token"), b);
    cr_expect_neq(memcmp(a, b, 32), 0);
    eg_token_hash(key, EG_SLICE("tokem"), b);
    cr_expect_neq(memcmp(a, b, 32), 0);
    eg_token_hash(key, EG_SLICE_NONE, b);
    cr_expect_neq(memcmp(a, b, 32), 0);
}

Test(cred, token_parse_table)
{
    static const struct {
        struct eg_slice in;
        enum eg_status status;
        const char *user, *token;
    } rows[] = {
        { EG_SLICE("Basic dXNlcjp0b2s="), EG_OK, "user", "tok" },
        { EG_SLICE("basic dXNlcjp0b2s="), EG_OK, "user", "tok" },
        { EG_SLICE("BASIC    dXNlcjp0b2s="), EG_OK, "user", "tok" },
        { EG_SLICE(" Basic dXNlcjp0b2s= "), EG_OK, "user", "tok" },
        { EG_SLICE("Basic OnRvaw=="), EG_OK, "", "tok" },
        { EG_SLICE("Basic dXNlcjphOmI="), EG_OK, "user", "a:b" },
        { EG_SLICE("Bearer tok"), EG_OK, "", "tok" },
        { EG_SLICE("bEARER   tok"), EG_OK, "", "tok" },
        { EG_SLICE("Bearer aA0-._~+/=="), EG_OK, "", "aA0-._~+/==" },
        /* other schemes, or none */
        { EG_SLICE(""), EG_TOKEN_MISSING, NULL, NULL },
        { EG_SLICE("   "), EG_TOKEN_MISSING, NULL, NULL },
        { EG_SLICE("Digest username=\"a\""), EG_TOKEN_MISSING, NULL, NULL },
        { EG_SLICE("Negotiate abc"), EG_TOKEN_MISSING, NULL, NULL },
        { EG_SLICE("tok"), EG_TOKEN_MISSING, NULL, NULL },
        { EG_SLICE("Basicx dXNlcjp0b2s="), EG_TOKEN_MISSING, NULL, NULL },
        { EG_SLICE("Basic\tdXNlcjp0b2s="), EG_TOKEN_MISSING, NULL, NULL },
        { EG_SLICE("Bearer\ttok"), EG_TOKEN_MISSING, NULL, NULL },
        { EG_SLICE("Bearer,tok"), EG_TOKEN_MISSING, NULL, NULL },
        /* malformed */
        { EG_SLICE("Basic"), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Basic "), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Basic dXNlcjp0b2s"), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Basic dXNlcjp0b2s=="), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Basic dXNlcjp0b2t="), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Basic dXNl cjp0b2s="), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Basic dXNlcjp0b2s=, Basic dXNlcjp0b2s="), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Basic dXNlcjp0b2s=,"), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Basic dXNlcjp0-_s="), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Basic dXNlcg=="), EG_TOKEN_INVALID, NULL, NULL },     /* no colon */
        { EG_SLICE("Basic dXNlcjo="), EG_TOKEN_INVALID, NULL, NULL },     /* no password */
        { EG_SLICE("Basic dTp0AGs="), EG_TOKEN_INVALID, NULL, NULL },     /* NUL */
        { EG_SLICE("Basic dTp0Cms="), EG_TOKEN_INVALID, NULL, NULL },     /* LF */
        { EG_SLICE("Basic dTp0f2s="), EG_TOKEN_INVALID, NULL, NULL },     /* DEL */
        { EG_SLICE("Bearer"), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Bearer  "), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Bearer ="), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Bearer a=b"), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Bearer a b"), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Bearer a,b"), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Bearer a, Bearer b"), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Bearer \"a\""), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Bearer a\0b"), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Bearer \x80"), EG_TOKEN_INVALID, NULL, NULL },
        { EG_SLICE("Bearer a\tb"), EG_TOKEN_INVALID, NULL, NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char scratch[128];
        struct eg_slice user = EG_SLICE("before"), token = EG_SLICE("before");
        cr_expect_eq(eg_token_parse(rows[i].in, scratch, sizeof scratch, &user, &token),
                     rows[i].status, "row %zu: %.*s", i, (int)rows[i].in.n, rows[i].in.p);
        if (!rows[i].token) {
            cr_expect(eg_slice_eq(token, EG_SLICE("before")), "row %zu", i);
            cr_expect(eg_slice_eq(user, EG_SLICE("before")), "row %zu", i);
            continue;
        }
        cr_expect(eg_slice_eq(user, eg_slice_str(rows[i].user)), "row %zu", i);
        cr_expect(eg_slice_eq(token, eg_slice_str(rows[i].token)), "row %zu", i);
        cr_expect_eq(eg_token_parse(rows[i].in, scratch, sizeof scratch, NULL, &token), EG_OK);
    }
}

Test(cred, token_parse_stays_in_its_scratch)
{
    struct eg_slice token;
    struct eg_slice in = EG_SLICE("Basic dXNlcjp0b2s="); /* "user:tok": 8 bytes */
    for (size_t cap = 0; cap <= 9; cap++) {
        char *scratch = malloc(cap ? cap : 1);
        cr_expect_eq(eg_token_parse(in, scratch, cap, NULL, &token),
                     cap < 8 ? EG_TOKEN_INVALID : EG_OK, "cap %zu", cap);
        free(scratch);
    }
}
