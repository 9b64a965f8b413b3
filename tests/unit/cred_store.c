/* cred_store.c - named credentials and how they are placed. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "support/residue.h"
#include "support/store.h"

CRED(store_keeps_by_name)
{
    struct eg_err why = { 0 };
    cr_expect_eq(eg_creds_count(creds), 0);
    cr_expect_null(eg_creds_get(creds, EG_SLICE("a"), NULL));
    cr_expect_null(eg_creds_get(creds, EG_SLICE("a"), &why));
    cr_expect_eq(why.status, EG_CREDENTIAL_UNAVAILABLE);
    cr_assert_eq(put("a", "one"), EG_OK);
    cr_assert_eq(put("b", "two"), EG_OK);
    cr_expect(holds("a", "one") && holds("b", "two"));
    cr_expect_not(holds("a", "two"));
    cr_expect_eq(eg_creds_count(creds), 2);
    cr_assert_eq(put("a", "three"), EG_OK);
    cr_expect(holds("a", "three"));
    cr_expect_eq(eg_creds_count(creds), 2);
    eg_creds_drop(creds, EG_SLICE("a"));
    eg_creds_drop(creds, EG_SLICE("a"));
    cr_expect_null(eg_creds_get(creds, EG_SLICE("a"), NULL));
    cr_expect_eq(eg_creds_count(creds), 1);
}

CRED(store_tells_why_a_source_failed)
{
    struct eg_err why = { 0 }, got = { 0 };
    eg_err_set(&why, EG_NOT_FOUND, "keyring", 0, "no such item");
    eg_err_set(&got, EG_IO, "old", 5, "from before");
    cr_assert_eq(eg_creds_fail(creds, EG_SLICE("a"), &why), EG_OK);
    cr_expect_null(eg_creds_get(creds, EG_SLICE("a"), &got));
    cr_expect_eq(got.status, EG_NOT_FOUND);
    cr_expect_str_eq(got.text, "no such item");
    cr_expect_eq(eg_creds_count(creds), 0);

    cr_assert_eq(put("a", "now"), EG_OK);
    cr_expect(holds("a", "now"));
    cr_expect_eq(eg_creds_count(creds), 1);
    cr_assert_eq(eg_creds_fail(creds, EG_SLICE("a"), &why), EG_OK);
    cr_expect_null(eg_creds_get(creds, EG_SLICE("a"), NULL), "a value that is gone is not used");
    cr_expect_eq(eg_creds_count(creds), 0);
    eg_creds_drop(creds, EG_SLICE("a"));
    cr_expect_eq(eg_creds_count(creds), 0);
    eg_err_reset(&why);
    cr_assert_eq(eg_creds_fail(creds, EG_SLICE("a"), &why), EG_OK);
    cr_expect_null(eg_creds_get(creds, EG_SLICE("a"), &got));
    cr_expect_eq(got.status, EG_CREDENTIAL_UNAVAILABLE, "never EG_OK");
}

CRED(store_refuses_names_and_values)
{
    char name[300];
    struct eg_err err = { 0 }, why = { 0 };
    memset(name, 'n', sizeof name);
    cr_expect_eq(eg_creds_put(creds, EG_SLICE_NONE, "x", 1, &err), EG_INVALID);
    cr_expect_eq(eg_creds_put(creds, eg_slice(name, 256), "x", 1, NULL), EG_INVALID);
    cr_expect_eq(eg_creds_put(creds, eg_slice(name, 255), "x", 1, NULL), EG_OK);
    cr_expect_neq(eg_creds_put(creds, EG_SLICE("e"), "", 0, NULL), EG_OK);
    cr_expect_eq(eg_creds_fail(creds, EG_SLICE_NONE, &why), EG_INVALID);
    cr_expect_eq(eg_creds_count(creds), 1);
}

CRED(store_that_is_full_keeps_what_it_has)
{
    char large[32768];
    memset(large, 'x', sizeof large);
    cr_assert_eq(eg_creds_put(creds, EG_SLICE("a"), large, sizeof large, NULL), EG_OK);
    cr_assert_eq(put("b", "small"), EG_OK);
    struct eg_err err = { 0 };
    cr_expect_eq(eg_creds_put(creds, EG_SLICE("b"), large, sizeof large, &err), EG_TOO_BIG);
    cr_expect_eq(err.status, EG_TOO_BIG);
    cr_expect(holds("b", "small"));
    cr_expect_eq(eg_creds_put(creds, EG_SLICE("c"), large, sizeof large, NULL), EG_TOO_BIG);
    cr_expect_null(eg_creds_get(creds, EG_SLICE("c"), NULL));
}

CRED(store_takes_4096_names)
{
    char name[16];
    for (unsigned i = 0; i < 4096; i++) {
        int n = snprintf(name, sizeof name, "n%u", i);
        struct eg_err why = { .status = EG_IO };
        cr_assert_eq(eg_creds_fail(creds, eg_slice(name, (size_t)n), &why), EG_OK);
    }
    cr_expect_eq(put("one more", "x"), EG_TOO_BIG);
    eg_creds_drop(creds, EG_SLICE("n7"));
    cr_expect_eq(put("one more", "x"), EG_OK);
    eg_creds_free(NULL);
}

/* ---- placing ---- */

