/* proxy_route_slots.c - where phantoms come in, what of a request is left for the origin, and secrets that are where they do not belong. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "proxy/rewrite.h"
#include "proxy/slots.h"
#include "proxy/tripwire.h"

#define PHANTOM "ph-AAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define OTHER   "ph-BBBBBBBBBBBBBBBBBBBBBBBBBBBB" /* of the other session, for the same service */
#define GONE    "ph-CCCCCCCCCCCCCCCCCCCCCCCCCCCC" /* of a session that is over */
#define FOREIGN "ph-DDDDDDDDDDDDDDDDDDDDDDDDDDDD" /* of another service */
#define TOKEN   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static struct eg_sessions *sessions;

static void add(const char *id, const char *token, uint64_t expires, const char *phantom)
{
    struct eg_session_phantom phantoms[2] = { { "svc", phantom }, { "else", FOREIGN } };
    struct eg_session_spec spec = {
        id, id, token, expires, phantoms, strcmp(id, "a") == 0 ? 2 : 1
    };
    cr_assert_eq(eg_sessions_put(sessions, &spec, NULL), EG_OK);
}

static void enter(void)
{
    char token[EG_TOKEN_HEX + 1];
    cr_assert_geq(sodium_init(), 0);
    cr_assert_eq(eg_sessions_new(&sessions), EG_OK);
    add("a", TOKEN, 0, PHANTOM);
    eg_token_make(token);
    add("b", token, 0, OTHER);
    eg_token_make(token);
    add("c", token, 1, GONE);
}

static void leave(void)
{
    eg_sessions_free(sessions);
}

#define SLOTS(name) Test(proxy, name, .init = enter, .fini = leave)

static struct eg_service service_with(const char *const *slots)
{
    struct eg_service s = { .name = EG_SLICE("svc"), .credential = EG_SLICE("key") };
    static const struct {
        const char *prefix;
        enum eg_slot_kind kind;
    } kinds[] = { { "bearer", EG_SLOT_BEARER },        { "header:", EG_SLOT_HEADER },
                  { "basic", EG_SLOT_BASIC_PASSWORD }, { "query:", EG_SLOT_QUERY },
                  { "cookie:", EG_SLOT_COOKIE },       { "path:", EG_SLOT_PATH } };
    for (; *slots; slots++) {
        struct eg_slot *slot = &s.accept[s.accept_count++];
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
            if (strncmp(*slots, kinds[k].prefix, strlen(kinds[k].prefix)) == 0) {
                slot->kind = kinds[k].kind;
                slot->name = eg_slice_str(*slots + strlen(kinds[k].prefix));
                slot->segment = slot->kind == EG_SLOT_PATH ? (unsigned)atoi(slot->name.p) : 0;
            }
    }
    return s;
}
#define SERVICE(...) service_with((const char *const[]){ __VA_ARGS__, NULL })

/* "Name: value" lines. */
static struct eg_head head_of(const char *const *lines, struct eg_field *fields)
{
    struct eg_head head = { .method = EG_SLICE("GET"), .target = EG_SLICE("/"), .fields = fields };
    for (; *lines; lines++) {
        const char *colon = strchr(*lines, ':');
        fields[head.field_count++] = (struct eg_field){ eg_slice(*lines, (size_t)(colon - *lines)),
                                                        eg_slice_str(colon + 2) };
    }
    return head;
}

struct row {
    const char *fields[4], *path, *query;
    enum eg_status want;
};

static void read_rows(const struct eg_service *service, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct eg_field fields[4];
        struct eg_head head = head_of(rows[i].fields, fields);
        struct eg_session *session = NULL;
        enum eg_status got = eg_slots_read(sessions, service, &head,
                                           eg_slice_str(rows[i].path ? rows[i].path : "/x"),
                                           eg_slice_str(rows[i].query), &session);
        cr_expect_eq(got, rows[i].want, "row %zu: %s", i, egress_status_name(got));
        cr_expect_eq(session != NULL, rows[i].want == EG_OK, "row %zu", i);
    }
}
#define READ(service, rows) read_rows((service), (rows), sizeof(rows) / sizeof(rows)[0])

