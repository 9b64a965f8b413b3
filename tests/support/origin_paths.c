/* origin_paths.c - what the test origin answers, by path:
 *   /echo  the body (chunked when it came so)        /headers  method, target and fields as JSON     /stats  counters as JSON
 *   /bytes/N  N bytes    /chunked/N  N bytes in chunks    /status/N    /until-close  no length, orderly end
 *   /sse  one event, then holds the second back until /sse-go is asked for or DIR/sse-go appears
 *   /trickle  a byte at a time    /hold  never    /close  Connection: close    /early-hints  103, 200    /redirect  302
 *   /truncate, /truncate-chunked, /until-close-cut  ends without close_notify in mid-body    /die  reset in mid-body
 *   /bad, /bad/garbage, /bad/te-cl, /bad/extra  malformed
 *   /oauth/..., /app/installations/...  a token endpoint: origin_oauth.c
 *   POST /v1/chat/completions, /v1/responses, /v1/messages  minimal answers, streamed when "stream" is true
 * and those of origin_leaks.c. Anything else is 200 with a short text. It sends nothing itself. */
#include "support/origin.h"

#include <stdio.h>

#include "http/write.h"

static bool is(struct eg_slice path, const char *name)
{
    return eg_slice_eq(path, eg_slice_str(name));
}

/* "/bytes/123" */
static bool numbered(struct eg_slice path, const char *prefix, unsigned long long *n)
{
    struct eg_slice p = eg_slice_str(prefix);
    return eg_slice_starts(path, p) && eg_slice_u64(eg_slice_from(path, p.n), n);
}

static enum eg_status whole(struct origin_answer *a, int status, const char *type,
                            struct eg_slice body, bool head_only)
{
    return eg_buf_printf(&a->out,
                         "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n%.*s",
                         status, status == 200 ? "OK" : "Status", type, body.n,
                         a->after == ORIGIN_CLOSE ? "Connection: close\r\n" : "",
                         head_only ? 0 : (int)body.n, body.p ? body.p : "");
}

static enum eg_status put(struct eg_buf *out, const char *text)
{
    return eg_buf_put(out, eg_slice_str(text));
}

static enum eg_status chunk(struct eg_buf *out, const char *text)
{
    return eg_write_chunk(out, eg_slice_str(text));
}

static enum eg_status json_string(struct eg_buf *out, struct eg_slice s)
{
    enum eg_status r = put(out, "\"");
    for (size_t i = 0; i < s.n && r == EG_OK; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
            r = eg_buf_printf(out, "\\u%04x", c);
        else
            r = eg_buf_append(out, &c, 1);
    }
    return r == EG_OK ? put(out, "\"") : r;
}

static enum eg_status headers_json(const struct eg_head *h, struct eg_buf *out)
{
    enum eg_status r = put(out, "{\"method\":");
    if (r == EG_OK)
        r = json_string(out, h->method);
    if (r == EG_OK)
        r = put(out, ",\"target\":");
    if (r == EG_OK)
        r = json_string(out, h->target);
    if (r == EG_OK)
        r = put(out, ",\"headers\":[");
    for (uint32_t i = 0; i < h->field_count && r == EG_OK; i++) {
        r = put(out, i ? ",[" : "[");
        if (r == EG_OK)
            r = json_string(out, h->fields[i].name);
        if (r == EG_OK)
            r = put(out, ",");
        if (r == EG_OK)
            r = json_string(out, h->fields[i].value);
        if (r == EG_OK)
            r = put(out, "]");
    }
    return r == EG_OK ? put(out, "]}\n") : r;
}

static enum eg_status echo(const struct origin_request *q, struct origin_answer *a)
{
    if (q->head->framing != EG_BODY_CHUNKED) {
        enum eg_status r = eg_buf_printf(&a->out,
                                         "HTTP/1.1 200 OK\r\nContent-Type: "
                                         "application/octet-stream\r\nContent-Length: %zu\r\n\r\n",
                                         q->body.n);
        return r == EG_OK ? eg_buf_put(&a->out, q->body) : r;
    }
    enum eg_status r = put(&a->out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < q->body.n && r == EG_OK; at += 4000) {
        size_t n = q->body.n - at < 4000 ? q->body.n - at : 4000;
        r = eg_write_chunk(&a->out, eg_slice(q->body.p + at, n));
    }
    return r == EG_OK ? eg_write_last_chunk(&a->out) : r;
}

