/* sigv4.c - a request that is signed with a session's phantom keys is checked as AWS would check it,
 * and what is sent in its place is signed with the real ones.
 *
 * Invariants: checked is what was received, with the child's own Host and path; signed is what
 * stands in the origin's queue. A signature that is older than EG_SIGV4_SKEW_S is none. Bodies
 * whose hash the origin can't check go over TLS only. */
#include "proxy/sigv4.h"

#include <stdlib.h>

#include "base/clock.h"
#include "cred/sigv4.h"
#include "http/write.h"
#include "proxy/awschunk.h"
#include "proxy/sigv4_state.h"

bool eg_resign_wanted(const struct eg_service *service)
{
    return service->accept_count > 0 && service->accept[0].kind == EG_SLOT_SIGV4;
}

void eg_resign_drop(struct eg_exchange *x)
{
    if (!x->resign)
        return;
    eg_buf_done(&x->resign->body);
    free(x->resign);
    x->resign = NULL;
}

/* ---- what was received ---- */

/* The one field of that name. EG_NOT_FOUND; EG_PHANTOM_INVALID: there are two. */
static enum eg_status only(const struct eg_head *head, struct eg_slice name, struct eg_slice *ret)
{
    const struct eg_field *field = eg_head_find(head, name, NULL);
    if (!field)
        return EG_NOT_FOUND;
    if (eg_head_find(head, name, field))
        return EG_PHANTOM_INVALID;
    *ret = field->value;
    return EG_OK;
}

/* Is that field's name in SignedHeaders? */
static bool is_signed(struct eg_slice list, struct eg_slice name)
{
    while (list.n > 0) {
        long end = eg_slice_index(list, ';');
        if (eg_slice_caseeq(end < 0 ? list : eg_slice(list.p, (size_t)end), name))
            return true;
        list = end < 0 ? EG_SLICE_NONE : eg_slice_from(list, (size_t)end + 1);
    }
    return false;
}

/* AWS refuses an x-amz- field that is not signed; so must we, who would sign it. */
static bool all_signed(const struct eg_head *head, struct eg_slice list)
{
    for (uint32_t i = 0; i < head->field_count; i++)
        if (eg_slice_casestarts(head->fields[i].name, EG_SLICE("x-amz-")) &&
            !is_signed(list, head->fields[i].name))
            return false;
    return true;
}

/* The phantom secret that goes with the session's key id of that service; EG_SLICE_NONE: none. */
static struct eg_slice phantom_secret(const struct eg_session *s, struct eg_slice service)
{
    for (unsigned i = 0; i < s->phantom_count; i++) {
        struct eg_slice name = eg_slice_str(s->phantoms[i].service);
        if (eg_slice_starts(name, service) &&
            eg_slice_eq(eg_slice_from(name, service.n), EG_SLICE("#secret_key")))
            return eg_slice_str(s->phantoms[i].phantom);
    }
    return EG_SLICE_NONE;
}

static enum eg_status verify(struct eg_flow *f, const struct eg_session *session,
                             const struct eg_target *target)
{
    const struct eg_resign *r = f->exchange->resign;
    const struct eg_head *head = eg_msg_head_get(f->request);
    struct eg_sigv4_field *fields = calloc(head->field_count + 1, sizeof *fields);
    if (!fields)
        return EG_NOMEM;
    for (uint32_t i = 0; i < head->field_count; i++)
        fields[i] = (struct eg_sigv4_field){ head->fields[i].name, head->fields[i].value };
    const struct eg_sigv4_request request = { head->method, target->path,      target->query,
                                              fields,       head->field_count, r->payload };
    enum eg_status status =
        eg_sigv4_verify(&request, &r->auth, phantom_secret(session, f->exchange->service->name));
    free(fields);
    return status;
}

/* ---- the head ---- */

/* Key, time and what is covered; the signature itself is judged when the hash is known. */
static enum eg_status read_auth(struct eg_flow *f, const struct eg_target *target,
                                struct eg_session **session, const char **why)
{
    struct eg_sigv4_auth *auth = &f->exchange->resign->auth;
    const struct eg_head *head = eg_msg_head_get(f->request);
    struct eg_slice value = EG_SLICE_NONE, time = EG_SLICE_NONE;
    enum eg_status status = only(head, EG_SLICE("Authorization"), &value);
    if (status == EG_NOT_FOUND && target->has_query &&
        eg_resign_in_query(target->query, EG_SLICE("X-Amz-Signature"))) {
        *why = "presigned URLs are not signed anew: sign with the Authorization field";
        return EG_NOT_SUPPORTED;
    }
    if (status == EG_NOT_FOUND) {
        *why = "sign the request with the AWS keys of this environment";
        return EG_PHANTOM_MISSING;
    }
    if (status != EG_OK || eg_sigv4_parse(value, auth, NULL) != EG_OK) {
        *why = "the Authorization field is no AWS4-HMAC-SHA256 signature";
        return EG_PHANTOM_INVALID;
    }
    if (eg_sessions_by_phantom(f->engine->sessions, auth->key_id, f->exchange->service->name,
                               session) != EG_OK)
        return EG_PHANTOM_INVALID;
    if (only(head, EG_SLICE("X-Amz-Date"), &time) != EG_OK || !all_signed(head, auth->fields)) {
        *why = "the signature must cover X-Amz-Date and every other X-Amz- field";
        return EG_PHANTOM_INVALID;
    }
    auth->time = time;
    if (eg_sigv4_fresh(auth, eg_clock_wall_us() / 1000000) != EG_OK) {
        *why = "X-Amz-Date is more than 15 minutes away from this proxy's time";
        return EG_PHANTOM_INVALID;
    }
    return EG_OK;
}

