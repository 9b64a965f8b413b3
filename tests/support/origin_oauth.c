/* origin_oauth.c - the test origin as a token endpoint and as an API that takes its tokens:
 *   POST /oauth/token  client_credentials (client "cl:1", secret "se cret/+", by Basic or in the body), refresh_token ("rt-0" first), jwt-bearer
 *   POST /app/installations/N/access_tokens  as GitHub does it, for any assertion    GET /oauth/api  200 for the newest token and the one before, else 401
 *   GET /oauth/set?WORD  mode=WORD: ok, 400, 500, garbage, huge, hang, mac, redirect; expires=N: what expires_in says (tokens stay good all the
 *   same); revoke=1: no token is good but the next; rotate=0|1: whether refresh tokens change
 *   GET /oauth/state  counters as JSON
 * Assertions are not verified here: a test does it with what the origin recorded. The state is the program's. */
#include "support/origin.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

static struct {
    unsigned issued, denied, unauthorized, api;
    unsigned long expires;
    bool started, revoked, rotate;
    char token[64], before[64], refresh[64], mode[16];
} as;

static void start(void)
{
    if (as.started)
        return;
    as.started = true;
    as.expires = 3600;
    as.rotate = true;
    snprintf(as.refresh, sizeof as.refresh, "rt-0");
    snprintf(as.mode, sizeof as.mode, "ok");
}

static enum eg_status answer(struct origin_answer *a, int status, const char *more,
                             const char *json)
{
    return eg_buf_printf(&a->out,
                         "HTTP/1.1 %d Status\r\nContent-Type: application/json\r\nCache-Control: "
                         "no-store\r\n%sContent-Length: %zu\r\n\r\n%s",
                         status, more, strlen(json), json);
}

static bool has(struct eg_slice body, const char *text)
{
    return body.n > 0 && memmem(body.p, body.n, text, strlen(text)) != NULL;
}

static bool field_is(const struct origin_request *q, const char *value)
{
    const struct eg_field *f = eg_head_find(q->head, EG_SLICE("Authorization"), NULL);
    return f && eg_slice_eq(f->value, eg_slice_str(value));
}

/* RFC 6749 section 2.3.1: exactly one of the two ways. */
static bool client_known(const struct origin_request *q)
{
    static const char pair[] = "cl%3A1:se+cret%2F%2B";
    char basic[128] = "Basic ";
    sodium_bin2base64(basic + 6, sizeof basic - 6, (const unsigned char *)pair, sizeof pair - 1,
                      sodium_base64_VARIANT_ORIGINAL);
    bool by_body = has(q->body, "client_id=cl%3A1&client_secret=se+cret%2F%2B");
    return field_is(q, basic) ? !by_body : by_body;
}

/* A token that is asked for while requests are under way must not spoil those. */
static void next_token(const char *form)
{
    memcpy(as.before, as.revoked ? "" : as.token, as.revoked ? 1 : sizeof as.before);
    as.issued++;
    as.revoked = false;
    snprintf(as.token, sizeof as.token, "%s-%06u-abcdefghijklmnopqrstuvwxyz", form, as.issued);
}

static enum eg_status issue(struct origin_answer *a, bool refresh)
{
    char json[512], next[128] = "";
    next_token("at");
    if (refresh && as.rotate) {
        snprintf(as.refresh, sizeof as.refresh, "rt-%u-abcdefghijklmnopqrstuvwxyz", as.issued);
        snprintf(next, sizeof next, ",\"refresh_token\":\"%s\"", as.refresh);
    }
    snprintf(json, sizeof json,
             "{\"access_token\":\"%s\",\"token_type\":\"%s\",\"expires_in\":%lu%s}", as.token,
             strcmp(as.mode, "mac") == 0 ? "mac" : "Bearer", as.expires, next);
    return answer(a, 200, "", json);
}

static enum eg_status deny(struct origin_answer *a, const char *code)
{
    char json[128];
    as.denied++;
    snprintf(json, sizeof json, "{\"error\":\"%s\",\"error_description\":\"secret words\"}", code);
    return answer(a, strcmp(code, "invalid_client") == 0 ? 401 : 400, "", json);
}