static const struct eg_secret *secret_of(const char *value)
{
    cr_assert_eq(put("s", value), EG_OK);
    return eg_creds_get(creds, EG_SLICE("s"), NULL);
}

static void expect_field(struct eg_slice name, struct eg_slice before, struct eg_slice after,
                         const char *secret, const char *want)
{
    struct eg_buf out;
    eg_buf_init(&out, 4096);
    cr_assert_eq(eg_inject_field(&out, name, before, after, secret_of(secret)), EG_OK);
    cr_expect(eg_slice_eq(eg_buf_slice(&out), eg_slice_str(want)), "%s", want);
    eg_buf_done(&out);
}

CRED(inject_writes_one_field)
{
    expect_field(EG_SLICE("Authorization"), EG_SLICE("Bearer "), EG_SLICE_NONE, "sk-1",
                 "Authorization: Bearer sk-1\r\n");
    expect_field(EG_SLICE("x-api-key"), EG_SLICE_NONE, EG_SLICE_NONE, "k", "x-api-key: k\r\n");
    expect_field(EG_SLICE("X"), EG_SLICE("a\t"), EG_SLICE(";z"), "k k", "X: a\tk k;z\r\n");
}

CRED(inject_appends_and_keeps_the_head_whole)
{
    struct eg_buf out;
    eg_buf_init(&out, 40);
    cr_assert_eq(eg_buf_append(&out, "GET / HTTP/1.1\r\n", 16), EG_OK);
    const struct eg_secret *s = secret_of("0123456789");
    cr_assert_eq(eg_inject_field(&out, EG_SLICE("k"), EG_SLICE_NONE, EG_SLICE_NONE, s), EG_OK);
    cr_expect(eg_slice_eq(eg_buf_slice(&out), EG_SLICE("GET / HTTP/1.1\r\nk: 0123456789\r\n")));
    cr_expect_eq(eg_inject_field(&out, EG_SLICE("k"), EG_SLICE_NONE, EG_SLICE_NONE, s), EG_TOO_BIG);
    cr_expect(eg_slice_eq(eg_buf_slice(&out), EG_SLICE("GET / HTTP/1.1\r\nk: 0123456789\r\n")),
              "nothing half written");
    eg_buf_done(&out);
}

