/* cred_inject.c - the policy's templates with a credential's values in them, and what must not stand there. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

#include "cred/cred.h"

static struct eg_vault *vault;
static struct eg_creds *creds;

static void put(const char *name, const char *value)
{
    cr_assert_eq(eg_creds_put(creds, eg_slice_str(name), value, strlen(value), NULL), EG_OK);
}

static void enter(void)
{
    cr_assert_geq(sodium_init(), 0);
    cr_assert_eq(eg_vault_new(&vault, 262144, false, NULL, NULL), EG_OK);
    cr_assert_eq(eg_creds_new(vault, &creds), EG_OK);
    put("key", "s3cret/with?all&of=it+ %\"\xc3\xa9");
    put("two", "whole");
    put("two#api_key", "first");
    put("two#app_key", "second");
    put("split", "a\r\nX-Evil: 1");
}

static void leave(void)
{
    eg_creds_free(creds);
    eg_vault_free(vault);
}

#define INJECT(name) Test(cred, name, .init = enter, .fini = leave)

/* What `credential` in `text` gives, behind "> ". */
static enum eg_status fill(const char *credential, const char *text, enum eg_escape escape,
                           const char *want)
{
    struct eg_buf out;
    struct eg_err err = { 0 };
    eg_buf_init(&out, 65536);
    cr_assert_eq(eg_buf_put(&out, EG_SLICE("> ")), EG_OK);
    enum eg_status status =
        eg_inject_template(&out, eg_slice_str(text), creds, eg_slice_str(credential), escape, &err);
    struct eg_slice got = eg_slice_from(eg_buf_slice(&out), 2);
    cr_expect(eg_slice_eq(got, eg_slice_str(want)), "%s: \"%.*s\" not \"%s\"", text, (int)got.n,
              got.p, want);
    cr_expect(strstr(err.text, "s3cret") == NULL && strstr(err.text, "Evil") == NULL);
    eg_buf_wipe(&out);
    eg_buf_done(&out);
    return status;
}

INJECT(template_puts_values_in_their_places)
{
    static const struct {
        const char *credential, *text, *want;
        enum eg_escape escape;
    } rows[] = {
        { "two", "{}", "whole", EG_ESCAPE_NONE },
        { "two", "Bearer {}", "Bearer whole", EG_ESCAPE_NONE },
        { "two", "token {}!", "token whole!", EG_ESCAPE_NONE },
        { "two", "{api_key}:{app_key}", "first:second", EG_ESCAPE_NONE },
        { "two", "{}{}", "wholewhole", EG_ESCAPE_NONE },
        { "two", "no field", "no field", EG_ESCAPE_NONE },
        { "two", "", "", EG_ESCAPE_NONE },
        { "two", "{ } {A} {", "{ } {A} {", EG_ESCAPE_NONE },
        { "two", "{{}}", "{whole}", EG_ESCAPE_NONE },
        { "two", "user:{}", "dXNlcjp3aG9sZQ==", EG_ESCAPE_BASE64 },
        { "two", "{api_key}:{app_key}", "Zmlyc3Q6c2Vjb25k", EG_ESCAPE_BASE64 },
        { "two", "{}:", "d2hvbGU6", EG_ESCAPE_BASE64 },
        { "key", "{}", "s3cret/with?all&of=it+ %\"\xc3\xa9", EG_ESCAPE_NONE },
        { "key", "/bot{}/", "/bots3cret%2Fwith%3Fall%26of%3Dit%2B%20%25%22%C3%A9/",
          EG_ESCAPE_PERCENT },
        { "two", "a=b&c={}", "a=b&c=whole", EG_ESCAPE_PERCENT },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_eq(fill(rows[i].credential, rows[i].text, rows[i].escape, rows[i].want), EG_OK,
                     "%s", rows[i].text);
}

INJECT(template_that_fails_leaves_nothing_behind)
{
    struct eg_buf tight;
    cr_expect_eq(fill("absent", "Bearer {}", EG_ESCAPE_NONE, ""), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect_eq(fill("two", "{api_key} {other}", EG_ESCAPE_NONE, ""), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect_eq(fill("two", "{api_key}:{other}", EG_ESCAPE_BASE64, ""), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect_eq(fill("split", "Bearer {}", EG_ESCAPE_NONE, ""), EG_INVALID);
    cr_expect_eq(fill("split", "u:{}", EG_ESCAPE_BASE64, ""), EG_INVALID);
    cr_expect_eq(fill("two", "Bearer\n{}", EG_ESCAPE_NONE, ""), EG_INVALID);
    eg_buf_init(&tight, 10);
    cr_assert_eq(eg_buf_put(&tight, EG_SLICE("head")), EG_OK);
    cr_expect_eq(
        eg_inject_template(&tight, EG_SLICE("{}-{}"), creds, EG_SLICE("two"), EG_ESCAPE_NONE, NULL),
        EG_TOO_BIG);
    cr_expect(eg_slice_eq(eg_buf_slice(&tight), EG_SLICE("head")));
    cr_expect_eq(memmem(tight.data, tight.cap, "whole", 5), NULL);
    eg_buf_done(&tight);
}

INJECT(template_percent_encodes_whatever_ends_a_segment)
{
    put("ctl", "a\tb"); /* a tab may stand in a field, and is escaped elsewhere */
    cr_expect_eq(fill("ctl", "{}", EG_ESCAPE_PERCENT, "a%09b"), EG_OK);
    cr_expect_eq(fill("split", "{}", EG_ESCAPE_PERCENT, "a%0D%0AX-Evil%3A%201"), EG_OK);
}

static enum eg_status ready(const char *credential, const char *text)
{
    return eg_inject_ready(eg_slice_str(text), creds, eg_slice_str(credential), NULL);
}

INJECT(template_is_ready_when_each_of_its_values_is)
{
    struct eg_err why = { .status = EG_IO };
    cr_assert_eq(eg_creds_lazy(creds, EG_SLICE("later")), EG_OK);
    cr_assert_eq(eg_creds_fail(creds, EG_SLICE("broken"), &why), EG_OK);
    cr_expect_eq(ready("two", "Bearer {} {api_key}"), EG_OK);
    cr_expect_eq(ready("two", "fixed"), EG_OK);
    cr_expect_eq(ready("absent", "fixed"), EG_OK);
    cr_expect_eq(ready("two", "{other}"), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect_eq(ready("absent", "{}"), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect_eq(ready("broken", "{}"), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect_eq(ready("broken", "{api_key}"), EG_CREDENTIAL_UNAVAILABLE);
    cr_expect_eq(ready("later", "{}"), EG_AGAIN);
    cr_expect_eq(ready("later", "{api_key}:{app_key}"), EG_AGAIN);
}
