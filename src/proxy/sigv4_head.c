/* sigv4_head.c - what is sent in the place of a signed request: its fields, their signature with the
 * real keys, and its body.
 *
 * The canonical request is made of the bytes that stand in the origin's queue. The secret key is
 * seen in one buffer here, for one signature, and wiped. */
#include <stdlib.h>

#include "base/clock.h"
#include "cred/cred.h"
#include "http/write.h"
#include "proxy/sigv4_state.h"

bool eg_resign_in_query(struct eg_slice query, struct eg_slice name)
{
    while (query.n > 0) {
        long end = eg_slice_index(query, '&');
        struct eg_slice pair = end < 0 ? query : eg_slice(query.p, (size_t)end);
        if (eg_slice_casestarts(pair, name) && (pair.n == name.n || pair.p[name.n] == '='))
            return true;
        query = end < 0 ? EG_SLICE_NONE : eg_slice_from(query, (size_t)end + 1);
    }
    return false;
}

/* ---- fields ---- */

bool eg_resign_drops(const struct eg_flow *f, const struct eg_field *field)
{
    static const char *const names[] = { "X-Amz-Date", "X-Amz-Security-Token",
                                         "X-Amz-Content-Sha256" };
    static const char *const coding[] = { "Content-Encoding", "X-Amz-Decoded-Content-Length",
                                          "X-Amz-Trailer" };
    const struct eg_resign *r = f->exchange->resign;
    for (size_t i = 0; r && i < sizeof names / sizeof *names; i++)
        if (eg_slice_caseeq(field->name, eg_slice_str(names[i])))
            return true;
    for (size_t i = 0; r && r->chunked && !r->trailer && i < sizeof coding / sizeof *coding; i++)
        if (eg_slice_caseeq(field->name, eg_slice_str(coding[i])))
            return true;
    return false;
}

/* What is left of Content-Encoding without aws-chunked. */
static enum eg_status write_coding(struct eg_flow *f)
{
    const struct eg_field *field = NULL;
    enum eg_status status = EG_OK;
    while (status == EG_OK && (field = eg_head_find(eg_msg_head_get(f->request),
                                                    EG_SLICE("Content-Encoding"), field))) {
        struct eg_slice rest = field->value, one;
        while (status == EG_OK && eg_slice_list_next(&rest, &one))
            if (!eg_slice_caseeq(one, EG_SLICE("aws-chunked")))
                status = eg_write_field(&f->origin.out, EG_SLICE("Content-Encoding"), one);
    }
    return status;
}

/* A field with the credential's own value, which is only ever in f->origin.out. */
static enum eg_status write_part(struct eg_flow *f, struct eg_slice before, struct eg_slice text,
                                 struct eg_err *err)
{
    enum eg_status status = eg_buf_put(&f->origin.out, before);
    return status == EG_OK ? eg_gate_inject(&f->engine->gate, f->ticket, f->exchange->service,
                                            text, EG_ESCAPE_NONE, &f->origin.out, err)
                           : status;
}

/* Is there a session token, or should there be one? */
static bool wants_token(const struct eg_flow *f)
{
    struct eg_slice credential = f->exchange->service->credential;
    struct eg_buf part;
    eg_buf_init(&part, 512);
    bool named = eg_buf_put(&part, credential) == EG_OK &&
                 eg_buf_put(&part, EG_SLICE("#session_token")) == EG_OK &&
                 eg_policy_credential_find(f->snapshot->policy, eg_buf_slice(&part)) >= 0;
    eg_buf_done(&part);
    return named || eg_creds_field(f->engine->creds, credential, EG_SLICE("session_token"), NULL);
}

static enum eg_status write_unsigned(struct eg_flow *f, struct eg_slice time, struct eg_err *err)
{
    const struct eg_resign *r = f->exchange->resign;
    enum eg_status status = eg_write_field(&f->origin.out, EG_SLICE("X-Amz-Date"), time);
    if (status == EG_OK && r->named)
        status = eg_write_field(&f->origin.out, EG_SLICE("X-Amz-Content-Sha256"), r->payload);
    if (status == EG_OK && r->chunked && !r->trailer)
        status = write_coding(f);
    if (status == EG_OK && wants_token(f)) {
        status =
            write_part(f, EG_SLICE("X-Amz-Security-Token: "), EG_SLICE("{session_token}"), err);
        if (status == EG_OK)
            status = eg_buf_put(&f->origin.out, EG_SLICE("\r\n"));
    }
    return status;
}

/* ---- the signature ---- */

/* The fields of a head as it stands in the queue, behind its request line; *ret is malloc'd. */
static enum eg_status list_fields(struct eg_slice head, struct eg_sigv4_field **ret, size_t *count)
{
    size_t lines = 0, n = 0;
    for (size_t i = 0; i < head.n; i++)
        lines += head.p[i] == '\n';
    struct eg_sigv4_field *fields = calloc(lines + 1, sizeof *fields);
    if (!fields)
        return EG_NOMEM;
    for (bool first = true; head.n > 0; first = false) {
        long end = eg_slice_index(head, '\n');
        struct eg_slice line = end < 0 ? head : eg_slice(head.p, (size_t)end);
        head = end < 0 ? EG_SLICE_NONE : eg_slice_from(head, (size_t)end + 1);
        long colon = eg_slice_index(line, ':');
        if (first || colon <= 0)
            continue;
        struct eg_slice value = eg_slice_from(line, (size_t)colon + 1);
        if (value.n > 0 && value.p[value.n - 1] == '\r')
            value.n--;
        fields[n++] =
            (struct eg_sigv4_field){ eg_slice(line.p, (size_t)colon), eg_slice_trim(value) };
    }
    *ret = fields;
    *count = n;
    return EG_OK;
}

