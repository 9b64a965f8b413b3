/* policy_proxy_url.c - feeds tests/vectors/policy_proxy_url.md to the parser of proxy URLs, and looks for what stands before an @ in every message. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/compile.h"
#include "support/vectors.h"

#define TABLE EG_SOURCE_DIR "/tests/vectors/policy_proxy_url.md"
enum { ROWS_LEAST = 110, COLUMNS = 4, ROOM = 4096 };

/* Is some run of 4 bytes of the userinfo (all before the last @, behind ://) in the message? */
static bool repeats(struct eg_slice url, const char *message)
{
    const char *at = memrchr(url.p, '@', url.n);
    const char *scheme = memmem(url.p, url.n, "://", 3);
    size_t from = scheme && at && scheme < at ? (size_t)(scheme - url.p) + 3 : 0;
    size_t to = at ? (size_t)(at - url.p) : 0;
    for (size_t i = from; i + 4 <= to; i++)
        if (memmem(message, strlen(message), url.p + i, 4))
            return true;
    return false;
}

static bool same(struct eg_slice got, struct eg_slice want)
{
    return eg_slice_eq(got, want);
}

static bool check_error(const struct eg_vector_row *row, const struct eg_err *err)
{
    bool fine = err->status == EG_INVALID && err->text[0] && !repeats(row->cell[0], err->text) &&
                strstr(err->text, row->cell[1].p + strlen("error: "));
    if (!fine)
        fprintf(stderr, "%s:%d: %s: '%s'\n", row->file, row->line, eg_vector_show(row->cell[0]),
                err->text);
    return fine;
}

static void check_row(const struct eg_vector_row *row, void *ctx)
{
    unsigned *failed = ctx;
    struct eg_hop hop;
    struct eg_slice user = EG_SLICE("?"), password = EG_SLICE("?");
    struct eg_err err = { 0 };
    char text[EG_HOP_TEXT];
    struct eg_slice url = row->cell[0];
    char *exact = malloc(url.n ? url.n : 1), *room = malloc(url.n ? url.n : 1);
    cr_assert(exact && room);
    memcpy(exact, url.p, url.n);
    enum eg_status st =
        eg_proxy_url_parse(eg_slice(exact, url.n), room, &hop, &user, &password, &err);
    bool fine;
    if (eg_slice_starts(row->cell[1], EG_SLICE("error: "))) {
        fine = st == EG_INVALID && check_error(row, &err) && eg_slice_eq(user, EG_SLICE("?"));
    } else {
        fine = st == EG_OK && eg_vector_is(row->cell[1], eg_hop_format(&hop, text, sizeof text)) &&
               same(user, row->cell[2]) && same(password, row->cell[3]) && hop.text.n == 0 &&
               hop.user.n == 0 && hop.credential.n == 0;
        if (!fine)
            fprintf(stderr, "%s:%d: %s is %s, user '%.*s': %s\n", row->file, row->line,
                    eg_vector_show(url), st == EG_OK ? text : "an error",
                    st == EG_OK ? (int)user.n : 0, user.p, err.text);
    }
    *failed += !fine;
    free(exact);
    free(room);
}

Test(policy, proxy_urls)
{
    unsigned failed = 0;
    long rows = eg_vectors_each(TABLE, COLUMNS, check_row, &failed);
    cr_assert_geq(rows, ROWS_LEAST, "%ld rows", rows);
    cr_assert_eq(failed, 0, "%u rows differ", failed);
}

/* RFC 1929 counts each in one octet; the message says which one is too long. */
Test(policy, proxy_urls_with_long_logins)
{
    static const struct {
        const char *scheme;
        int user, password;
        const char *fault;
    } rows[] = { { "socks5", 255, 255, NULL },
                 { "socks5h", 256, 1, "user name is longer" },
                 { "socks5", 1, 256, "password is longer" },
                 { "socks5+tls", 256, 256, "user name is longer" },
                 { "http", 300, 1000, NULL } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char url[ROOM], room[ROOM];
        struct eg_hop hop;
        struct eg_slice user, password;
        struct eg_err err = { 0 };
        int n = snprintf(url, sizeof url, "%s://", rows[i].scheme);
        for (int k = 0; k < rows[i].user; k++) /* in escapes: what counts is what is sent */
            n += snprintf(url + n, sizeof url - (size_t)n, "%s", k % 64 ? "u" : "%75");
        n += snprintf(url + n, sizeof url - (size_t)n, ":%0*d@h:1", rows[i].password, 7);
        enum eg_status st =
            eg_proxy_url_parse(eg_slice(url, (size_t)n), room, &hop, &user, &password, &err);
        if (rows[i].fault) {
            cr_assert_eq(st, EG_INVALID, "%zu", i);
            cr_assert_not_null(strstr(err.text, rows[i].fault), "%zu: %s", i, err.text);
        } else {
            cr_assert_eq(st, EG_OK, "%zu: %s", i, err.text);
            cr_assert(user.n == (size_t)rows[i].user && password.n == (size_t)rows[i].password);
        }
    }
}

Test(policy, proxy_urls_have_a_ceiling)
{
    static const char head[] = "http://u:", tail[] = "@h:1";
    for (size_t n = 8192; n <= 8193; n++) {
        struct eg_hop hop;
        struct eg_slice user, password;
        struct eg_err err = { 0 };
        char *url = malloc(n), *room = malloc(n);
        cr_assert(url && room);
        memset(url, 'p', n);
        memcpy(url, head, sizeof head - 1);
        memcpy(url + n - (sizeof tail - 1), tail, sizeof tail - 1);
        enum eg_status st =
            eg_proxy_url_parse(eg_slice(url, n), room, &hop, &user, &password, &err);
        cr_assert_eq(st, n == 8192 ? EG_OK : EG_INVALID, "%zu: %s", n, err.text);
        free(url);
        free(room);
    }
}