static bool has_body(const struct eg_head *head)
{
    return head->framing == EG_BODY_CHUNKED ||
           (head->framing == EG_BODY_LENGTH && head->length > 0);
}

/* What stands in the place of the body's hash. EG_AGAIN: the body itself must tell. */
static enum eg_status read_payload(struct eg_flow *f)
{
    struct eg_resign *r = f->exchange->resign;
    const struct eg_head *head = eg_msg_head_get(f->request);
    enum eg_status status = only(head, EG_SLICE("X-Amz-Content-Sha256"), &r->payload);
    if (status != EG_NOT_FOUND) {
        r->named = true;
        return status;
    }
    r->payload = EG_SLICE(EG_SIGV4_EMPTY);
    if (!has_body(head))
        return EG_OK;
    r->held = true;
    return head->framing == EG_BODY_LENGTH && head->length > EG_RESIGN_HOLD_MAX ? EG_BODY_TOO_LARGE
                                                                                : EG_AGAIN;
}

static bool is_hash(struct eg_slice payload)
{
    for (size_t i = 0; i < payload.n; i++)
        if (!((payload.p[i] >= '0' && payload.p[i] <= '9') ||
              (payload.p[i] >= 'a' && payload.p[i] <= 'f')))
            return false;
    return payload.n == EG_SIGV4_HEX;
}

