/* redact.c - a hostile origin gives the real credential back in every way that it can think of; the child gets none of it. What is judged is what a
 * child could get out of the answer by decoding it, not what we would have written. An engine and the TLS origin on one loop; the last test asks the
 * programs. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/swap.h"

static const char POLICY[] = EG_SWAP_SERVICE(", trailers: [X-Checksum]");
static const char OFF[] = EG_SWAP_SERVICE(", trailers: [X-Checksum], redact: false");

enum { PIECE = 12 }; /* so much of it in a row is a leak */

/* ---- what a child could find ---- */

static bool holds_piece(const char *p, size_t n, const char *real)
{
    for (size_t i = 0; i + PIECE <= strlen(real); i++)
        if (memmem(p, n, real + i, PIECE))
            return true;
    return false;
}

static int hex(char c)
{
    return isxdigit((unsigned char)c) ? (isdigit((unsigned char)c) ? c - '0' : (c | 32) - 'a' + 10)
                                      : -1;
}

/* Percent-encoding and JSON's escapes, undone. */
static bool holds_escaped(const char *p, size_t n, const char *real)
{
    char *plain = malloc(n + 1);
    bool found = false;
    for (unsigned json = 0; json < 2 && !found; json++) {
        size_t k = 0;
        for (size_t i = 0; i < n; i++) {
            if (!json && p[i] == '%' && i + 2 < n && hex(p[i + 1]) >= 0 && hex(p[i + 2]) >= 0) {
                plain[k++] = (char)(hex(p[i + 1]) * 16 + hex(p[i + 2]));
                i += 2;
            } else if (json && p[i] == '\\' && i + 5 < n && p[i + 1] == 'u' && p[i + 2] == '0' &&
                       p[i + 3] == '0' && hex(p[i + 4]) >= 0 && hex(p[i + 5]) >= 0) {
                plain[k++] = (char)(hex(p[i + 4]) * 16 + hex(p[i + 5]));
                i += 5;
            } else if (json && p[i] == '\\' && i + 1 < n) {
                plain[k++] = p[++i];
            } else {
                plain[k++] = p[i];
            }
        }
        found = holds_piece(plain, k, real);
    }
    free(plain);
    return found;
}

static bool is_base64(char c)
{
    return isalnum((unsigned char)c) || strchr("+/-_", c);
}

