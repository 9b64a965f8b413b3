/* cred_redact.c - credentials taken out of texts: every form, any cut of a stream, and beside a search
 * that is written another way. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cred/redact.h"
#include "support/redact_naive.h"

static struct eg_vault *vault;
static struct eg_secret *secret[4];
static struct eg_redact_pair pair[4];
static unsigned pairs;

static void enter(void)
{
    cr_assert_geq(sodium_init(), 0);
    cr_assert_eq(eg_vault_new(&vault, 262144, false, NULL, NULL), EG_OK);
    pairs = 0;
}

static void leave(void)
{
    eg_vault_free(vault);
}

#define REDACT(name) Test(cred, redact_##name, .init = enter, .fini = leave)

static void add(const char *value, size_t n, const char *phantom)
{
    cr_assert_eq(eg_secret_new(vault, value, n, &secret[pairs], NULL), EG_OK);
    pair[pairs] = (struct eg_redact_pair){ secret[pairs], eg_slice_str(phantom) };
    pairs++;
}

static struct eg_redact_set *set_of(void)
{
    struct eg_redact_set *s = NULL;
    cr_assert_eq(eg_redact_set_new(vault, pair, pairs, &s, NULL), EG_OK);
    return s;
}

/* What comes out of a stream that is cut at `cuts` (ascending). */
static size_t streamed(struct eg_redact_set *s, const char *text, size_t n, const size_t *cuts,
                       unsigned count, char *out, unsigned *found)
{
    struct eg_redact r = { .set = NULL };
    size_t at = 0, len = 0;
    cr_assert_eq(eg_redact_begin(&r, s), EG_OK);
    for (unsigned i = 0; i <= count; i++) {
        size_t to = i < count ? cuts[i] : n, ready;
        char *piece = malloc(to - at + 1); /* of its own: a read outside shows */
        struct eg_slice held;
        memcpy(piece, text + at, to - at);
        eg_redact_feed(&r, piece, to - at, &held, &ready);
        cr_assert_leq(ready, to - at);
        if (held.n)
            memcpy(out + len, held.p, held.n);
        memcpy(out + len + held.n, piece, ready);
        len += held.n + ready;
        free(piece);
        at = to;
    }
    struct eg_slice rest = eg_redact_end(&r);
    if (rest.n)
        memcpy(out + len, rest.p, rest.n);
    *found = r.found;
    eg_redact_done(&r);
    return len + rest.n;
}

/* The text whole, byte by byte and in every two pieces gives `want`. */
static void expect(struct eg_redact_set *s, struct eg_slice text, struct eg_slice want,
                   unsigned times)
{
    char *out = malloc(text.n + 1);
    size_t *cuts = calloc(text.n + 1, sizeof *cuts);
    unsigned found;
    cr_assert_eq(text.n, want.n, "the test's own lengths: %.*s / %.*s", (int)text.n, text.p,
                 (int)want.n, want.p);
    memcpy(out, text.p, text.n);
    cr_expect_eq(eg_redact_text(s, out, text.n), times, "%.*s", (int)text.n, text.p);
    cr_expect(memcmp(out, want.p, want.n) == 0, "%.*s\n%.*s\n%.*s", (int)text.n, text.p,
              (int)text.n, out, (int)want.n, want.p);
    for (size_t i = 0; i < text.n; i++)
        cuts[i] = i;
    cr_expect_eq(streamed(s, text.p, text.n, cuts, (unsigned)text.n, out, &found), text.n);
    cr_expect(memcmp(out, want.p, want.n) == 0 && found == times, "byte by byte: %.*s", (int)text.n,
              out);
    for (size_t i = 0; i <= text.n; i++) {
        cr_expect_eq(streamed(s, text.p, text.n, &i, 1, out, &found), text.n);
        cr_expect(memcmp(out, want.p, want.n) == 0 && found == times, "cut at %zu: %.*s", i,
                  (int)text.n, out);
    }
    free(cuts);
    free(out);
}

#define S(x) EG_SLICE(x)