/* Region and service: the policy's where it names them, else those that the child signed for. */
static void set_scope(const struct eg_flow *f, struct eg_sigv4_auth *auth)
{
    const struct eg_policy *policy = f->snapshot->policy;
    struct eg_sigv4_scope scope = { EG_SLICE_NONE, EG_SLICE_NONE };
    int i = eg_policy_credential_find(policy, f->exchange->service->credential);
    if (i >= 0)
        eg_policy_credential_sigv4(policy, (unsigned)i, &scope);
    auth->region = scope.region.n ? scope.region : f->exchange->resign->auth.region;
    auth->service = scope.service.n ? scope.service : f->exchange->resign->auth.service;
}

static enum eg_status make_signature(struct eg_flow *f, const struct eg_sigv4_request *request,
                                     const struct eg_sigv4_auth *auth,
                                     char signature[EG_SIGV4_HEX + 1], struct eg_err *err)
{
    struct eg_buf secret;
    eg_buf_init(&secret, EG_CREDENTIAL_MAX);
    enum eg_status status = eg_gate_inject(&f->engine->gate, f->ticket, f->exchange->service,
                                           EG_SLICE("{secret_key}"), EG_ESCAPE_NONE, &secret, err);
    if (status == EG_OK)
        status = eg_sigv4_make(request, auth, eg_buf_slice(&secret), signature);
    eg_buf_wipe(&secret);
    eg_buf_done(&secret);
    return status == EG_INVALID ? EG_CREDENTIAL_UNAVAILABLE : status;
}

static enum eg_status write_signature(struct eg_flow *f, const struct eg_sigv4_auth *auth,
                                      const char *signature, struct eg_err *err)
{
    struct eg_buf *out = &f->origin.out;
    const struct eg_slice parts[] = { EG_SLICE("/"),
                                      auth->day,
                                      EG_SLICE("/"),
                                      auth->region,
                                      EG_SLICE("/"),
                                      auth->service,
                                      EG_SLICE("/aws4_request, SignedHeaders="),
                                      auth->fields,
                                      EG_SLICE(", Signature="),
                                      eg_slice_str(signature),
                                      EG_SLICE("\r\n") };
    enum eg_status status = write_part(f, EG_SLICE("Authorization: AWS4-HMAC-SHA256 Credential="),
                                       EG_SLICE("{access_key}"), err);
    for (size_t i = 0; i < sizeof parts / sizeof *parts && status == EG_OK; i++)
        status = eg_buf_put(out, parts[i]);
    return status;
}

enum eg_status eg_resign_head(struct eg_flow *f, size_t start, struct eg_err *err)
{
    struct eg_slice path = eg_buf_slice(&f->exchange->path), query = EG_SLICE_NONE;
    char time[EG_SIGV4_TIME + 1], signature[EG_SIGV4_HEX + 1];
    struct eg_sigv4_field *fields = NULL;
    size_t count = 0;
    struct eg_buf names;
    eg_sigv4_time(eg_clock_wall_us() / 1000000, time);
    struct eg_sigv4_auth auth = { .time = eg_slice_str(time), .day = eg_slice(time, 8) };
    set_scope(f, &auth);
    long end = eg_slice_index(path, '?');
    if (end >= 0) {
        query = eg_slice_from(path, (size_t)end + 1);
        path.n = (size_t)end;
    }
    eg_buf_init(&names, 1 << 20);
    enum eg_status status = write_unsigned(f, auth.time, err);
    if (status == EG_OK)
        status = list_fields(eg_slice_from(eg_buf_slice(&f->origin.out), start), &fields, &count);
    const struct eg_sigv4_request request = {
        eg_msg_head_get(f->request)->method, path, query, fields, count,
        f->exchange->resign->payload
    };
    if (status == EG_OK)
        status = eg_sigv4_select(&request, &names);
    auth.fields = eg_buf_slice(&names);
    if (status == EG_OK)
        status = make_signature(f, &request, &auth, signature, err);
    if (status == EG_OK)
        status = write_signature(f, &auth, signature, err);
    eg_buf_done(&names);
    free(fields);
    return status;
}

/* ---- the body ---- */

bool eg_resign_holds(const struct eg_exchange *x)
{
    return x->resign && x->resign->held;
}

enum eg_status eg_resign_send(struct eg_flow *f, eg_resign_sink *sink, struct eg_err *err)
{
    struct eg_resign *r = f->exchange->resign;
    struct eg_slice piece = eg_buf_slice(&r->body);
    if (piece.n > EG_SCRATCH)
        piece.n = EG_SCRATCH;
    enum eg_status status = sink(f, piece, err);
    if (status != EG_OK)
        return status;
    eg_buf_consume(&r->body, piece.n);
    if (r->body.len == 0) {
        eg_buf_done(&r->body);
        r->held = false;
        f->exchange->request_done = true;
    }
    return EG_OK;
}

enum eg_status eg_resign_body(struct eg_flow *f, struct eg_slice data, eg_resign_sink *sink,
                              struct eg_err *err)
{
    struct eg_resign *r = f->exchange->resign;
    enum eg_status status = EG_OK;
    if (!r || !r->chunked)
        return sink(f, data, err);
    while (data.n > 0 && status == EG_OK) {
        struct eg_slice piece;
        status = eg_awschunk_next(&r->chunks, &data, &piece, err);
        if (status == EG_OK && piece.n > 0)
            status = sink(f, piece, err);
    }
    return status;
}

enum eg_status eg_resign_end(const struct eg_exchange *x, struct eg_err *err)
{
    if (!x->resign || !x->resign->chunked || x->resign->chunks.at == EG_AWSCHUNK_DONE)
        return EG_OK;
    return eg_err_set(err, EG_BAD_REQUEST, "aws-chunked", 0, "the body ends before its last chunk");
}
