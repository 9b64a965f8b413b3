/* flow_response: what an origin answers, through a whole engine to a client that asked once.
 *
 * Input: a byte whose low bits choose the request (GET, HEAD, POST, HTTP/1.0), how the answer is cut (a byte a piece), a zero, and the bytes; `@S` stands for the credential. Then the origin closes. Properties: nothing
 * crashes; the client never sees the credential, plain or percent-encoded; what looks like a whole answer is one: the origin's was whole too, or it is a
 * refusal of ours. (Where the end of the connection ends it, as for HTTP/1.0, a stream in memory has no way to tell an abort.) */
#include <stdint.h>

#include "http/message.h"
#include "support/flow_run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 4096 };

#define FIELDS " /api/x HTTP/1.%c\r\nHost: localhost\r\nAuthorization: Bearer " FLOW_PHANTOM "\r\n"

static struct flow_world *world;

static size_t expanded(const uint8_t *p, size_t n, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < n && len < INPUT_MAX * 2; i++) {
        if (p[i] == '@' && i + 1 < n && p[i + 1] == 'S') {
            memcpy(out + len, FLOW_SECRET, strlen(FLOW_SECRET));
            len += strlen(FLOW_SECRET);
            i++;
        } else {
            out[len++] = (char)p[i];
        }
    }
    return len;
}

/* Is it an answer that is whole by its own framing? *by_end: the end of the connection ends it. */
static bool is_whole(const char *p, size_t n, const char *method, bool *by_end)
{
    static const struct eg_msg_limits limits = { 1 << 20, 2000, 1 };
    struct eg_msg *m = NULL;
    struct eg_slice data;
    size_t used = 0;
    enum eg_status status;
    FLOW_MUST(eg_msg_new(&m, EG_MSG_RESPONSE, &limits) == EG_OK);
    do { /* 1xx */
        eg_msg_reset(m, eg_slice_str(method));
        status = eg_msg_head(m, p, n, &used, NULL);
        p += used, n -= used;
    } while (status == EG_OK && eg_msg_head_get(m)->status < 200 && n > 0);
    bool whole = status == EG_OK && eg_msg_head_get(m)->status >= 200;
    *by_end = whole && eg_msg_head_get(m)->framing == EG_BODY_UNTIL_CLOSE;
    while (whole && n > 0 && !eg_msg_complete(m)) {
        status = eg_msg_body(m, p, n, &used, &data, NULL);
        whole = status == EG_OK || status == EG_AGAIN || status == EG_EOF;
        p += used, n -= used;
    }
    whole = whole && (eg_msg_complete(m) || eg_msg_finish(m, NULL) == EG_EOF);
    eg_msg_free(m);
    return whole;
}

static void check_client(const char *answer, size_t n, const char *method)
{
    const struct flow_world *w = world;
    bool by_end, theirs_by_end;
    FLOW_MUST(!flow_has(w->down, w->down_n, FLOW_SECRET));
    FLOW_MUST(!flow_has(w->down, w->down_n, "sk%2DREALrealREALrealREALrealREAL99"));
    if (is_whole(w->down, w->down_n, method, &by_end) && !by_end &&
        !flow_has(w->down, w->down_n, "X-Egress-Reason:"))
        FLOW_MUST(is_whole(answer, n, method, &theirs_by_end));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const methods[] = { "GET", "HEAD", "POST", "GET" };
    static char text[INPUT_MAX * 2 + 64];
    char request[512];
    if (!world)
        world = flow_new("");
    if (size < 1 || size > INPUT_MAX)
        return 0;
    const char *method = methods[data[0] & 3];
    int asked =
        snprintf(request, sizeof request, "%s" FIELDS "%s\r\n", method,
                 (data[0] & 3) == 3 ? '0' : '1', (data[0] & 3) == 2 ? "Content-Length: 0\r\n" : "");
    const uint8_t *zero = memchr(data + 1, 0, size - 1);
    size_t cuts = zero ? (size_t)(zero - data) - 1 : 0, skip = zero ? cuts + 2 : 1;
    size_t n = expanded(data + skip, size - skip, text), at = 0;
    flow_open(world);
    flow_say(world, world->client, request, (size_t)asked);
    flow_settle(world);
    for (size_t i = 0; at < n && world->origin && !world->origin_eof; i++) {
        size_t one = i < cuts ? data[1 + i] + 1u : n - at;
        one = one < n - at ? one : n - at;
        flow_say(world, world->origin, text + at, one);
        at += one;
        flow_settle(world);
    }
    flow_end(world->origin);
    flow_settle(world);
    check_client(text, n, method);
    flow_close(world);
    return 0;
}