REDACT(short_values_are_passed_over)
{
    add("fifteen-bytes-!", 15, "fifteen-phantom");
    struct eg_redact_set *s = set_of();
    cr_expect(eg_redact_set_empty(s));
    expect(s, S("a fifteen-bytes-! b"), S("a fifteen-bytes-! b"), 0);
    eg_redact_set_unref(s);
    add("sixteen-bytes-ok", 16, "");
    s = set_of();
    cr_expect_not(eg_redact_set_empty(s));
    expect(s, S("a sixteen-bytes-ok b"), S("a **************** b"), 1);
    eg_redact_set_unref(s);
    cr_expect(eg_redact_set_empty(NULL));
    eg_redact_set_unref(NULL);
}

REDACT(no_values_are_fine)
{
    struct eg_redact_set *s = set_of();
    cr_expect(eg_redact_set_empty(s));
    expect(s, S("anything"), S("anything"), 0);
    eg_redact_set_unref(s);
}

/* In every form, between others; the phantom stands there in the same form. */
REDACT(every_form_of_a_value)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        { "sk-re/l+key=12345", "sk-phantomphantom" },
        { "sk-re%2Fl%2Bkey%3D12345", "sk-ph%61n%74omp%68antom" },
        { "sk-re%2fl%2bkey%3d12345", "sk-ph%61n%74omp%68antom" },
        { "sk%2Dre/l+key=12345", "sk%2Dphantomphantom" },
        { "sk-re\\u002fl\\u002Bkey\\u003d12345", "sk-ph\\u0061n\\u0074omp\\u0068antom" },
        /* two characters can't say "a" in JSON */
        { "sk-re\\/l+key=12345", "******************" },
        { "\\u0073k-re%2Fl+key=1234%35", "\\u0073k-ph%61ntomphanto%6D" },
        /* base64 of 0, 1, 2 bytes more before it: "sk-re/l+key=12345" */
        { "c2stcmUvbCtrZXk9MTIzNDU=", "c2stcGhhbnRvbXBoYW50b20=" },
        { "LHNrLXJlL2wra2V5PTEyMzQ1", "LHNrLXBoYW50b21waGFudG9t" },
        { "LCxzay1yZS9sK2tleT0xMjM0NQ==", "LCxzay1waGFudG9tcGhhbnRvbQ==" },
        /* ... with a byte behind it, whose bits stay */
        { "c2stcmUvbCtrZXk9MTIzNDV+", "c2stcGhhbnRvbXBoYW50b21+" },
        { "LCxzay1yZS9sK2tleT0xMjM0Nf8", "LCxzay1waGFudG9tcGhhbnRvbf8" },
        /* ... in lines, and escaped */
        { "c2stcmUv\nbCtrZXk9\r\nMTIzNDU=", "c2stcGhh\nbnRvbXBo\r\nYW50b20=" },
        { "c2stcmUv\\nbCtrZXk9\\r\\nMTIzNDU=", "c2stcGhh\\nbnRvbXBo\\r\\nYW50b20=" },
        { "c2stcmUvbCtrZXk9MTIzNDU%3D", "c2stcGhhbnRvbXBoYW50b20%3D" },
    };
    add("sk-re/l+key=12345", 17, "sk-phantomphantom");
    struct eg_redact_set *s = set_of();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[256], want[256];
        expect(s, eg_slice_str(rows[i].text), eg_slice_str(rows[i].want), 1);
        int n = snprintf(text, sizeof text, "{\"x\": \"%s\", \"%s\"}", rows[i].text, rows[i].text);
        snprintf(want, sizeof want, "{\"x\": \"%s\", \"%s\"}", rows[i].want, rows[i].want);
        expect(s, eg_slice(text, (size_t)n), eg_slice_str(want), 2);
    }
    eg_redact_set_unref(s);
}

