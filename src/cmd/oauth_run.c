/* oauth_run.c - what the helper of an oauth2 credential does: from its parts to a form or a signed assertion, from the answer's JSON to a
 * token, and a new refresh token back to its source before anybody uses the access token that came with it.
 *
 * It is a process of its own that ends right after: a hostile answer can reach nothing but this one credential. */
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>

#include "base/clock.h"
#include "cmd/oauth.h"
#include "cred/jwt.h"
#include "cred/oauth.h"
#include "tls/context.h"
#include "tls/sign.h"

enum {
    ANSWER_MAX = 65536,
    ASSERTION_MAX = 32768,
    URL_MAX = 4096,
    JWT_BACK_S = 30, /* clocks differ */
    JWT_GOOD_S = 300,
    GITHUB_BACK_S = 60, /* as its documentation asks */
};

struct job { /* of one fetch */
    const struct eg_sup_creds *creds;
    const struct eg_sup_credential *credential;
    struct eg_oauth2 spec;
    struct eg_slice parts[EG_OAUTH_PARTS]; /* borrowed */
    struct eg_buf url;                     /* of the token endpoint, as the policy has it */
    struct eg_buf assertion;               /* wiped */
    json_t *account; /* a Google service account's key; NULL: the key is in PEM */
    json_t *answer;
    struct eg_err *err;
};

static enum eg_status fail(struct job *j, const char *why)
{
    return eg_err_set(j->err, EG_CREDENTIAL_UNAVAILABLE, "oauth2", 0, "%s", why);
}

/* ---- what the policy says ---- */

static enum eg_status spell_url(struct job *j, const struct eg_service *s)
{
    char authority[EG_AUTHORITY_TEXT];
    eg_authority_format(&s->upstream, s->tls ? 443 : 80, authority, sizeof authority);
    enum eg_status status = eg_buf_printf(&j->url, "%s://%s", s->tls ? "https" : "http", authority);
    if (status == EG_OK)
        status = eg_buf_put(&j->url, s->base_path);
    if (status == EG_OK)
        status = eg_buf_put(&j->url, j->spec.path);
    return status == EG_OK ? EG_OK : fail(j, "token_url is too long");
}

static enum eg_status look_up(struct job *j)
{
    const struct eg_policy *policy = j->creds->supervisor->policy->policy;
    struct eg_service service;
    int i = eg_policy_credential_find(policy, eg_slice_str(j->credential->name));
    if (i < 0)
        return fail(j, "the policy in force does not name it");
    eg_policy_credential_oauth2(policy, (unsigned)i, &j->spec);
    int route = eg_policy_service_of_route(policy, j->spec.route);
    if (route < 0)
        return fail(j, "the policy in force does not lead to token_url");
    eg_policy_service(policy, (unsigned)route, &service);
    return spell_url(j, &service);
}

static bool take_parts(struct job *j, struct eg_slice packed)
{
    for (unsigned i = 0; i < EG_OAUTH_PARTS; i++) {
        uint32_t n;
        if (packed.n < sizeof n)
            return false;
        memcpy(&n, packed.p, sizeof n);
        packed = eg_slice_from(packed, sizeof n);
        if (n > packed.n)
            return false;
        j->parts[i] = eg_slice(packed.p, n);
        packed = eg_slice_from(packed, n);
    }
    return packed.n == 0;
}

/* ---- the assertion ---- */

static struct eg_slice text_of(const json_t *object, const char *name)
{
    const json_t *v = json_object_get(object, name);
    return json_is_string(v) ? eg_slice(json_string_value(v), json_string_length(v))
                             : EG_SLICE_NONE;
}

/* The JSON that Google gives for a service account. Its token_uri must be where the policy sends the assertion: the policy decides who gets it, and a key
 * for another place is a mistake that should be told. */