/* A stream of signed chunks is sent without their signatures. */
static enum eg_status begin_chunks(struct eg_flow *f, const char **why)
{
    struct eg_exchange *x = f->exchange;
    struct eg_slice length = EG_SLICE_NONE;
    unsigned long long n = 0;
    if (only(eg_msg_head_get(f->request), EG_SLICE("X-Amz-Decoded-Content-Length"), &length) !=
            EG_OK ||
        !eg_slice_u64(length, &n) || !has_body(eg_msg_head_get(f->request))) {
        *why = "a stream of signed chunks needs X-Amz-Decoded-Content-Length";
        return EG_BAD_REQUEST;
    }
    x->resign->chunked = true;
    x->resign->chunks = (struct eg_awschunk){ .expected = n, .keep = x->resign->trailer };
    x->framing = x->resign->trailer ? EG_BODY_CHUNKED : EG_BODY_LENGTH;
    x->length = n;
    x->resign->payload = x->resign->trailer ? EG_SLICE("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
                                            : EG_SLICE("UNSIGNED-PAYLOAD");
    return EG_OK;
}

/* What is signed upstream in the place of the body's hash, once the signature is known to be good. */
static enum eg_status plan_payload(struct eg_flow *f, const char **why)
{
    struct eg_resign *r = f->exchange->resign;
    if (is_hash(r->payload))
        return EG_OK;
    if (!f->exchange->service->tls) {
        *why = "a body without a hash in its signature is sent over TLS only";
        return EG_NOT_SUPPORTED;
    }
    if (eg_slice_eq(r->payload, EG_SLICE("UNSIGNED-PAYLOAD")) ||
        eg_slice_eq(r->payload, EG_SLICE("STREAMING-UNSIGNED-PAYLOAD-TRAILER")))
        return EG_OK;
    r->trailer = eg_slice_eq(r->payload, EG_SLICE("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"));
    if (r->trailer || eg_slice_eq(r->payload, EG_SLICE("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")))
        return begin_chunks(f, why);
    *why = "this X-Amz-Content-Sha256 is not known here";
    return EG_NOT_SUPPORTED;
}

enum eg_status eg_resign_check(struct eg_flow *f, const struct eg_target *target,
                               struct eg_session **ret, const char **why)
{
    struct eg_exchange *x = f->exchange;
    struct eg_session *session = NULL;
    eg_resign_drop(x);
    x->resign = calloc(1, sizeof *x->resign);
    if (!x->resign)
        return EG_NOMEM;
    eg_buf_init(&x->resign->body, EG_RESIGN_HOLD_MAX);
    enum eg_status status = read_auth(f, target, &session, why);
    if (status == EG_OK)
        status = read_payload(f);
    if (status == EG_AGAIN)
        *ret = session;
    if (status != EG_OK)
        return status;
    status = verify(f, session, target);
    if (status == EG_PHANTOM_INVALID)
        *why = EG_RESIGN_MISMATCH;
    if (status == EG_OK)
        status = plan_payload(f, why);
    if (status == EG_OK)
        *ret = session;
    return status;
}

/* ---- the body that is held ---- */

enum eg_step eg_resign_hold(struct eg_flow *f, const struct eg_target *target)
{
    const struct eg_head *head = eg_msg_head_get(f->request);
    f->exchange->resign->target = *target;
    if (head->expect_continue &&
        eg_buf_put(&f->client.out, EG_SLICE("HTTP/1.1 100 Continue\r\n\r\n")) != EG_OK)
        return eg_refuse(f, EG_NOMEM, false, NULL);
    eg_flow_move(f, EG_PHASE_BODY, f->snapshot->limits->body_timeout, EG_BODY_TIMEOUT);
    return EG_STEP_MORE;
}

/* EG_OK: more is needed; EG_EOF: it is whole. */
static enum eg_status keep(struct eg_flow *f, const char *p, size_t n, size_t *used,
                           struct eg_err *err)
{
    enum eg_status status = EG_OK;
    *used = 0;
    while (status == EG_OK && *used < n) {
        struct eg_slice data = EG_SLICE_NONE;
        size_t step = 0;
        status = eg_msg_body(f->request, p + *used, n - *used, &step, &data, err);
        *used += step;
        if (status != EG_OK && status != EG_AGAIN && status != EG_EOF)
            return status;
        enum eg_status put = eg_buf_put(&f->exchange->resign->body, data);
        if (put != EG_OK)
            return put == EG_TOO_BIG ? EG_BODY_TOO_LARGE : put;
    }
    return status == EG_AGAIN ? EG_OK : status;
}

static enum eg_status read_body(struct eg_flow *f, struct eg_err *err)
{
    size_t n = 0, used = 0;
    enum eg_status status;
    if (f->client.in.len > 0) {
        struct eg_slice in = eg_buf_slice(&f->client.in);
        status = keep(f, in.p, in.n, &used, err);
        eg_buf_consume(&f->client.in, used);
        return status;
    }
    status = eg_side_read(&f->client, f->engine->scratch, EG_SCRATCH, &n, err);
    if (status != EG_OK)
        return status == EG_AGAIN ? status : EG_CLIENT_GONE;
    status = keep(f, f->engine->scratch, n, &used, err);
    if ((status == EG_OK || status == EG_EOF) && used < n &&
        eg_buf_append(&f->client.in, f->engine->scratch + used, n - used) != EG_OK)
        return EG_NOMEM;
    return status;
}

static enum eg_step body_whole(struct eg_flow *f)
{
    struct eg_exchange *x = f->exchange;
    struct eg_resign *r = x->resign;
    eg_sigv4_hash(eg_buf_slice(&r->body), r->hash);
    r->payload = eg_slice(r->hash, EG_SIGV4_HEX);
    enum eg_status status = verify(f, f->session, &r->target);
    if (status == EG_OK && eg_session_usable(f->session) != EG_OK)
        status = EG_PHANTOM_INVALID; /* it was revoked meanwhile */
    if (status != EG_OK)
        return eg_refuse(f, status, true, EG_RESIGN_MISMATCH);
    x->framing = EG_BODY_LENGTH;
    x->length = r->body.len;
    return eg_route_resume(f);
}

enum eg_step eg_body_step(struct eg_flow *f)
{
    struct eg_err err = { 0 };
    f->client.intent = EG_IN;
    enum eg_status status = eg_side_flush(&f->client, &err);
    if (status == EG_AGAIN)
        f->client.intent |= EG_OUT;
    else if (status != EG_OK)
        goto gone;
    for (unsigned round = 0; round < EG_BODY_ROUNDS; round++) {
        status = read_body(f, &err);
        if (status == EG_EOF)
            return body_whole(f);
        if (status == EG_AGAIN)
            return EG_STEP_WAIT;
        if (status == EG_CLIENT_GONE)
            goto gone;
        if (status != EG_OK)
            return eg_refuse(f, status, false, err.text[0] ? err.text : NULL);
        eg_flow_touch(f, f->snapshot->limits->body_timeout);
    }
    eg_flow_wake(f); /* others first */
    return EG_STEP_WAIT;
gone:
    eg_flow_kill(f, EG_CLIENT_GONE);
    return EG_STEP_WAIT;
}