SLOTS(slots_in_fields)
{
    struct eg_service s = SERVICE("bearer", "header:x-api-key", "basic");
    char basic[200] = "Authorization: Basic ", user[200] = "Authorization: Basic ";
    sodium_bin2base64(basic + 21, 170, (const unsigned char *)"u:" PHANTOM, strlen(PHANTOM) + 2,
                      sodium_base64_VARIANT_ORIGINAL);
    sodium_bin2base64(user + 21, 170, (const unsigned char *)PHANTOM ":u", strlen(PHANTOM) + 2,
                      sodium_base64_VARIANT_ORIGINAL);
    const struct row rows[] = {
        { { NULL }, .want = EG_PHANTOM_MISSING },
        { { "Authorization: Bearer " PHANTOM }, .want = EG_OK },
        { { "authorization: bearer  " PHANTOM }, .want = EG_OK },
        { { "X-API-Key: " PHANTOM }, .want = EG_OK },
        { { basic }, .want = EG_OK },
        { { "Authorization: Bearer " PHANTOM, "x-api-key: " PHANTOM }, .want = EG_OK },
        { { user }, .want = EG_PHANTOM_INVALID },
        { { "Authorization: " PHANTOM }, .want = EG_PHANTOM_INVALID },
        { { "Authorization: Bearer " PHANTOM " " PHANTOM }, .want = EG_PHANTOM_INVALID },
        { { "Authorization: Bearer " PHANTOM "," }, .want = EG_PHANTOM_INVALID },
        { { "Authorization: Bearer " PHANTOM, "x-api-key: else" }, .want = EG_PHANTOM_INVALID },
        { { "Authorization: Bearer " PHANTOM, "x-api-key: " OTHER }, .want = EG_PHANTOM_INVALID },
        { { "Authorization: Bearer " PHANTOM, "Authorization: Bearer x" },
          .want = EG_PHANTOM_INVALID },
        { { "Authorization: Bearer " GONE }, .want = EG_PHANTOM_INVALID },
        { { "Authorization: Bearer " FOREIGN }, .want = EG_PHANTOM_INVALID },
        { { "Authorization: Bearer " TOKEN }, .want = EG_PHANTOM_INVALID },
        { { "x-api-key: " }, .want = EG_PHANTOM_INVALID },
        { { "x-other: " PHANTOM }, .want = EG_PHANTOM_MISSING },
        { { NULL }, .query = "key=" PHANTOM, .want = EG_PHANTOM_MISSING },
    };
    READ(&s, rows);
}

SLOTS(slots_in_query_and_cookie)
{
    struct eg_service s = SERVICE("query:key", "cookie:sid");
    const struct row rows[] = {
        { { NULL }, .query = "a=1", .want = EG_PHANTOM_MISSING },
        { { NULL }, .query = "key=" PHANTOM, .want = EG_OK },
        { { NULL }, .query = "a=1&key=" PHANTOM "&b", .want = EG_OK },
        { { NULL }, .query = "k%65y=%70h-AAAAAAAAAAAAAAAAAAAAAAAAAAAA", .want = EG_OK },
        { { NULL }, .query = "key=" PHANTOM "&key=" PHANTOM, .want = EG_OK },
        { { NULL }, .query = "key=" PHANTOM "&k%65y=mine", .want = EG_PHANTOM_INVALID },
        { { NULL }, .query = "key=" PHANTOM "&key", .want = EG_PHANTOM_INVALID },
        { { NULL }, .query = "key=" PHANTOM "x", .want = EG_PHANTOM_INVALID },
        { { NULL }, .query = "KEY=" PHANTOM, .want = EG_PHANTOM_MISSING },
        { { NULL }, .query = "key=" GONE, .want = EG_PHANTOM_INVALID },
        { { "Cookie: sid=" PHANTOM }, .want = EG_OK },
        { { "Cookie: a=b; sid=" PHANTOM "; c=d" }, .want = EG_OK },
        { { "Cookie: a=b;sid=\"" PHANTOM "\"" }, .want = EG_OK },
        { { "Cookie: a=b", "Cookie: sid=" PHANTOM }, .want = EG_OK },
        { { "Cookie: SID=" PHANTOM }, .want = EG_PHANTOM_MISSING },
        { { "Cookie: sid=x; sid=" PHANTOM }, .want = EG_PHANTOM_INVALID },
        { { "Cookie: sid=" PHANTOM }, .query = "key=" OTHER, .want = EG_PHANTOM_INVALID },
        { { "Authorization: Bearer " PHANTOM }, .want = EG_PHANTOM_MISSING },
    };
    READ(&s, rows);
}