static enum eg_status read_account(struct job *j)
{
    struct eg_slice key = j->parts[EG_OAUTH_KEY];
    j->account = json_loadb(key.p, key.n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(j->account))
        return fail(j, "the key is neither PEM nor the JSON of a service account");
    if (text_of(j->account, "private_key").n == 0 || text_of(j->account, "client_email").n == 0)
        return fail(j, "the service account's JSON has no private_key or no client_email");
    if (!eg_slice_eq(text_of(j->account, "token_uri"), eg_buf_slice(&j->url)))
        return fail(j, "the token_uri of the service account's JSON is not the policy's token_url");
    return EG_OK;
}

static enum eg_status sign(void *ctx, struct eg_slice message, unsigned char *out, size_t cap,
                           size_t *n, struct eg_err *err)
{
    return eg_sign(ctx, message, out, cap, n, err);
}

static struct eg_slice or_else(struct eg_slice a, struct eg_slice b)
{
    return a.n > 0 ? a : b;
}

/* RFC 7523 section 3. */
static void fill_jwt(const struct job *j, struct eg_jwt *jwt, const char *id)
{
    const struct eg_oauth2 *o = &j->spec;
    uint64_t now = eg_clock_wall_us() / 1000000;
    *jwt = (struct eg_jwt){ .issued_s = now - JWT_BACK_S, .expires_s = now + JWT_GOOD_S };
    jwt->issuer =
        or_else(o->issuer, j->account ? text_of(j->account, "client_email") : o->client_id);
    if (o->grant == EG_GRANT_GITHUB_APP) {
        jwt->issued_s = now - GITHUB_BACK_S;
        return;
    }
    jwt->key_id = j->account ? text_of(j->account, "private_key_id") : EG_SLICE_NONE;
    /* Google: only for a user that is impersonated */
    jwt->subject = or_else(o->subject, j->account ? EG_SLICE_NONE : jwt->issuer);
    jwt->audience = or_else(o->audience, eg_buf_slice(&j->url));
    jwt->scope = o->scope;
    jwt->id = eg_slice_str(id);
}

static enum eg_status make_assertion(struct job *j)
{
    unsigned char random[16];
    char id[sizeof random * 2 + 1], *room;
    struct eg_sign_key *key = NULL;
    struct eg_jwt jwt;
    struct eg_slice pem = j->parts[EG_OAUTH_KEY];
    enum eg_status s = EG_OK;
    if (eg_slice_starts(eg_slice_trim(pem), EG_SLICE("{"))) {
        s = read_account(j);
        pem = s == EG_OK ? text_of(j->account, "private_key") : pem;
    }
    if (s == EG_OK)
        s = eg_tls_start(j->err);
    if (s == EG_OK)
        s = eg_sign_key_new(pem, &key, j->err);
    if (s == EG_OK)
        s = eg_buf_reserve(&j->assertion, j->assertion.max, &room);
    if (s != EG_OK) {
        eg_sign_key_free(key);
        return s;
    }
    randombytes_buf(random, sizeof random);
    sodium_bin2hex(id, sizeof id, random, sizeof random);
    fill_jwt(j, &jwt, id);
    const struct eg_jwt_signer signer = {
        .alg = eg_sign_key_alg(key) == EG_SIGN_RS256 ? "RS256" : "ES256", .sign = sign, .ctx = key
    };
    s = eg_jwt_make(&jwt, &signer, &j->assertion, j->err);
    eg_sign_key_free(key);
    return s;
}

/* ---- the exchange ---- */