CRED(inject_lets_nothing_end_the_field_early)
{
    static const struct {
        const char *name, *before, *after, *secret;
    } bad[] = {
        { "", "", "", "s" },        { "a b", "", "", "s" },    { "a:", "", "", "s" },
        { "a\r\nb", "", "", "s" },  { "a\x80", "", "", "s" },  { "a", "x\r\n", "", "s" },
        { "a", "\n", "", "s" },     { "a", "", "\r", "s" },    { "a", "", "\x7f", "s" },
        { "a", "", "", "s\r\nb: c" }, { "a", "", "", "s\n" },  { "a", "", "", "\x01" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct eg_buf out;
        eg_buf_init(&out, 4096);
        cr_expect_eq(eg_inject_field(&out, eg_slice_str(bad[i].name), eg_slice_str(bad[i].before),
                                     eg_slice_str(bad[i].after), secret_of(bad[i].secret)),
                     EG_INVALID, "row %zu", i);
        cr_expect_eq(out.len, 0);
        eg_buf_done(&out);
    }
    struct eg_buf out;
    eg_buf_init(&out, 4096);
    cr_assert_eq(eg_creds_put(creds, EG_SLICE("nul"), "a\0b", 3, NULL), EG_OK);
    cr_expect_eq(eg_inject_field(&out, EG_SLICE("a"), EG_SLICE_NONE, EG_SLICE_NONE,
                                 eg_creds_get(creds, EG_SLICE("nul"), NULL)),
                 EG_INVALID);
    cr_expect_eq(eg_inject_field(&out, EG_SLICE("a\0"), EG_SLICE_NONE, EG_SLICE_NONE,
                                 secret_of("s")),
                 EG_INVALID);
    eg_buf_done(&out);
}

CRED(inject_basic_makes_a_field_value)
{
    static const struct {
        const char *user, *password, *want;
    } rows[] = {
        { "Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" }, /* RFC 7617 section 2 */
        { "", "Aladdin:open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" },
        { "u", "p:q", "Basic dTpwOnE=" },
        { "", ":p", "Basic OnA=" },
        { "test", "123\xc2\xa3", "Basic dGVzdDoxMjPCow==" }, /* RFC 7617 section 2.1 */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct eg_secret *value = NULL;
        struct eg_err err = { 0 };
        cr_assert_eq(eg_inject_basic(vault, eg_slice_str(rows[i].user), secret_of(rows[i].password),
                                     &value, &err),
                     EG_OK);
        cr_expect(eg_secret_equal(value, rows[i].want, strlen(rows[i].want)), "row %zu", i);
        eg_secret_free(value);
    }
}

CRED(inject_basic_refuses_what_can_not_be_sent)
{
    struct eg_secret *value = NULL;
    struct eg_err err = { 0 };
    cr_expect_eq(eg_inject_basic(vault, EG_SLICE("a:b"), secret_of("p"), &value, &err), EG_INVALID);
    cr_expect_eq(err.status, EG_INVALID);
    cr_expect_eq(eg_inject_basic(vault, EG_SLICE("a\n"), secret_of("p"), &value, NULL), EG_INVALID);
    cr_expect_eq(eg_inject_basic(vault, EG_SLICE_NONE, secret_of("p"), &value, NULL), EG_INVALID);
    char large[40000];
    memset(large, 'x', sizeof large);
    cr_expect_eq(eg_inject_basic(vault, eg_slice(large, 20000), secret_of("p"), &value, NULL),
                 EG_INVALID);
    cr_assert_eq(eg_creds_put(creds, EG_SLICE("l"), large, sizeof large, NULL), EG_OK);
    cr_expect_eq(eg_inject_basic(vault, EG_SLICE("u"), eg_creds_get(creds, EG_SLICE("l"), NULL),
                                 &value, NULL),
                 EG_TOO_BIG, "the vault is full");
    cr_expect_null(value);
}

CRED(inject_bearer_makes_a_field_value)
{
    static const char *const bad[] = { "x y", "x\ty", "x\r\nX: y", "\x7f", "caf\xc3\xa9" };
    struct eg_secret *value = NULL;
    struct eg_err err = { 0 };
    cr_assert_eq(eg_inject_bearer(vault, secret_of("mF_9.B5f-4.1JqM=="), &value, &err), EG_OK);
    cr_expect(eg_secret_equal(value, "Bearer mF_9.B5f-4.1JqM==", 24));
    eg_secret_free(value);
    value = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct eg_err why = { 0 };
        cr_expect_eq(eg_inject_bearer(vault, secret_of(bad[i]), &value, &why), EG_INVALID,
                     "row %zu", i);
        cr_expect(why.text[0] && !strstr(why.text, bad[i]), "row %zu: %s", i, why.text);
    }
    cr_expect_null(value);
}