SLOTS(slots_in_the_path)
{
    struct eg_service plain = SERVICE("path:2"), bot = SERVICE("path:2"), third = SERVICE("path:3");
    bot.write[bot.write_count++] =
        (struct eg_write){ .kind = EG_WRITE_PATH, .text = EG_SLICE("/bot{}/"), .credential = true };
    const struct row plains[] = {
        { { NULL }, .path = "/" PHANTOM "/x", .want = EG_OK },
        { { NULL }, .path = "/" PHANTOM, .want = EG_OK },
        { { NULL }, .path = "/" PHANTOM "/", .want = EG_OK },
        { { NULL }, .path = "/bot" PHANTOM "/x", .want = EG_PHANTOM_INVALID },
        { { NULL }, .path = "/x/" PHANTOM, .want = EG_PHANTOM_INVALID },
        { { NULL }, .path = "", .want = EG_PHANTOM_MISSING },
        { { NULL }, .path = "/", .want = EG_PHANTOM_MISSING },
    };
    const struct row bots[] = {
        { { NULL }, .path = "/bot" PHANTOM "/x", .want = EG_OK },
        { { NULL }, .path = "/" PHANTOM "/x", .want = EG_OK },
        { { NULL }, .path = "/bot" GONE "/x", .want = EG_PHANTOM_INVALID },
        { { NULL }, .path = "/bot/x", .want = EG_PHANTOM_INVALID },
        { { NULL }, .path = "/bot" PHANTOM "x/x", .want = EG_PHANTOM_INVALID },
    };
    const struct row thirds[] = {
        { { NULL }, .path = "/a/" PHANTOM "/x", .want = EG_OK },
        { { NULL }, .path = "/a", .want = EG_PHANTOM_MISSING },
        { { NULL }, .path = "/" PHANTOM "/a", .want = EG_PHANTOM_INVALID },
    };
    READ(&plain, plains);
    READ(&bot, bots);
    READ(&third, thirds);
}

static void expect_text(struct eg_buf *b, const char *want)
{
    struct eg_slice got = eg_buf_slice(b);
    cr_expect(eg_slice_eq(got, eg_slice_str(want)), "\"%.*s\" not \"%s\"", (int)got.n,
              got.n ? got.p : "", want);
    eg_buf_reset(b);
}

SLOTS(the_segment_of_the_phantom_is_left_out)
{
    static const struct {
        const char *path, *second, *third;
    } rows[] = {
        { "/A/b/c", "/b/c", "/A/c" },
        { "/A", "", "/A" },
        { "/A/", "/", "/A/" },
        { "", "", "" },
        { "/", "/", "/" },
        { "/A/b", "/b", "/A" },
    };
    struct eg_service second = SERVICE("path:2"), third = SERVICE("path:3"),
                      none = SERVICE("bearer");
    struct eg_buf out;
    eg_buf_init(&out, 1000);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_assert_eq(eg_slots_path(&second, eg_slice_str(rows[i].path), &out), EG_OK);
        expect_text(&out, rows[i].second);
        cr_assert_eq(eg_slots_path(&third, eg_slice_str(rows[i].path), &out), EG_OK);
        expect_text(&out, rows[i].third);
        cr_assert_eq(eg_slots_path(&none, eg_slice_str(rows[i].path), &out), EG_OK);
        expect_text(&out, rows[i].path);
    }
    eg_buf_done(&out);
}