REDACT(base64_alphabets)
{
    /* ??? and >>> are digits 62 and 63 in part */
    add("?\?\?>>>?\?\?>>>?\?\?>>>", 18, "");
    struct eg_redact_set *s = set_of();
    expect(s, S("Pz8/Pj4+Pz8/Pj4+Pz8/Pj4+"), S("************************"), 1);
    expect(s, S("Pz8_Pj4-Pz8_Pj4-Pz8_Pj4-"), S("************************"), 1);
    expect(s, S("Pz8\\/Pj4+Pz8\\/Pj4+Pz8\\/Pj4+"), S("***************************"), 1);
    expect(s, S("Pz8%2FPj4%2bPz8%2FPj4+Pz8/Pj4+"), S("******************************"), 1);
    eg_redact_set_unref(s);
    pairs = 0;
    add("aaaaaaaaaaaaaaaaaa", 18, "?\?\?>>>?\?\?>>>?\?\?>>>");
    s = set_of();
    expect(s, S("YWFhYWFhYWFhYWFhYWFhYWFh"), S("Pz8/Pj4+Pz8/Pj4+Pz8/Pj4+"), 1);
    eg_redact_set_unref(s);
}

REDACT(not_quite)
{
    static const char *const texts[] = {
        "sk-re/l+key=1234",
        "sk-re/l+key=12346",
        "k-re/l+key=12345",
        "sk-re%2Gl+key=12345",
        "sk-re%2 l+key=12345",
        "sk-re\\u012fl+key=12345",
        "sk-re\\xl+key=12345",
        "SK-RE/L+KEY=12345",
        "sk-re/l+key=1234%3",
        "c2stcmUvbCtrZXk9MTIzND\n\nU=",
        "%",
        "\\",
        "",
    };
    add("sk-re/l+key=12345", 17, "");
    struct eg_redact_set *s = set_of();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect(s, eg_slice_str(texts[i]), eg_slice_str(texts[i]), 0);
    expect(s, S("xk-sk-sk-re/l+key=12345"), S("xk-sk-*****************"), 1);
    expect(s, S("%sk-re/l+key=12345\\sk-re/l+key=12345"),
           S("%*****************\\*****************"), 2);
    eg_redact_set_unref(s);
}

/* Escapes of the value's own: as they are, and escaped once more. */
REDACT(values_with_percent_signs_and_backslashes)
{
    add("a%41b\\u0041c\"/%zz", 17, "");
    struct eg_redact_set *s = set_of();
    expect(s, S("a%41b\\u0041c\"/%zz"), S("*****************"), 1);
    expect(s, S("a%2541b%5Cu0041c%22%2F%25zz"), S("***************************"), 1);
    expect(s, S("a%41b\\\\u0041c\\\"\\/%zz"), S("********************"), 1);
    expect(s, S("a\\u002541b\\u005cu0041c\\u0022\\u002f\\u0025zz"),
           S("******************************************"), 1);
    expect(s, S("aAbAc\"/%zz"), S("aAbAc\"/%zz"), 0);
    eg_redact_set_unref(s);
    pairs = 0;
    add("two words and a + sign", 22, "");
    s = set_of();
    expect(s, S("q=two+words+and+a+%2B+sign&"), S("q=************************&"), 1);
    expect(s, S("q=two words and a + sign&"), S("q=**********************&"), 1);
    eg_redact_set_unref(s);
    pairs = 0;
    add("-----BEGIN KEY-----\nMIIE\tvQ\n-----END KEY-----\n", 46, "");
    s = set_of();
    expect(s, S("\"-----BEGIN KEY-----\\nMIIE\\tvQ\\n-----END KEY-----\\n\""),
           S("\"**************************************************\""), 1);
    eg_redact_set_unref(s);
}

