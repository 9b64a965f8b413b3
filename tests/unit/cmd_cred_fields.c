/* cmd_cred_fields.c - what a helper answers, as bytes; a program's JSON as fields; a program's environment. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/creds.h"

static struct eg_buf out, whole;
static struct eg_err err;

static void enter(void)
{
    cr_assert_geq(sodium_init(), 0);
    eg_buf_init(&out, EG_CRED_ANSWER_MAX);
    eg_buf_init(&whole, EG_CRED_ANSWER_MAX + 1024);
    eg_err_reset(&err);
}

static void leave(void)
{
    eg_buf_done(&out);
    eg_buf_done(&whole);
}

#define FIELDS(name) Test(cmd_cred_fields, name, .init = enter, .fini = leave)

static struct eg_cred_answer answer;
static enum eg_status said;
static char why[200];

static enum eg_status decode(struct eg_slice in)
{
    return eg_cred_answer_decode(in, &said, why, sizeof why, &answer);
}

/* A head and what is in out. */
static enum eg_status decode_out(void)
{
    eg_buf_reset(&whole);
    cr_assert_eq(eg_cred_answer_begin(&whole, EG_OK, "", 7), EG_OK);
    cr_assert_eq(eg_buf_put(&whole, eg_buf_slice(&out)), EG_OK);
    return decode(eg_buf_slice(&whole));
}

static bool field(const char *name, const char *value)
{
    for (unsigned i = 0; i < answer.count; i++)
        if (eg_slice_eq(answer.fields[i].name, eg_slice_str(name)))
            return eg_slice_eq(answer.fields[i].value, eg_slice_str(value));
    return false;
}

/* ---- bytes ---- */

FIELDS(answer_comes_back_as_it_was)
{
    cr_assert_eq(eg_cred_answer_add(&out, EG_SLICE_NONE, EG_SLICE("sk-1")), EG_OK);
    cr_assert_eq(eg_cred_answer_add(&out, EG_SLICE("user"), EG_SLICE("me")), EG_OK);
    cr_assert_eq(decode_out(), EG_OK);
    cr_expect_eq(said, EG_OK);
    cr_expect_eq(answer.expires_ms, 7);
    cr_expect(eg_slice_eq(answer.value, EG_SLICE("sk-1")));
    cr_expect_eq(answer.count, 1);
    cr_expect(field("user", "me"));
    eg_buf_reset(&whole);
    cr_assert_eq(eg_cred_answer_begin(&whole, EG_NOT_FOUND, "file: gone", 0), EG_OK);
    cr_assert_eq(decode(eg_buf_slice(&whole)), EG_OK);
    cr_expect_eq(said, EG_NOT_FOUND);
    cr_expect_str_eq(why, "file: gone");
}

FIELDS(answer_that_was_cut_anywhere_is_refused)
{
    cr_assert_eq(eg_cred_answer_add(&out, EG_SLICE_NONE, EG_SLICE("sk-1")), EG_OK);
    cr_assert_eq(eg_cred_answer_add(&out, EG_SLICE("user"), EG_SLICE("me")), EG_OK);
    cr_assert_eq(decode_out(), EG_OK);
    size_t first = whole.len - (8 + 4 + 2);
    for (size_t n = 0; n < whole.len; n++)
        cr_expect_eq(decode(eg_slice(whole.data + whole.off, n)), n == first ? EG_OK : EG_INVALID,
                     "%zu of %zu", n, whole.len);
}

FIELDS(answer_of_other_shapes_is_refused)
{
    cr_expect_eq(decode_out(), EG_INVALID, "good, and nothing in it");
    eg_buf_reset(&out);
    cr_assert_eq(eg_cred_answer_add(&out, EG_SLICE_NONE, EG_SLICE("a")), EG_OK);
    cr_assert_eq(eg_cred_answer_add(&out, EG_SLICE_NONE, EG_SLICE("b")), EG_OK);
    cr_expect_eq(decode_out(), EG_INVALID, "two values");
    static const char *const names[] = { "Upper", "a-b", "a#b", "a b", "\x80" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        eg_buf_reset(&out);
        cr_assert_eq(eg_cred_answer_add(&out, eg_slice_str(names[i]), EG_SLICE("a")), EG_OK);
        cr_expect_eq(decode_out(), EG_INVALID, "%s", names[i]);
    }
    eg_buf_reset(&out);
    cr_assert_eq(eg_cred_answer_add(&out, EG_SLICE("a"), EG_SLICE_NONE), EG_OK);
    cr_expect_eq(decode_out(), EG_INVALID, "an empty value");
    eg_buf_reset(&out);
    for (int i = 0; i <= EG_CRED_FIELDS; i++)
        cr_assert_eq(eg_cred_answer_add(&out, EG_SLICE("f"), EG_SLICE("v")), EG_OK);
    cr_expect_eq(decode_out(), EG_INVALID, "more fields than there may be");
    uint32_t status = EG_STATUS_COUNT;
    eg_buf_reset(&out);
    cr_assert_eq(eg_cred_answer_add(&out, EG_SLICE_NONE, EG_SLICE("a")), EG_OK);
    cr_assert_eq(decode_out(), EG_OK);
    memcpy(whole.data + whole.off, &status, sizeof status);
    cr_expect_eq(decode(eg_buf_slice(&whole)), EG_INVALID, "no such status");
}