SLOTS(query_and_cookies_keep_what_is_the_childs_own)
{
    static const char *const queries[][2] = {
        { "", "" },
        { "a=1", "a=1" },
        { "key=x", "" },
        { "a=1&key=x&b=2", "a=1&b=2" },
        { "key=x&a=%2F&&b", "a=%2F&&b" },
        { "k%65y=x&%6Bey&keys=1&KEY=2", "keys=1&KEY=2" },
        { "w=child&s=gone", "" },
        { "a=key=x", "a=key=x" },
    };
    static const char *const cookies[][2] = {
        { "Cookie: a=b; sid=x; c=d", "a=b; c=d" },
        { "Cookie: sid=x", "" },
        { "Cookie: a=b;c=\"d e\"", "a=b; c=\"d e\"" },
        { "Cookie: wid=child; gid=1", "" },
        { "Cookie: ; =v; n", "=v; n" },
    };
    struct eg_service s = SERVICE("query:key", "cookie:sid");
    s.write[0] = (struct eg_write){ .kind = EG_WRITE_QUERY, .name = EG_SLICE("w") };
    s.write[1] = (struct eg_write){ .kind = EG_WRITE_COOKIE, .name = EG_SLICE("wid") };
    s.write_count = 2;
    s.strip_slots[0] = (struct eg_slot){ .kind = EG_SLOT_QUERY, .name = EG_SLICE("s") };
    s.strip_slots[1] = (struct eg_slot){ .kind = EG_SLOT_COOKIE, .name = EG_SLICE("gid") };
    s.strip_slot_count = 2;
    struct eg_buf out;
    eg_buf_init(&out, 1000);
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        cr_assert_eq(eg_rewrite_query(&s, eg_slice_str(queries[i][0]), &out), EG_OK);
        expect_text(&out, queries[i][1]);
    }
    for (size_t i = 0; i < sizeof cookies / sizeof *cookies; i++) {
        struct eg_field fields[1];
        struct eg_head head = head_of((const char *const[]){ cookies[i][0], NULL }, fields);
        cr_assert_eq(eg_rewrite_cookies(&s, &head, &out), EG_OK);
        expect_text(&out, cookies[i][1]);
    }
    eg_buf_done(&out);
}

/* ---- the tripwire ---- */

static bool count_hit(void *ctx, void *owner, int index)
{
    unsigned *hits = ctx;
    cr_expect(owner == (void *)&sessions && index >= 0);
    hits[index]++;
    return false;
}

