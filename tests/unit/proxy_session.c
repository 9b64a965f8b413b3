/* proxy_session.c - who may use the proxy: tokens, phantoms, revocation, expiry, and what is not accepted. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "proxy/session.h"

#define TOKEN_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define TOKEN_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static const struct eg_session_phantom phantoms_a[] = {
    { "openai", "sk-AAAAAAAAAAAAAAAAAAAAAAAA" }, { "github", "ghp_AAAAAAAAAAAAAAAAAAAAAAA" }
};
static const struct eg_session_phantom phantoms_b[] = { { "openai",
                                                          "sk-BBBBBBBBBBBBBBBBBBBBBBBB" } };

static struct eg_session_spec spec_a(void)
{
    return (struct eg_session_spec){ "a", "label-a", TOKEN_A, 0, phantoms_a, 2 };
}

static struct eg_sessions *two_sessions(void)
{
    struct eg_sessions *s = NULL;
    struct eg_session_spec a = spec_a(), b = { "b", "label-b", TOKEN_B, 0, phantoms_b, 1 };
    cr_assert(sodium_init() >= 0);
    cr_assert(eg_sessions_new(&s) == EG_OK);
    cr_assert(eg_sessions_put(s, &a, NULL) == EG_OK);
    cr_assert(eg_sessions_put(s, &b, NULL) == EG_OK);
    return s;
}

static enum eg_status authorize(struct eg_sessions *s, const char *value, const char *id)
{
    struct eg_session *found = NULL;
    enum eg_status status = eg_sessions_by_authorization(s, eg_slice_str(value), &found);
    if (status == EG_OK)
        cr_assert(strcmp(found->id, id) == 0);
    return status;
}

static void basic(char *out, size_t cap, const char *text)
{
    snprintf(out, cap, "Basic ");
    sodium_bin2base64(out + 6, cap - 6, (const unsigned char *)text, strlen(text),
                      sodium_base64_VARIANT_ORIGINAL);
}

Test(proxy, session_token_by_bearer_and_basic)
{
    struct eg_sessions *s = two_sessions();
    char value[512];
    cr_assert(authorize(s, "Bearer " TOKEN_A, "a") == EG_OK);
    cr_assert(authorize(s, "bEaReR " TOKEN_B, "b") == EG_OK);
    basic(value, sizeof value, "anybody:" TOKEN_A);
    cr_assert(authorize(s, value, "a") == EG_OK);
    basic(value, sizeof value, ":" TOKEN_B);
    cr_assert(authorize(s, value, "b") == EG_OK);
    eg_sessions_free(s);
}

Test(proxy, session_token_that_is_none_is_refused)
{
    struct eg_sessions *s = two_sessions();
    char value[512];
    const char *bad[] = { "Bearer",
                          "Bearer ",
                          "Bearer " TOKEN_A "a",
                          "Bearer aaaa",
                          "Bearer " TOKEN_A ", Bearer " TOKEN_A,
                          "Basic !!!",
                          "Bearer sk-AAAAAAAAAAAAAAAAAAAAAAAA" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert(authorize(s, bad[i], "") != EG_OK, "%s", bad[i]);
    basic(value, sizeof value, TOKEN_A ":"); /* the user name is a label only */
    cr_assert(authorize(s, value, "") == EG_TOKEN_INVALID);
    basic(value, sizeof value, "x:sk-AAAAAAAAAAAAAAAAAAAAAAAA"); /* a phantom is no token */
    cr_assert(authorize(s, value, "") == EG_TOKEN_INVALID);
    cr_assert(authorize(s, "Digest " TOKEN_A, "") == EG_TOKEN_MISSING);
    eg_sessions_free(s);
}

Test(proxy, session_phantom_opens_its_own_service_only)
{
    struct eg_sessions *s = two_sessions();
    struct eg_session *found = NULL;
    struct eg_slice openai = EG_SLICE("openai"), github = EG_SLICE("github");
    cr_assert(eg_sessions_by_phantom(s, EG_SLICE("sk-AAAAAAAAAAAAAAAAAAAAAAAA"), openai, &found) ==
              EG_OK);
    cr_assert(strcmp(found->id, "a") == 0);
    cr_assert(eg_sessions_by_phantom(s, EG_SLICE("sk-BBBBBBBBBBBBBBBBBBBBBBBB"), openai, &found) ==
              EG_OK);
    cr_assert(strcmp(found->id, "b") == 0);
    cr_assert(eg_sessions_by_phantom(s, EG_SLICE("sk-AAAAAAAAAAAAAAAAAAAAAAAA"), github, &found) ==
              EG_PHANTOM_INVALID);
    cr_assert(eg_sessions_by_phantom(s, EG_SLICE(TOKEN_A), openai, &found) ==
              EG_PHANTOM_INVALID); /* a token is no phantom */
    cr_assert(eg_sessions_by_phantom(s, EG_SLICE(""), openai, &found) == EG_PHANTOM_INVALID);
    eg_sessions_free(s);
}