/* ---- JSON ---- */

static enum eg_status json(const char *text, const char *value)
{
    eg_buf_reset(&out);
    eg_err_reset(&err);
    return eg_cred_fields_json(eg_slice_str(text), value, &out, &err);
}

FIELDS(json_members_are_fields)
{
    cr_assert_eq(
        json("{\"value\":\"sk\",\"user\":\"me\",\"Up\":\"x\",\"n\":1,\"e\":\"\",\"o\":{}}\n", ""),
        EG_OK, "%s", err.text);
    cr_assert_eq(decode_out(), EG_OK);
    cr_expect(eg_slice_eq(answer.value, EG_SLICE("sk")));
    cr_expect_eq(answer.count, 1);
    cr_expect(field("user", "me"));
    cr_assert_eq(json("{\"value\":\"sk\",\"Token\":\"tok\"}", "Token"), EG_OK);
    cr_assert_eq(decode_out(), EG_OK);
    cr_expect(eg_slice_eq(answer.value, EG_SLICE("tok")), "the member that the policy names");
    cr_expect(field("value", "sk"));
    cr_assert_eq(json("{\"user\":\"me\",\"password\":\"pw\\u00e9\"}", ""), EG_OK);
    cr_assert_eq(decode_out(), EG_OK);
    cr_expect_eq(answer.value.n, 0);
    cr_expect(field("user", "me") && field("password", "pw\xc3\xa9"));
}

FIELDS(json_that_holds_no_credential_is_refused)
{
    static const struct {
        const char *text, *value;
        enum eg_status status;
    } rows[] = {
        { "", "", EG_INVALID },
        { "sk-plain-text", "", EG_INVALID },
        { "[\"sk-secret\"]", "", EG_INVALID },
        { "{\"value\":\"a\"} {}", "", EG_INVALID },
        { "{\"value\":\"a\",\"value\":\"b\"}", "", EG_INVALID },
        { "{\"value\":1}", "", EG_NOT_FOUND },
        { "{}", "", EG_NOT_FOUND },
        { "{\"n\":1}", "", EG_NOT_FOUND },
        { "{\"value\":\"a\"}", "token", EG_NOT_FOUND },
        { "{\"value\":\"\"}", "", EG_NOT_FOUND },
        { "{\"value\":\"  \"}", "", EG_NOT_FOUND },
        { "{\"value\":\"a\\nb\"}", "", EG_INVALID },
        { "{\"value\":\"a\\u0000b\"}", "", EG_INVALID },
        { "{\"value\":\"a\",\"user\":\"x\\ry\"}", "", EG_INVALID },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect_eq(json(rows[i].text, rows[i].value), rows[i].status, "row %zu: %s", i, err.text);
        cr_expect_null(strstr(err.text, "sk-"), "row %zu: %s", i, err.text);
    }
}

FIELDS(json_has_at_most_so_many_fields)
{
    char text[1024] = "{\"value\":\"v\"";
    for (int i = 0; i < EG_CRED_FIELDS; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), ",\"f%d\":\"x\"", i);
    size_t n = strlen(text);
    snprintf(text + n, sizeof text - n, "}");
    cr_expect_eq(json(text, ""), EG_OK, "%s", err.text);
    snprintf(text + n, sizeof text - n, ",\"more\":\"x\"}");
    cr_expect_eq(json(text, ""), EG_TOO_BIG);
}

/* ---- AWS ---- */