SLOTS(tripwire_finds_each_secret_at_each_place)
{
    struct eg_tripwire *t = NULL;
    char secrets[3][40], text[256];
    unsigned hits[3] = { 0 };
    snprintf(secrets[0], 40, "sk-1234567890abcdef"); /* 19 bytes */
    snprintf(secrets[1], 40, "sk-1234567890abcdeg"); /* one letter is another */
    snprintf(secrets[2], 40, "0123456789abcdef");    /* 16, the shortest */
    cr_assert_eq(eg_tripwire_new(&t), EG_OK);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(eg_tripwire_add(t, eg_slice_str(secrets[i]), &sessions, i), EG_OK);
    for (size_t at = 0; at < 40; at++)
        for (int i = 0; i < 3; i++) {
            memset(text, 'x', sizeof text);
            memcpy(text + at, secrets[i], strlen(secrets[i]));
            memset(hits, 0, sizeof hits);
            cr_expect_not(
                eg_tripwire_scan(t, eg_slice(text, at + strlen(secrets[i])), count_hit, hits));
            for (int k = 0; k < 3; k++)
                cr_expect_eq(hits[k], k == i, "secret %d at %zu, hit %d", i, at, k);
            memset(hits, 0, sizeof hits); /* all but its last byte is nothing */
            (void)eg_tripwire_scan(t, eg_slice(text, at + strlen(secrets[i]) - 1), count_hit, hits);
            cr_expect_eq(hits[0] + hits[1] + hits[2], 0);
        }
    eg_tripwire_drop(t, eg_slice_str(secrets[0]), &sessions, 0);
    memset(hits, 0, sizeof hits);
    (void)eg_tripwire_scan(t, EG_SLICE("sk-1234567890abcdef sk-1234567890abcdeg"), count_hit, hits);
    cr_expect(hits[0] == 0 && hits[1] == 1, "%u %u", hits[0], hits[1]);
    eg_tripwire_free(t);
}

static bool any_hit(void *ctx, struct eg_session *session, int index)
{
    (void)session;
    *(int *)ctx = index;
    return true;
}

static bool seen(const char *text, int index)
{
    int found = -2;
    return eg_sessions_scan(sessions, eg_slice_str(text), any_hit, &found) && found == index;
}

SLOTS(tripwire_decodes_percents_and_crosses_windows)
{
    cr_expect(seen("q=" PHANTOM, 0) && seen("[" FOREIGN "]", 1) && seen(GONE, 0) &&
              seen(TOKEN, -1));
    cr_expect(seen("%70h%2DAAAAAAAAAAAAAAAAAAAAAAAAAAA%41", 0));
    cr_expect_not(seen("ph-AAAAAAAAAAAAAAAAAAAAAAAAAAA", 0), "one letter is missing");
    cr_expect(seen("%2570h-AAAAAAAAAAAAAAAAAAAAAAAAAAAA%", 0), "encoded twice");
    cr_expect(seen("%252570h%252dAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 0), "three times");
    char *big = malloc(9000);
    cr_assert_not_null(big);
    for (size_t at = 4000; at < 4200;
         at += 7) { /* one escape makes it decode; the window is 4096 */
        memset(big, 'y', 9000);
        memcpy(big, "%41", 3);
        memcpy(big + at, "%70" PHANTOM, strlen(PHANTOM) + 3);
        memcpy(big + at, "%70h%2dAAAA", 11);
        memset(big + at + 11, 'A', 24);
        big[8999] = 0;
        cr_expect(seen(big, 0), "at %zu", at);
    }
    free(big);
    cr_assert_not_null(eg_sessions_revoke(sessions, "a"));
    cr_expect(seen(PHANTOM, 0), "one of a revoked session is still a secret");
}

SLOTS(tripwire_knows_hundreds_of_phantoms)
{
    static char phantoms[128][40];
    struct eg_session_phantom list[128];
    char token[EG_TOKEN_HEX + 1];
    for (unsigned i = 0; i < 128; i++) {
        snprintf(phantoms[i], sizeof phantoms[i], "sk-a-prefix-they-share-%08u", i * 7919);
        list[i] = (struct eg_session_phantom){ "svc", phantoms[i] };
    }
    eg_token_make(token);
    struct eg_session_spec spec = { "many", "many", token, 0, list, 128 };
    cr_assert_eq(eg_sessions_put(sessions, &spec, NULL), EG_OK);
    for (unsigned i = 0; i < 128; i++)
        cr_expect(seen(phantoms[i], (int)i));
    spec.phantom_count = 0;
    cr_assert_eq(eg_sessions_put(sessions, &spec, NULL), EG_OK); /* in its place, without them */
    for (unsigned i = 0; i < 128; i++)
        cr_expect_not(seen(phantoms[i], (int)i));
}