static enum eg_status write_ask(struct job *j, struct eg_buf *form, struct eg_buf *authorization)
{
    const struct eg_oauth2 *o = &j->spec;
    enum eg_status s;
    if (o->grant ==
        EG_GRANT_GITHUB_APP) { /* no RFC's: the assertion is the bearer token, the body empty */
        s = eg_buf_put(authorization, EG_SLICE("Bearer "));
        return s == EG_OK ? eg_buf_put(authorization, eg_buf_slice(&j->assertion)) : s;
    }
    bool jwt = o->grant == EG_GRANT_JWT_BEARER;
    struct eg_oauth_ask ask = {
        .grant = jwt                                  ? EG_OAUTH_JWT_BEARER
                 : o->grant == EG_GRANT_REFRESH_TOKEN ? EG_OAUTH_REFRESH_TOKEN
                                                      : EG_OAUTH_CLIENT_CREDENTIALS,
        .client_id = o->client_id,
        .client_secret = j->parts[EG_OAUTH_SECRET],
        .scope = j->account ? EG_SLICE_NONE : o->scope, /* Google: among the claims */
        .audience = jwt ? EG_SLICE_NONE : o->audience,
        .refresh_token = j->parts[EG_OAUTH_REFRESH],
        .assertion = eg_buf_slice(&j->assertion),
        .basic = o->basic,
    };
    s = eg_oauth_form(&ask, form);
    return s == EG_OK ? eg_oauth_authorization(&ask, authorization) : s;
}

static enum eg_status exchange(struct job *j, int fd, uint64_t deadline_ms, unsigned *http_status)
{
    struct eg_buf form, authorization, body;
    eg_buf_init(&form, 4 * ANSWER_MAX);
    eg_buf_init(&authorization, 2 * ANSWER_MAX);
    eg_buf_init(&body, ANSWER_MAX);
    enum eg_status s = write_ask(j, &form, &authorization);
    if (s == EG_OK) {
        struct eg_oauth_exchange x = { .fd = fd,
                                       .deadline_ms = deadline_ms,
                                       .route = j->spec.route,
                                       .path = j->spec.path,
                                       .accept = j->spec.grant == EG_GRANT_GITHUB_APP
                                                     ? EG_SLICE("application/vnd.github+json")
                                                     : EG_SLICE("application/json"),
                                       .authorization = eg_buf_slice(&authorization),
                                       .form = eg_buf_slice(&form) };
        s = eg_oauth_post(&x, &body, http_status, j->err);
    }
    if (s == EG_OK)
        j->answer = json_loadb(body.data ? body.data + body.off : "", body.len, 0, NULL);
    struct eg_buf *all[] = { &form, &authorization, &body };
    for (int i = 0; i < 3; i++) {
        eg_buf_wipe(all[i]);
        eg_buf_done(all[i]);
    }
    return s == EG_OK ? EG_OK : fail(j, "the request is too long");
}

/* ---- the answer ---- */

/* expires_in should be a number; some write it as a text. */
static void read_expiry(const json_t *object, struct eg_oauth_answer *a)
{
    const json_t *v = json_object_get(object, "expires_in");
    unsigned long long n = 0;
    if (json_is_integer(v) && json_integer_value(v) >= 0)
        n = (unsigned long long)json_integer_value(v);
    else if (json_is_real(v) && json_real_value(v) >= 0 && json_real_value(v) < 1e9)
        n = (unsigned long long)json_real_value(v);
    else if (!json_is_string(v) || !eg_slice_u64(text_of(object, "expires_in"), &n))
        return;
    a->has_expires = true;
    a->expires_in = n;
}

/* {"token", "expires_at"} */
static void read_github(const json_t *object, struct eg_oauth_answer *a)
{
    uint64_t at, now = eg_clock_wall_us() / 1000000;
    a->access_token = text_of(object, "token");
    a->token_type = EG_SLICE("bearer");
    a->has_expires = eg_oauth_time(text_of(object, "expires_at"), &at);
    a->expires_in = a->has_expires && at > now ? at - now : 0;
}

static enum eg_status judge(struct job *j, unsigned http_status, struct eg_oauth_answer *a)
{
    *a = (struct eg_oauth_answer){ .http_status = http_status };
    bool good = http_status >= 200 && http_status <= 299;
    if (good && !json_is_object(j->answer))
        return fail(j, "the token endpoint's answer is no JSON object");
    if (good && j->spec.grant == EG_GRANT_GITHUB_APP) {
        read_github(j->answer, a);
    } else {
        a->access_token = text_of(j->answer, "access_token");
        a->token_type = text_of(j->answer, "token_type");
        a->error = text_of(j->answer, "error");
        if (j->spec.grant == EG_GRANT_REFRESH_TOKEN)
            a->refresh_token = text_of(j->answer, "refresh_token");
        read_expiry(j->answer, a);
    }
    return eg_oauth_judge(a, j->err);
}