static enum eg_status aws(const char *text, uint64_t *expires_ms)
{
    eg_buf_reset(&out);
    eg_err_reset(&err);
    return eg_cred_fields_aws(eg_slice_str(text), &out, expires_ms, &err);
}

FIELDS(aws_credential_process)
{
    uint64_t ms = 1;
    char text[512], when[32];
    time_t later = time(NULL) + 3600;
    struct tm tm;
    cr_assert_eq(aws("{\"Version\":1,\"AccessKeyId\":\"AKIA1\",\"SecretAccessKey\":\"s\"}", &ms),
                 EG_OK, "%s", err.text);
    cr_expect_eq(ms, 0);
    cr_assert_eq(decode_out(), EG_OK);
    cr_expect(field("access_key", "AKIA1") && field("secret_key", "s"));
    cr_expect_eq(answer.count, 2);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&later, &tm));
    snprintf(text, sizeof text,
             "{\"Version\":1,\"AccessKeyId\":\"AKIA1\",\"SecretAccessKey\":\"s\",\"SessionToken\":"
             "\"t\",\"Expiration\":\"%s\"}",
             when);
    cr_assert_eq(aws(text, &ms), EG_OK, "%s", err.text);
    cr_expect(ms > 3000 * 1000 && ms <= 3600 * 1000, "%llu", (unsigned long long)ms);
    cr_assert_eq(decode_out(), EG_OK);
    cr_expect(field("session_token", "t"));
    cr_expect_eq(aws("{\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"s\",\"Expiration\":"
                     "\"2001-01-01T00:00:00Z\"}",
                     &ms),
                 EG_CREDENTIAL_UNAVAILABLE);
    cr_expect_eq(aws("{\"AccessKeyId\":\"a\"}", &ms), EG_NOT_FOUND);
    cr_expect(strstr(err.text, "SecretAccessKey"), "%s", err.text);
}

/* ---- the environment of a program ---- */

static const char *value_of(char **env, const char *name)
{
    size_t n = strlen(name);
    for (; *env; env++)
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
            return *env + n + 1;
    return NULL;
}

Test(cmd_cred_env, holds_what_the_table_names_and_no_more)
{
    struct eg_environ *from = NULL;
    char **env = NULL;
    cr_assert_eq(clearenv(), 0);
    static const char *const set[][2] = { { "HOME", "/home/me" },
                                          { "PATH", "/tmp/evil" },
                                          { "LD_PRELOAD", "/tmp/evil.so" },
                                          { "BW_SESSION", "vault-key" },
                                          { "OP_SERVICE_ACCOUNT_TOKEN", "ops-key" },
                                          { "HTTPS_PROXY", "http://p.example:1" },
                                          { "AWS_SECRET_ACCESS_KEY", "key" },
                                          { "GNUPGHOME", "/home/me/.gnupg" } };
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        cr_assert_eq(setenv(set[i][0], set[i][1], 1), 0);
    cr_assert_eq(eg_environ_take(&from), EG_OK);
    cr_assert_eq(eg_cred_env_make(from, NULL, &env), EG_OK);
    cr_expect_str_eq(value_of(env, "HOME"), "/home/me");
    cr_expect_str_eq(value_of(env, "GNUPGHOME"), "/home/me/.gnupg");
    cr_expect_str_eq(value_of(env, "TERM"), "dumb");
    cr_expect_str_eq(value_of(env, "PYTHONNOUSERSITE"), "1", "the child writes below HOME");
    cr_expect_null(strstr(value_of(env, "PATH"), "/tmp"));
    static const char *const never[] = { "LD_PRELOAD",
                                         "BW_SESSION",
                                         "OP_SERVICE_ACCOUNT_TOKEN",
                                         "HTTPS_PROXY",
                                         "AWS_SECRET_ACCESS_KEY",
                                         "USER" };
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        cr_expect_null(value_of(env, never[i]), "%s", never[i]);
    eg_cred_env_free(env);
    cr_assert_eq(eg_cred_env_make(from, "bw", &env), EG_OK);
    cr_expect_str_eq(value_of(env, "BW_SESSION"), "vault-key");
    cr_expect_str_eq(value_of(env, "HTTPS_PROXY"), "http://p.example:1");
    cr_expect_null(value_of(env, "OP_SERVICE_ACCOUNT_TOKEN"), "another program's key");
    eg_cred_env_free(env);
    eg_cred_env_free(NULL);
    eg_environ_free(from);
}