REDACT(values_in_values_and_beside_each_other)
{
    add("user:password-password", 22, "");
    add("password-password", 17, "PHANTOM+PHANTOM:)");
    add("password-password-and-more", 26, "");
    struct eg_redact_set *s = set_of();
    expect(s, S("user:password-password"), S("**********************"), 1);
    expect(s, S("xser:password-password"), S("xser:PHANTOM+PHANTOM:)"), 1);
    expect(s, S("password-password-and-more"), S("**************************"), 1);
    expect(s, S("password-password-and-mord"), S("PHANTOM+PHANTOM:)-and-mord"), 1);
    expect(s, S("password-password-and-mor"), S("PHANTOM+PHANTOM:)-and-mor"), 1);
    expect(s, S("password-passwordpassword-password"), S("PHANTOM+PHANTOM:)PHANTOM+PHANTOM:)"), 2);
    expect(s, S("password%2Dpassword"), S("*******************"), 1); /* "+" is another there */
    eg_redact_set_unref(s);
}

/* An event goes out at once: only what may begin a needle stays. */
REDACT(nothing_is_held_that_begins_no_needle)
{
    static const struct {
        const char *text;
        size_t held;
    } rows[] = {
        { "data: {\"x\":1}\n\n", 0 },
        { "data: sk-re", 5 },
        { "data: sk-rx", 0 },
        { "data: s", 1 },
        { "100%", 1 },
        { "100%7", 2 },
        { "100%9", 0 },
        { "100%73k", 4 },
        { "a\\", 1 },
        { "a\\u", 2 },
        { "a\\u00", 4 },
        { "a\\u01", 0 },
        { "a\\n", 0 },
        { "a c2stcmU", 7 },
        { "a c2stcmU\n", 8 },
        { "a LX", 0 },
        { "sk-sk-", 3 },
        { "\xf0\x9f\x98\x80", 0 },
    };
    add("sk-re/l+key=12345", 17, "");
    struct eg_redact_set *s = set_of();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct eg_redact r = { .set = NULL };
        struct eg_slice held;
        size_t ready, n = strlen(rows[i].text);
        char text[64];
        memcpy(text, rows[i].text, n);
        cr_assert_eq(eg_redact_begin(&r, s), EG_OK);
        eg_redact_feed(&r, text, n, &held, &ready);
        cr_expect_eq(n - ready, rows[i].held, "%s: %zu held", rows[i].text, n - ready);
        eg_redact_done(&r);
    }
    eg_redact_set_unref(s);
}

/* A set outlives the secrets and the phantom that it was made of. */
REDACT(sets_borrow_nothing)
{
    char phantom[] = "sk-phantomphantom";
    add("sk-re/l+key=12345", 17, phantom);
    struct eg_redact_set *s = set_of();
    struct eg_redact r = { .set = NULL };
    cr_assert_eq(eg_redact_begin(&r, s), EG_OK);
    eg_secret_free(secret[0]);
    memset(phantom, 'x', sizeof phantom);
    eg_redact_set_unref(s);
    char text[] = "sk-re/l+key=12345";
    struct eg_slice held;
    size_t ready;
    eg_redact_feed(&r, text, sizeof text - 1, &held, &ready);
    cr_expect_eq(ready, sizeof text - 1);
    cr_expect_str_eq(text, "sk-phantomphantom");
    cr_expect_eq(r.found, 1);
    eg_redact_done(&r);
}

REDACT(a_full_vault_and_too_many_values_are_told)
{
    struct eg_vault *small;
    struct eg_redact_set *s = NULL;
    cr_assert_eq(eg_vault_new(&small, 32, false, NULL, NULL), EG_OK);
    add("sk-re/l+key=1234567890-and-so-on-and-on", 39, "");
    cr_expect_eq(eg_redact_set_new(small, pair, 1, &s, NULL), EG_TOO_BIG);
    cr_expect_null(s);
    eg_vault_free(small);
    struct eg_redact_pair many[65];
    for (unsigned i = 0; i < 65; i++)
        many[i] = pair[0];
    cr_expect_eq(eg_redact_set_new(vault, many, 65, &s, NULL), EG_TOO_BIG);
    cr_expect_eq(eg_redact_set_new(vault, many, 64, &s, NULL), EG_OK);
    eg_redact_set_unref(s);
}

/* ---- beside the naive search ---- */

static uint32_t seed;