/* ---- a new refresh token ---- */

static enum eg_status put_back(const struct eg_sup_credential *part, struct eg_slice token,
                               struct eg_err *err)
{
    if (part->kind == EG_SOURCE_FILE)
        return eg_source_file_put(part->place, token.p, token.n, err);
    if (part->kind == EG_SOURCE_KEYRING)
        return eg_source_keyring_put(part->place, part->account,
                                     eg_clock_ms() + EG_SUP_OAUTH_STORE_MS, token.p, token.n, err);
    return eg_err_set(err, EG_INVALID, "oauth2", 0, "its source can't be written to");
}

/* Also one that could not be written back before. */
static void store(struct job *j, struct eg_slice rotated, struct eg_sup_oauth_result *r)
{
    struct eg_err why = { 0 };
    const struct eg_sup_credential *part =
        eg_sup_oauth_part(j->creds, j->credential, EG_OAUTH_REFRESH);
    struct eg_slice token = or_else(rotated, j->parts[EG_OAUTH_REFRESH]);
    if (!part || (!part->newer && eg_slice_eq(token, j->parts[EG_OAUTH_REFRESH])))
        return;
    r->refresh_n = (uint32_t)token.n;
    if (put_back(part, token, &why) == EG_OK)
        return;
    r->unsaved = true;
    eg_err_format(&why, r->why, sizeof r->why);
}

static enum eg_status pack(struct job *j, const struct eg_oauth_answer *a, struct eg_buf *value)
{
    struct eg_sup_oauth_result r;
    char *room;
    memset(&r, 0, sizeof r);
    r.expires_in = a->has_expires ? a->expires_in : 0;
    r.token_n = (uint32_t)a->access_token.n;
    store(j, a->refresh_token, &r);
    struct eg_slice refresh = or_else(a->refresh_token, j->parts[EG_OAUTH_REFRESH]);
    enum eg_status s = eg_buf_reserve(value, sizeof r + r.token_n + r.refresh_n, &room);
    if (s == EG_OK)
        s = eg_buf_append(value, &r, sizeof r);
    if (s == EG_OK)
        s = eg_buf_put(value, a->access_token);
    if (s == EG_OK)
        s = eg_buf_put(value, eg_slice(refresh.p, r.refresh_n));
    return s;
}

enum eg_status eg_sup_oauth_run(const struct eg_sup_creds *c, const struct eg_sup_credential *e,
                                struct eg_sup_oauth *o, uint64_t timeout_ms, struct eg_buf *value,
                                struct eg_err *err)
{
    struct job j = { .creds = c, .credential = e, .err = err };
    struct eg_oauth_answer a;
    unsigned http_status = 0;
    uint64_t deadline_ms = eg_clock_ms() + timeout_ms;
    eg_buf_init(&j.url, URL_MAX);
    eg_buf_init(&j.assertion, ASSERTION_MAX);
    enum eg_status s = take_parts(&j, eg_buf_slice(&o->parts)) ? look_up(&j) : EG_INTERNAL;
    bool signs = j.spec.grant == EG_GRANT_JWT_BEARER || j.spec.grant == EG_GRANT_GITHUB_APP;
    if (s == EG_OK && signs)
        s = make_assertion(&j);
    if (s == EG_OK)
        s = exchange(&j, o->client, deadline_ms, &http_status);
    if (s == EG_OK)
        s = judge(&j, http_status, &a);
    if (s == EG_OK)
        s = pack(&j, &a, value);
    json_decref(j.answer); /* the process ends right after: what jansson held goes with it */
    json_decref(j.account);
    eg_buf_wipe(&j.assertion);
    eg_buf_done(&j.assertion);
    eg_buf_done(&j.url);
    eg_buf_wipe(&o->parts);
    eg_buf_done(&o->parts);
    return s;
}