static enum eg_status by_grant(const struct origin_request *q, struct origin_answer *a)
{
    char refresh[96];
    if (has(q->body, "grant_type=client_credentials"))
        return client_known(q) ? issue(a, false) : deny(a, "invalid_client");
    if (has(q->body, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"))
        return has(q->body, "&assertion=ey") ? issue(a, false) : deny(a, "invalid_grant");
    if (!has(q->body, "grant_type=refresh_token"))
        return deny(a, "unsupported_grant_type");
    snprintf(refresh, sizeof refresh, "&refresh_token=%s&client_id=", as.refresh);
    return has(q->body, refresh) ? issue(a, true) : deny(a, "invalid_grant");
}

static enum eg_status token(const struct origin_request *q, struct origin_answer *a)
{
    if (strcmp(as.mode, "ok") == 0 || strcmp(as.mode, "mac") == 0)
        return by_grant(q, a);
    as.denied++;
    if (strcmp(as.mode, "hang") == 0) {
        a->after = ORIGIN_HOLD;
        return EG_OK;
    }
    if (strcmp(as.mode, "huge") == 0) {
        a->generate = 100000;
        return eg_buf_printf(&a->out, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    }
    if (strcmp(as.mode, "redirect") == 0)
        return answer(a, 302, "Location: https://elsewhere.example.test/oauth/token\r\n", "{}");
    if (strcmp(as.mode, "garbage") == 0)
        return answer(a, 200, "", "\x01\x02 access_token");
    if (strcmp(as.mode, "500") == 0)
        return answer(a, 500, "", "{}");
    as.denied--;
    return deny(a, "invalid_grant");
}

static enum eg_status github(const struct origin_request *q, struct origin_answer *a)
{
    const struct eg_field *f = eg_head_find(q->head, EG_SLICE("Authorization"), NULL);
    char json[160];
    if (!f || !eg_slice_starts(f->value, EG_SLICE("Bearer ey"))) {
        as.denied++;
        return answer(a, 401, "", "{\"message\":\"A JSON web token could not be decoded\"}");
    }
    next_token("ghs");
    snprintf(json, sizeof json, "{\"token\":\"%s\",\"expires_at\":\"2099-01-01T00:00:00Z\"}",
             as.token);
    return answer(a, 201, "", json);
}

static enum eg_status api(const struct origin_request *q, struct origin_answer *a)
{
    char newest[80], before[80];
    snprintf(newest, sizeof newest, "Bearer %s", as.token);
    snprintf(before, sizeof before, "Bearer %s", as.before);
    as.api++;
    if (as.issued > 0 && !as.revoked &&
        (field_is(q, newest) || (as.before[0] && field_is(q, before))))
        return answer(a, 200, "", "{\"answer\":\"fine\"}");
    as.unauthorized++;
    return answer(a, 401, "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n", "{}");
}

static void take_word(struct eg_slice name, struct eg_slice value)
{
    unsigned long long n = 0;
    (void)eg_slice_u64(value, &n);
    if (eg_slice_eq(name, EG_SLICE("mode")) && value.n < sizeof as.mode) {
        memcpy(as.mode, value.p, value.n);
        as.mode[value.n] = 0;
    } else if (eg_slice_eq(name, EG_SLICE("expires"))) {
        as.expires = (unsigned long)n;
    } else if (eg_slice_eq(name, EG_SLICE("revoke"))) {
        as.revoked = n > 0;
    } else if (eg_slice_eq(name, EG_SLICE("rotate"))) {
        as.rotate = n > 0;
    }
}

static enum eg_status set(const struct origin_request *q, struct origin_answer *a)
{
    long at = eg_slice_index(q->head->target, '?');
    struct eg_slice word = at < 0 ? EG_SLICE_NONE : eg_slice_from(q->head->target, (size_t)at + 1);
    long equals = eg_slice_index(word, '=');
    if (equals > 0)
        take_word(eg_slice(word.p, (size_t)equals), eg_slice_from(word, (size_t)equals + 1));
    return answer(a, 200, "", "{}");
}

bool origin_oauth(const struct origin_request *q, struct origin_answer *a, enum eg_status *r)
{
    start();
    if (eg_slice_eq(q->path, EG_SLICE("/oauth/token"))) {
        *r = token(q, a);
    } else if (eg_slice_starts(q->path, EG_SLICE("/app/installations/"))) {
        *r = github(q, a);
    } else if (eg_slice_eq(q->path, EG_SLICE("/oauth/api"))) {
        *r = api(q, a);
    } else if (eg_slice_eq(q->path, EG_SLICE("/oauth/set"))) {
        *r = set(q, a);
    } else if (eg_slice_eq(q->path, EG_SLICE("/oauth/state"))) {
        char json[256];
        snprintf(json, sizeof json,
                 "{\"issued\":%u,\"denied\":%u,\"api\":%u,\"unauthorized\":%u,\"refresh\":\"%s\"}",
                 as.issued, as.denied, as.api, as.unauthorized, as.refresh);
        *r = answer(a, 200, "", json);
    } else {
        return false;
    }
    return true;
}