static enum eg_status sse_first(struct origin_answer *a)
{
    a->after = ORIGIN_SSE;
    enum eg_status r = put(
        &a->out, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n");
    return r == EG_OK ? chunk(&a->out, "data: one\n\n") : r;
}

enum eg_status origin_sse_rest(struct eg_buf *out)
{
    enum eg_status r = chunk(out, "data: two\n\n");
    return r == EG_OK ? eg_write_last_chunk(out) : r;
}

/* ---- what model APIs answer ---- */

static const char openai_chat[] =
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"test-model\","
    "\"choices\":[{\"index\":0,"
    "\"message\":{\"role\":\"assistant\",\"content\":\"hello from the test "
    "origin\",\"refusal\":null},\"logprobs\":null,"
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":5,\"total_"
    "tokens\":6}}";
static const char openai_response[] =
    "{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":1,\"status\":\"completed\","
    "\"error\":null,\"model\":\"test-model\","
    "\"output\":[{\"type\":\"message\",\"id\":\"msg_1\",\"status\":\"completed\",\"role\":"
    "\"assistant\",\"content\":[{\"type\":"
    "\"output_text\",\"text\":\"hello from the test "
    "origin\",\"annotations\":[]}]}],\"parallel_tool_calls\":true,\"tools\":[],"
    "\"usage\":{\"input_tokens\":1,\"output_tokens\":5,\"total_tokens\":6}}";
static const char anthropic_message[] =
    "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"test-model\","
    "\"content\":[{\"type\":\"text\","
    "\"text\":\"hello from the test origin\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"
    "\"usage\":{\"input_tokens\":1,\"output_tokens\":5}}";

static const char *const openai_stream[] = {
    "data: "
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"test-"
    "model\",\"choices\":[{\"index\":0,"
    "\"delta\":{\"role\":\"assistant\",\"content\":\"hello \"},\"finish_reason\":null}]}\n\n",
    "data: "
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"test-"
    "model\",\"choices\":[{\"index\":0,"
    "\"delta\":{\"content\":\"from the test origin\"},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
    NULL,
};
static const char *const anthropic_stream[] = {
    "event: message_start\ndata: "
    "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":"
    "\"assistant\","
    "\"model\":\"test-model\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":"
    "{\"input_tokens\":1,"
    "\"output_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: "
    "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\","
    "\"text\":\"\"}}\n\n",
    "event: content_block_delta\ndata: "
    "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
    "\"text\":\"hello from the test origin\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: message_delta\ndata: "
    "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},"
    "\"usage\":{\"output_tokens\":5}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    NULL,
};

static bool wants_stream(struct eg_slice body)
{
    return body.n && (memmem(body.p, body.n, "\"stream\":true", 13) ||
                      memmem(body.p, body.n, "\"stream\": true", 14));
}

static enum eg_status stream_events(struct origin_answer *a, const char *const *events)
{
    enum eg_status r = put(
        &a->out,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (; *events && r == EG_OK; events++)
        r = chunk(&a->out, *events);
    return r == EG_OK ? eg_write_last_chunk(&a->out) : r;
}

static bool model_api(const struct origin_request *q, struct origin_answer *a, enum eg_status *r)
{
    const char *answer = NULL;
    const char *const *events = openai_stream;
    if (is(q->path, "/v1/chat/completions")) {
        answer = openai_chat;
    } else if (is(q->path, "/v1/responses")) {
        answer = openai_response;
        events = NULL;
    } else if (is(q->path, "/v1/messages")) {
        answer = anthropic_message;
        events = anthropic_stream;
    }
    if (!answer || !eg_slice_eq(q->head->method, EG_SLICE("POST")))
        return false;
    *r = events && wants_stream(q->body)
             ? stream_events(a, events)
             : whole(a, 200, "application/json", eg_slice_str(answer), false);
    return true;
}

/* ---- fixed answers ---- */

static const struct {
    const char *path;
    enum origin_after after;
    const char *bytes;
} fixed[] = {
    { "/truncate", ORIGIN_CUT,
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n"
      "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901"
      "23456789" },
    { "/truncate-chunked", ORIGIN_CUT,
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" },
    { "/until-close", ORIGIN_CLOSE,
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nuntil the end\n" },
    { "/until-close-cut", ORIGIN_CUT,
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nuntil the e" },
    { "/die", ORIGIN_RESET, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nsome of it" },
    { "/hold", ORIGIN_HOLD, "" },
    { "/trickle", ORIGIN_TRICKLE,
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\n" },
    { "/early-hints", ORIGIN_NEXT,
      "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\nHTTP/1.1 200 "
      "OK\r\nContent-Length: 6\r\n\r\nhinted" },
    { "/redirect", ORIGIN_NEXT,
      "HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example.test/there\r\nContent-Length: "
      "0\r\n\r\n" },
    { "/bad", ORIGIN_CLOSE,
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello" },
    { "/bad/garbage", ORIGIN_CLOSE, "\x01\x02 this is no HTTP\r\n\r\n" },
    { "/bad/te-cl", ORIGIN_CLOSE,
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
    { "/bad/extra", ORIGIN_CLOSE,
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: "
      "6\r\n\r\nsmuggl" },
};

static bool fixed_answer(const struct origin_request *q, struct origin_answer *a, enum eg_status *r)
{
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        if (!is(q->path, fixed[i].path))
            continue;
        a->after = fixed[i].after;
        *r = put(&a->out, fixed[i].bytes);
        return true;
    }
    return false;
}

static bool generated(const struct origin_request *q, struct origin_answer *a, bool head_only,
                      enum eg_status *r)
{
    unsigned long long n;
    if (numbered(q->path, "/bytes/", &n)) {
        a->generate = head_only ? 0 : n;
        *r = eg_buf_printf(&a->out,
                           "HTTP/1.1 200 OK\r\nContent-Type: "
                           "application/octet-stream\r\nContent-Length: %llu\r\n\r\n",
                           n);
    } else if (numbered(q->path, "/chunked/", &n)) {
        a->generate = head_only ? 0 : n;
        a->generate_chunked = !head_only;
        *r = put(&a->out, "HTTP/1.1 200 OK\r\nContent-Type: "
                          "application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    } else if (numbered(q->path, "/status/", &n) && n >= 200 && n < 600) {
        bool empty = n == 204 || n == 304;
        *r = empty ? eg_buf_printf(&a->out, "HTTP/1.1 %llu Status\r\n\r\n", n)
                   : whole(a, (int)n, "text/plain", EG_SLICE("status\n"), head_only);
    } else {
        return false;
    }
    return true;
}

static enum eg_status as_json(const struct origin_request *q, const struct origin_stats *s,
                              struct origin_answer *a, bool head_only)
{
    struct eg_buf body;
    eg_buf_init(&body, 1 << 20);
    enum eg_status r =
        is(q->path, "/headers")
            ? headers_json(q->head, &body)
            : eg_buf_printf(&body,
                            "{\"connections\":%u,\"requests\":%u,\"resumed\":%u,\"open\":%u}\n",
                            s->connections, s->requests, s->resumed, s->open);
    if (r == EG_OK)
        r = whole(a, 200, "application/json", eg_buf_slice(&body), head_only);
    eg_buf_done(&body);
    return r;
}

enum eg_status origin_answer(const struct origin_request *q, const struct origin_stats *stats,
                             struct origin_answer *a, bool *release)
{
    bool head_only = eg_slice_eq(q->head->method, EG_SLICE("HEAD"));
    enum eg_status r = EG_OK;
    a->after = q->head->keep_alive ? ORIGIN_NEXT : ORIGIN_CLOSE;
    if (origin_leaks(q, a, &r) || origin_oauth(q, a, &r) || model_api(q, a, &r) || generated(q, a, head_only, &r) ||
        fixed_answer(q, a, &r))
        return r;
    if (is(q->path, "/echo"))
        return echo(q, a);
    if (is(q->path, "/sse"))
        return sse_first(a);
    if (is(q->path, "/headers") || is(q->path, "/stats"))
        return as_json(q, stats, a, head_only);
    if (is(q->path, "/close"))
        a->after = ORIGIN_CLOSE;
    *release = is(q->path, "/sse-go");
    char text[64];
    snprintf(text, sizeof text, "%zu bytes received\n", q->body.n);
    return whole(a, 200, "text/plain", eg_slice_str(text), head_only);
}