/* Every run of base64's characters, from each of four starts. */
static bool holds_base64(const char *p, size_t n, const char *real)
{
    char *text = malloc(n + 1);
    unsigned char *bytes = malloc(n + 1);
    bool found = false;
    for (size_t i = 0; i < n && !found; i++) {
        size_t run = 0, got = 0;
        while (i + run < n && p[i + run] && is_base64(p[i + run]))
            run++;
        for (size_t start = 0; start < 4 && start + 16 <= run && !found; start++) {
            size_t k = (run - start) / 4 * 4;
            for (size_t j = 0; j < k; j++) {
                char c = p[i + start + j];
                text[j] = (char)(c == '-' ? '+' : c == '_' ? '/' : c);
            }
            if (sodium_base642bin(bytes, n + 1, text, k, NULL, &got, NULL,
                                  sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0)
                found = holds_piece((char *)bytes, got, real);
        }
        i += run;
    }
    free(text);
    free(bytes);
    return found;
}

/* The answer with its chunks taken apart: a copy, as long or shorter. */
static size_t unchunk(const char *answer, size_t n, char *out)
{
    const char *body =
        strstr(answer, "Transfer-Encoding: chunked") ? strstr(answer, "\r\n\r\n") : NULL;
    size_t k = body ? (size_t)(body + 4 - answer) : n;
    memcpy(out, answer, k);
    for (const char *p = answer + k; body && p < answer + n;) {
        char *end;
        size_t size = strtoul(p, &end, 16);
        p = end + 2;
        if (size == 0) {
            memcpy(out + k, p, (size_t)(answer + n - p));
            return k + (size_t)(answer + n - p);
        }
        memcpy(out + k, p, size);
        k += size;
        p += size + 2;
    }
    return k;
}

static bool leaks(const char *answer, size_t n, const char *real)
{
    char *flat = malloc(n + 1);
    size_t k = unchunk(answer, n, flat);
    bool found = holds_piece(answer, n, real) || holds_piece(flat, k, real) ||
                 holds_escaped(flat, k, real) || holds_base64(flat, k, real);
    free(flat);
    return found;
}

/* ---- ways ---- */

static const char *const places[] = { "body",     "chunks",  "close",  "events", "error",
                                      "reason",   "field",   "cookie", "name",   "location",
                                      "redirect", "interim", "trailer" };
static const char *const forms[] = { "plain",       "base64-0",      "base64-1",    "base64-2",
                                     "base64url-0", "base64url-1",   "base64url-2", "basic",
                                     "percent",     "percent-lower", "json",        "json-slash" };
enum { PLACES = sizeof places / sizeof places[0], FORMS = sizeof forms / sizeof forms[0] };

/* What can't stand in a field's name at all. */
static bool possible(unsigned place, unsigned form)
{
    return strcmp(places[place], "name") != 0 || strncmp(forms[form], "base64url", 9) == 0 ||
           strncmp(forms[form], "percent", 7) == 0;
}

static char *ask(struct eg_swap *s, const char *path, size_t *n)
{
    return eg_swap_rest(s, eg_swap_send(s, "GET", path, "Connection: close\r\n", "", 0), n);
}

static unsigned try_all(struct eg_swap *s, bool *leaked, unsigned *lost)
{
    unsigned ways = 0;
    *lost = 0;
    *leaked = true;
    for (unsigned p = 0; p < PLACES; p++)
        for (unsigned f = 0; f < FORMS; f++) {
            char path[100];
            size_t n = 0;
            if (!possible(p, f))
                continue;
            snprintf(path, sizeof path, "/api/leak/%s/%s", places[p], forms[f]);
            char *answer = ask(s, path, &n);
            bool found = leaks(answer, n, EG_SWAP_REAL);
            *lost += found;
            *leaked = *leaked && found;
            ways++;
            cr_expect(strncmp(answer, "HTTP/1.1 ", 9) == 0 && !strstr(answer, "X-Egress-Reason"),
                      "%s: %s", path, answer);
            if (found && strcmp(forms[f], "plain") == 0)
                cr_expect(!strstr(answer, EG_SWAP_PHANTOM));
            else if (strcmp(forms[f], "plain") == 0)
                cr_expect(strstr(answer, EG_SWAP_PHANTOM) || strcmp(places[p], "chunks") == 0 ||
                              strcmp(places[p], "events") == 0,
                          "%s: %s", path, answer);
            free(answer);
        }
    return ways;
}

Test(redact, no_way_gives_the_credential_back, .timeout = 120)
{
    struct eg_swap s;
    bool all;
    unsigned lost;
    eg_swap_new(&s, POLICY);
    unsigned ways = try_all(&s, &all, &lost);
    cr_expect(ways >= 50 && lost == 0, "%u of %u leak", lost, ways);
    eg_swap_free(&s);
}

/* What the test above looks for is really there when nobody takes it out. */
Test(redact, each_way_leaks_where_it_is_off, .timeout = 120)
{
    struct eg_swap s;
    bool all;
    unsigned lost;
    eg_swap_new(&s, OFF);
    unsigned ways = try_all(&s, &all, &lost);
    cr_expect(all, "%u of %u leak", lost, ways);
    eg_swap_free(&s);
}

/* Across every border of reads, TLS records and chunks; lengths stay as they were. */
Test(redact, it_is_found_wherever_a_read_ends, .timeout = 300)
{
    struct eg_swap s;
    char path[100], want[64];
    eg_swap_new(&s, POLICY);
    for (unsigned pad = 16384 - 130; pad <= 16384; pad++) {
        size_t n = 0;
        snprintf(path, sizeof path, "/api/leak/body/plain/%u", pad);
        snprintf(want, sizeof want, "Content-Length: %zu\r\n", pad + strlen(EG_SWAP_REAL) + 4);
        char *answer = ask(&s, path, &n), *body = strstr(answer, "\r\n\r\n") + 4;
        cr_expect(strstr(answer, want) &&
                      n - (size_t)(body - answer) == pad + strlen(EG_SWAP_REAL) + 4,
                  "%u", pad);
        cr_expect(strncmp(body + pad, EG_SWAP_PHANTOM "-end", strlen(EG_SWAP_PHANTOM) + 4) == 0,
                  "%u", pad);
        free(answer);
    }
    for (unsigned size = 1; size < 60; size++) {
        size_t n = 0;
        snprintf(path, sizeof path, "/api/leak/chunks/%s/%u", forms[size % FORMS], size);
        char *answer = ask(&s, path, &n);
        cr_expect(!leaks(answer, n, EG_SWAP_REAL) && strstr(answer, "\r\n0\r\n\r\n"), "%s: %s",
                  path, answer);
        free(answer);
    }
    eg_swap_free(&s);
}

Test(redact, asks_for_what_it_can_read, .timeout = 60)
{
    struct eg_swap s;
    eg_swap_new(&s, POLICY);
    free(eg_swap_ask(
        &s, "GET", "/api/x",
        "Accept-Encoding: gzip, br\r\nRange: bytes=1-2\r\nIf-Range: \"a\"\r\nX-Kept: 1\r\n"));
    char *record = eg_swap_record(&s);
    cr_expect(strstr(record, "\nAccept-Encoding: identity\r\n") &&
                  eg_swap_count(record, strlen(record), "Accept-Encoding") == 1 &&
                  !strstr(record, "Range") && strstr(record, "X-Kept: 1\r\n"),
              "%s", record);
    free(record);
    eg_swap_free(&s);
    eg_swap_new(&s, OFF);
    free(eg_swap_ask(&s, "GET", "/api/x", "Accept-Encoding: gzip, br\r\nRange: bytes=1-2\r\n"));
    record = eg_swap_record(&s);
    cr_expect(strstr(record, "\nAccept-Encoding: gzip, br\r\n") &&
                  strstr(record, "\nRange: bytes=1-2\r\n"),
              "%s", record);
    free(record);
    eg_swap_free(&s);
}

Test(redact, a_coded_body_is_refused, .timeout = 60)
{
    struct eg_swap s;
    eg_swap_new(&s, POLICY);
    char *answer = eg_swap_ask(&s, "GET", "/api/leak/coded/plain", "");
    cr_expect(strncmp(answer, "HTTP/1.1 502 ", 13) == 0 &&
                  strstr(answer, "X-Egress-Reason: bad_response") &&
                  strstr(answer, "redact: false") && !leaks(answer, strlen(answer), EG_SWAP_REAL),
              "%s", answer);
    free(answer);
    eg_swap_free(&s);
    eg_swap_new(&s, OFF);
    answer = eg_swap_ask(&s, "GET", "/api/leak/coded/plain", "");
    cr_expect(strncmp(answer, "HTTP/1.1 200 ", 13) == 0 && strstr(answer, "Content-Encoding: gzip"),
              "%s", answer);
    free(answer);
    eg_swap_free(&s);
}

Test(redact, an_event_is_not_delayed, .timeout = 60)
{
    struct eg_swap s;
    char got[8192];
    size_t n = 0;
    bool eof = false;
    eg_swap_new(&s, POLICY);
    int fd = eg_swap_send(&s, "GET", "/api/sse", "Connection: close\r\n", "", 0);
    while (!eof && n < sizeof got && !memmem(got, n, "data: one\n\n", 11))
        n += eg_bed_read(&s.bed, fd, got + n, 1, &eof);
    cr_expect(memmem(got, n, "data: one\n\n", 11) != NULL);
    free(eg_swap_ask(&s, "GET", "/api/sse-go", ""));
    char *answer = eg_swap_rest(&s, fd, NULL);
    cr_expect(strstr(answer, "data: two\n\n"), "%s", answer);
    free(answer);
    eg_swap_free(&s);
}

Test(redact, a_renewed_credential_is_looked_for, .timeout = 60)
{
    struct eg_swap s;
    size_t n = 0;
    eg_swap_new(&s, POLICY);
    free(ask(&s, "/api/leak/body/plain", &n));
    eg_swap_answer(&s, EG_SWAP_NEXT);
    char *answer = ask(&s, "/api/leak/body/plain", &n);
    cr_expect(!leaks(answer, n, EG_SWAP_NEXT) && strstr(answer, EG_SWAP_PHANTOM), "%s", answer);
    free(answer);
    answer = ask(&s, "/api/leak/field/base64-1", &n);
    cr_expect(!leaks(answer, n, EG_SWAP_NEXT), "%s", answer);
    free(answer);
    eg_swap_free(&s);
}

/* Dropped and put again, as a reload or a store without room does it: its count of changes must not begin anew. */
Test(redact, a_credential_that_was_away_meanwhile_is_looked_for, .timeout = 60)
{
    struct eg_swap s;
    size_t n = 0;
    eg_swap_new(&s, POLICY);
    free(ask(&s, "/api/leak/body/plain", &n));
    eg_creds_drop(eg_engine_creds(s.bed.engine), EG_SLICE("key"));
    eg_swap_answer(&s, EG_SWAP_NEXT);
    char *answer = ask(&s, "/api/leak/body/plain", &n);
    cr_expect(!leaks(answer, n, EG_SWAP_NEXT) && strstr(answer, EG_SWAP_PHANTOM), "%s", answer);
    free(answer);
    eg_swap_free(&s);
}

/* A session that the origin renews is a credential that nobody can look for. */
Test(redact, a_cookie_of_the_credential_is_never_set, .timeout = 60)
{
    static const char policy[] = "egress: 1\n"
                                 "services:\n"
                                 "  api: {upstream: \"https://api.example.test:@ORIGIN@\", "
                                 "credential: key, accept: [bearer, \"cookie:k\"], redact: false,\n"
                                 "        write: [\"header:Authorization: Bearer {}\"]}\n"
                                 "credentials:\n"
                                 "  key: {from: env:KEY, hosts: [api.example.test]}\n"
                                 "networks: {allow: [127.0.0.1/32]}\n"
                                 "tls: {ca: \"@DIR@/ca.pem\", system: false}\n";
    struct eg_swap s;
    size_t n = 0;
    eg_swap_new(&s, OFF);
    char *answer = ask(&s, "/api/leak/cookie/percent", &n);
    cr_expect(strstr(answer, "Set-Cookie: k=") != NULL, "%s", answer);
    free(answer);
    eg_swap_free(&s);
    eg_swap_new(&s, policy);
    answer = ask(&s, "/api/leak/cookie/percent", &n);
    cr_expect(strncmp(answer, "HTTP/1.1 200 ", 13) == 0 && !strstr(answer, "Set-Cookie"), "%s",
              answer);
    free(answer);
    eg_swap_free(&s);
}

Test(redact, a_short_credential_is_not_looked_for, .timeout = 60)
{
    struct eg_swap s;
    eg_swap_new(&s, POLICY);
    eg_swap_answer(&s, "fifteen-letters");
    char *answer = eg_swap_ask(&s, "GET", "/api/leak/body/plain", "Accept-Encoding: br\r\n"),
         *record = eg_swap_record(&s);
    cr_expect(strstr(answer, "fifteen-letters-end") && strstr(record, "Accept-Encoding: br\r\n"),
              "%s%s", answer, record);
    free(answer);
    free(record);
    eg_swap_free(&s);
}

Test(redact, what_holds_no_credential_is_not_changed, .timeout = 120)
{
    static const char *const paths[] = { "/api/bytes/5000000", "/api/chunked/5000000" };
    for (unsigned i = 0; i < 2; i++) {
        struct eg_swap s;
        size_t n = 0, wrong = 0;
        eg_swap_new(&s, POLICY);
        char *answer = ask(&s, paths[i], &n), *flat = malloc(n + 1);
        n = unchunk(answer, n, flat);
        size_t at = (size_t)(strstr(answer, "\r\n\r\n") + 4 - answer);
        for (size_t k = 0; k < 5000000 && at + k < n; k++)
            wrong += flat[at + k] != (char)('a' + k % 26);
        cr_expect(n >= at + 5000000 && wrong == 0, "%zu %zu", n - at, wrong);
        free(answer);
        free(flat);
        eg_swap_free(&s);
    }
}

Test(redact, an_empty_and_a_bodiless_answer_pass, .timeout = 60)
{
    struct eg_swap s;
    eg_swap_new(&s, POLICY);
    char *answer =
        eg_swap_ask(&s, "HEAD", "/api/leak/coded/plain", ""); /* no body: nothing to read */
    cr_expect(strncmp(answer, "HTTP/1.1 200 ", 13) == 0 &&
                  !leaks(answer, strlen(answer), EG_SWAP_REAL),
              "%s", answer);
    free(answer);
    answer = eg_swap_ask(&s, "GET", "/api/bytes/0", "");
    cr_expect(strncmp(answer, "HTTP/1.1 200 ", 13) == 0 && strstr(answer, "Content-Length: 0"),
              "%s", answer);
    free(answer);
    answer = eg_swap_ask(&s, "GET", "/api/status/304", "");
    cr_expect(strncmp(answer, "HTTP/1.1 304 ", 13) == 0, "%s", answer);
    free(answer);
    eg_swap_free(&s);
}

/* Too many to be looked for: nothing is asked, rather than one of them passed by. */
Test(redact, a_credential_of_too_many_fields_is_refused, .timeout = 60)
{
    enum { FIELDS = 17 };
    char policy[2048], fields[512] = "", name[32];
    struct eg_swap s;
    for (int i = 0; i < FIELDS; i++)
        snprintf(fields + strlen(fields), sizeof fields - strlen(fields), "{f%d}", i);
    snprintf(policy, sizeof policy,
             "egress: 1\nservices:\n"
             "  api: {upstream: \"https://api.example.test:@ORIGIN@\", credential: key,\n"
             "        write: [\"header:Authorization: Bearer %s\"]}\n"
             "credentials:\n"
             "  key: {from: {cmd: [/bin/true], json: true}, hosts: [api.example.test]}\n"
             "networks: {allow: [127.0.0.1/32]}\ntls: {ca: \"@DIR@/ca.pem\", system: false}\n",
             fields);
    eg_swap_new(&s, policy);
    for (int i = 0; i < FIELDS; i++) {
        snprintf(name, sizeof name, "key#f%d", i);
        cr_assert_eq(eg_creds_put(eg_engine_creds(s.bed.engine), eg_slice_str(name),
                                  "a-value-to-look-for", 19, NULL),
                     EG_OK);
    }
    char *answer = eg_swap_ask(&s, "GET", "/headers", ""), *record = eg_swap_record(&s);
    cr_expect(!strstr(answer, " 200 ") && !strstr(answer, "a-value"), "%s", answer);
    cr_expect_str_empty(record, "%s", record);
    free(answer);
    free(record);
    eg_swap_free(&s);
}