Test(proxy, session_revoked_and_expired)
{
    struct eg_sessions *s = two_sessions();
    struct eg_session *found = NULL;
    struct eg_session_spec old = {
        "old", "", "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc", 1, NULL, 0
    };
    cr_assert(eg_sessions_revoke(s, "a") != NULL);
    cr_assert(eg_sessions_revoke(s, "nobody") == NULL);
    cr_assert(authorize(s, "Bearer " TOKEN_A, "a") == EG_TOKEN_REVOKED);
    cr_assert(eg_sessions_by_phantom(s, EG_SLICE("sk-AAAAAAAAAAAAAAAAAAAAAAAA"), EG_SLICE("openai"),
                                     &found) == EG_TOKEN_REVOKED);
    cr_assert(authorize(s, "Bearer " TOKEN_B, "b") == EG_OK);
    cr_assert(eg_sessions_put(s, &old, NULL) == EG_OK);
    cr_assert(authorize(s,
                        "Bearer cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
                        "old") == EG_TOKEN_EXPIRED);
    eg_sessions_free(s);
}

Test(proxy, session_put_again_replaces_its_secrets)
{
    struct eg_sessions *s = two_sessions();
    struct eg_session *found = NULL;
    struct eg_session_spec a = spec_a();
    a.token = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";
    a.phantom_count = 1;
    cr_assert(eg_sessions_put(s, &a, NULL) == EG_OK);
    cr_assert(eg_sessions_count(s) == 2);
    cr_assert(authorize(s, "Bearer " TOKEN_A, "") == EG_TOKEN_INVALID);
    cr_assert(authorize(s,
                        "Bearer dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
                        "a") == EG_OK);
    cr_assert(eg_sessions_by_phantom(s, EG_SLICE("ghp_AAAAAAAAAAAAAAAAAAAAAAA"), EG_SLICE("github"),
                                     &found) == EG_PHANTOM_INVALID);
    eg_sessions_free(s);
}

Test(proxy, session_with_another_ones_token_is_refused)
{
    struct eg_sessions *s = two_sessions();
    struct eg_session_spec c = { "c", "", TOKEN_A, 0, NULL, 0 };
    struct eg_err err = { 0 };
    cr_assert(eg_sessions_put(s, &c, &err) == EG_EXISTS);
    cr_assert(eg_sessions_count(s) == 2);
    cr_assert(authorize(s, "Bearer " TOKEN_A, "a") == EG_OK);
    eg_sessions_free(s);
}

Test(proxy, session_malformed_is_refused)
{
    struct eg_sessions *s = two_sessions();
    struct eg_session_spec c = { "", "", TOKEN_A, 0, NULL, 0 },
                           d = { "d", "", "short", 0, NULL, 0 };
    cr_assert(eg_sessions_put(s, &c, NULL) == EG_INVALID);
    cr_assert(eg_sessions_put(s, &d, NULL) == EG_INVALID);
    eg_sessions_free(s);
}

Test(proxy, session_usable_tells_revoked_and_expired_as_of_now)
{
    struct eg_sessions *s = two_sessions();
    struct eg_session_spec a = spec_a();
    struct eg_session *found = NULL;
    cr_assert(eg_sessions_by_authorization(s, EG_SLICE("Bearer " TOKEN_A), &found) == EG_OK);
    found = eg_session_ref(found); /* as a flow inside a tunnel holds it */
    cr_assert(eg_session_usable(found) == EG_OK);
    found->expires_wall_us = eg_clock_wall_us();
    cr_assert(eg_session_usable(found) == EG_TOKEN_EXPIRED);
    cr_assert(eg_sessions_revoke(s, a.id) == found);
    cr_assert(eg_session_usable(found) == EG_TOKEN_REVOKED);
    eg_session_unref(found);
    eg_sessions_free(s);
}

Test(proxy, session_walk_meets_each_once)
{
    struct eg_sessions *s = two_sessions();
    const struct eg_session *at;
    size_t cursor = 0;
    unsigned a = 0, b = 0;
    while ((at = eg_sessions_next(s, &cursor))) {
        a += strcmp(at->id, "a") == 0;
        b += strcmp(at->id, "b") == 0;
    }
    cr_assert(a == 1 && b == 1);
    cr_assert(eg_sessions_next(s, &cursor) == NULL);
    eg_sessions_free(s);
}

Test(proxy, session_full_table_forgets_those_that_are_over, .timeout = 60)
{
    struct eg_sessions *s = NULL;
    char id[48], token[EG_TOKEN_HEX + 1];
    cr_assert(sodium_init() >= 0);
    cr_assert(eg_sessions_new(&s) == EG_OK);
    for (unsigned i = 0; i < EG_SESSIONS_MAX; i++) {
        snprintf(id, sizeof id, "s-%u", i);
        snprintf(token, sizeof token, "%064x", i);
        struct eg_session_spec spec = { id, "", token, 0, NULL, 0 };
        cr_assert(eg_sessions_put(s, &spec, NULL) == EG_OK);
    }
    snprintf(token, sizeof token, "%064x", 0x10000);
    struct eg_session_spec more = { "more", "", token, 0, NULL, 0 };
    cr_assert(eg_sessions_put(s, &more, NULL) == EG_TOO_BIG); /* all of them live */
    cr_assert(eg_sessions_revoke(s, "s-7") != NULL);
    cr_assert(eg_sessions_put(s, &more, NULL) == EG_OK);
    cr_assert(eg_sessions_count(s) == EG_SESSIONS_MAX);
    eg_sessions_free(s);
}