CRED(inject_login_makes_user_and_password_one)
{
    static const struct {
        const char *user, *password, *want;
    } rows[] = {
        { "", "u:p", "u:p" },     { "u", "p", "u:p" },  { "u", "p:q", "u:p:q" },
        { "", "u:p:q", "u:p:q" }, { "", ":", ":" },     { "u", "p\nq", "u:p\nq" },
        { "", "plain", NULL },    { "u:v", "p", NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct eg_secret *login = NULL;
        struct eg_err err = { 0 };
        enum eg_status r = eg_inject_login(vault, eg_slice_str(rows[i].user),
                                           secret_of(rows[i].password), &login, &err);
        cr_expect_eq(r, rows[i].want ? EG_OK : EG_INVALID, "row %zu", i);
        cr_expect_eq(err.status, r, "row %zu", i);
        if (rows[i].want)
            cr_expect(eg_secret_equal(login, rows[i].want, strlen(rows[i].want)), "row %zu", i);
        else
            cr_expect_null(login, "row %zu", i);
        eg_secret_free(login);
    }
}

/* ---- nothing is left ---- */

static void put_masked(const struct residue *r, const char *name)
{
    char plain[RESIDUE_MAX];
    residue_reveal(r, plain);
    cr_assert_eq(eg_creds_put(creds, eg_slice_str(name), plain, r->n, NULL), EG_OK);
    sodium_memzero(plain, sizeof plain);
}

CRED(secret_is_in_the_vault_only_and_then_nowhere)
{
    struct residue r;
    struct eg_err why = { .status = EG_IO };
    residue_choose(&r, 40);
    cr_assert_eq(residue_count(&r), 0);
    put_masked(&r, "a");
    cr_expect_eq(residue_count(&r), 1);
    put_masked(&r, "a");
    cr_expect_eq(residue_count(&r), 1, "the one that was replaced is gone");
    put_masked(&r, "b");
    cr_expect_eq(residue_count(&r), 2);
    eg_creds_drop(creds, EG_SLICE("b"));
    cr_expect_eq(residue_count(&r), 1);
    cr_assert_eq(eg_creds_fail(creds, EG_SLICE("a"), &why), EG_OK);
    cr_expect_eq(residue_count(&r), 0);
    put_masked(&r, "a");
    eg_creds_free(creds);
    creds = NULL;
    cr_expect_eq(residue_count(&r), 0);
}

CRED(injected_secret_is_wiped_with_its_buffer)
{
    struct residue r;
    struct eg_buf out;
    char filler[600];
    residue_choose(&r, 40);
    put_masked(&r, "a");
    const struct eg_secret *s = eg_creds_get(creds, EG_SLICE("a"), NULL);
    memset(filler, 'f', sizeof filler);
    eg_buf_init(&out, 65536);
    for (unsigned i = 1; i <= 20; i++) { /* the buffer grows and moves several times */
        cr_assert_eq(eg_inject_field(&out, EG_SLICE("k"), EG_SLICE_NONE, EG_SLICE_NONE, s), EG_OK);
        cr_assert_eq(eg_buf_append(&out, filler, sizeof filler), EG_OK);
        cr_assert_eq(residue_count(&r), 1 + i, "growth left a copy");
    }
    eg_buf_wipe(&out);
    eg_buf_done(&out);
    cr_expect_eq(residue_count(&r), 1);
}

CRED(basic_value_leaves_no_plain_copy)
{
    struct residue r;
    struct eg_secret *value = NULL;
    residue_choose(&r, 40);
    put_masked(&r, "a");
    cr_assert_eq(eg_inject_basic(vault, EG_SLICE("user"), eg_creds_get(creds, EG_SLICE("a"), NULL),
                                 &value, NULL),
                 EG_OK);
    cr_expect_eq(residue_count(&r), 1, "base64 or not, the password itself is in the vault only");
    eg_secret_free(value);
}

CRED(bearer_and_login_leave_no_plain_copy)
{
    struct residue r;
    struct eg_secret *bearer = NULL;
    struct eg_secret *login = NULL;
    residue_choose(&r, 40);
    put_masked(&r, "a");
    const struct eg_secret *s = eg_creds_get(creds, EG_SLICE("a"), NULL);
    cr_assert_eq(eg_inject_bearer(vault, s, &bearer, NULL), EG_OK);
    cr_expect_eq(residue_count(&r), 2, "the two in the vault");
    cr_assert_eq(eg_inject_login(vault, EG_SLICE("user"), s, &login, NULL), EG_OK);
    cr_expect_eq(residue_count(&r), 3);
    eg_secret_free(bearer);
    eg_secret_free(login);
    cr_expect_eq(residue_count(&r), 1);
}