static uint32_t rnd(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void one_case(unsigned number)
{
    static const char *const alphabets[] = { "ab", "aA%4/\\\"", "sk-+/ Z", "%25\\u0" };
    char value[3][64], phantom[3][64], *text = malloc(4096), *out = malloc(4096);
    struct naive_pair np[3];
    size_t cuts[64], n;
    seed = number * 2654435761u + 1;
    unsigned count = 1 + rnd(3), found;
    const char *alphabet = alphabets[number % 4];
    for (unsigned i = 0; i < count; i++) {
        size_t len = 16 + rnd(20);
        for (size_t k = 0; k < len; k++) {
            value[i][k] = alphabet[rnd((uint32_t)strlen(alphabet))];
            phantom[i][k] = "pqR-_+/\"%"[rnd(rnd(3) ? 3 : 9)];
        }
        size_t phantom_n = rnd(4) ? len : rnd(20);
        cr_assert_eq(eg_secret_new(vault, value[i], len, &secret[i], NULL), EG_OK);
        pair[i] = (struct eg_redact_pair){ secret[i], eg_slice(phantom[i], phantom_n) };
        np[i] = (struct naive_pair){ eg_slice(value[i], len), eg_slice(phantom[i], phantom_n) };
    }
    struct eg_redact_set *s = NULL;
    cr_assert_eq(eg_redact_set_new(vault, pair, count, &s, NULL), EG_OK);
    n = naive_text(np, count, rnd, text, 2048);
    char *want = malloc(n + 1);
    memcpy(want, text, n);
    unsigned times = naive_redact(np, count, want, n);
    memcpy(out, text, n);
    cr_expect_eq(eg_redact_text(s, out, n), times, "case %u", number);
    cr_expect(memcmp(out, want, n) == 0, "case %u\n%.*s\n%.*s\n%.*s", number, (int)n, text, (int)n,
              out, (int)n, want);
    for (unsigned round = 0; round < 4; round++) {
        unsigned m = 0;
        for (size_t at = 0; m < 64 && at < n; m++) {
            at += rnd(round == 0 ? 2 : 60);
            cuts[m] = at < n ? at : n;
        }
        cr_expect_eq(streamed(s, text, n, cuts, m, out, &found), n);
        cr_expect(memcmp(out, want, n) == 0 && found == times, "case %u in pieces", number);
    }
    eg_redact_set_unref(s);
    for (unsigned i = 0; i < count; i++)
        eg_secret_free(secret[i]);
    free(want);
    free(text);
    free(out);
}

REDACT(finds_what_a_naive_search_finds)
{
    for (unsigned i = 0; i < 1500; i++)
        one_case(i);
}

/* Long values, whose escaped form is held over many pieces. */
REDACT(long_values)
{
    enum { LONG = 16384 };
    char *value = malloc(LONG), *text = malloc(6 * LONG + 2), *want = malloc(6 * LONG + 2);
    for (size_t i = 0; i < LONG; i++)
        value[i] = (char)('!' + i * i % 90);
    cr_assert_eq(eg_secret_new(vault, value, LONG, &secret[0], NULL), EG_OK);
    pair[0] = (struct eg_redact_pair){ secret[0], EG_SLICE_NONE };
    pairs = 1;
    struct eg_redact_set *s = set_of();
    for (size_t i = 0; i < LONG; i++)
        snprintf(text + 6 * i, 7, "\\u%04x", value[i]);
    memset(want, '*', 6 * LONG);
    size_t cuts[48];
    unsigned found;
    char *out = malloc(6 * LONG);
    for (size_t i = 0; i < 48; i++)
        cuts[i] = 2000 * (i + 1);
    cr_expect_eq(streamed(s, text, 6 * LONG, cuts, 48, out, &found), 6 * LONG);
    cr_expect(memcmp(out, want, 6 * LONG) == 0);
    cr_expect_eq(found, 1);
    eg_redact_set_unref(s);
    free(out);
    free(want);
    free(text);
    free(value);
}
