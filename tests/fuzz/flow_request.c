/* flow_request: what a client sends, through a whole engine to an origin that answers every request alike.
 *
 * Input: how it is cut (a byte a piece), a zero, and the bytes. `@P` stands for the phantom. Properties: nothing crashes; the origin sees the credential once for each request of its own and
 * the phantom in no head; the client never sees the credential. */
#include <stdint.h>

#include "http/message.h"
#include "support/flow_run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 4096 };

static struct flow_world *world;

static size_t expanded(const uint8_t *p, size_t n, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < n && len < INPUT_MAX * 2; i++) {
        if (p[i] == '@' && i + 1 < n && p[i + 1] == 'P') {
            memcpy(out + len, FLOW_PHANTOM, strlen(FLOW_PHANTOM));
            len += strlen(FLOW_PHANTOM);
            i++;
        } else {
            out[len++] = (char)p[i];
        }
    }
    return len;
}

/* Every message at the origin is whole in form, and each head is ours. */
static void check_origin(const struct flow_world *w)
{
    static const struct eg_msg_limits limits = { 65536, 200, 65536 };
    struct eg_msg *m = NULL;
    const char *p = w->up;
    size_t n = w->up_n;
    FLOW_MUST(eg_msg_new(&m, EG_MSG_REQUEST, &limits) == EG_OK);
    while (n > 0) {
        size_t used = 0;
        struct eg_slice data;
        enum eg_status status = eg_msg_head(m, p, n, &used, NULL);
        FLOW_MUST(status == EG_OK || status == EG_AGAIN);
        FLOW_MUST(!flow_has(p, used, FLOW_PHANTOM));
        if (status == EG_AGAIN)
            break;
        FLOW_MUST(flow_count(p, used, FLOW_SECRET) == 1);
        for (p += used, n -= used; n > 0 && !eg_msg_complete(m); p += used, n -= used) {
            status = eg_msg_body(m, p, n, &used, &data, NULL);
            FLOW_MUST(status == EG_OK || status == EG_AGAIN || status == EG_EOF);
        }
        eg_msg_reset(m, EG_SLICE_NONE);
    }
    eg_msg_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    static char text[INPUT_MAX * 2 + 64];
    if (!world)
        world = flow_new("");
    if (size > INPUT_MAX)
        return 0;
    const uint8_t *zero = memchr(data, 0, size);
    size_t cuts = zero ? (size_t)(zero - data) : 0, skip = zero ? cuts + 1 : 0;
    size_t n = expanded(data + skip, size - skip, text), answered = 0;
    if (flow_has(text, n, FLOW_SECRET)) /* a client that has it already may send it */
        return 0;
    flow_open(world);
    for (size_t at = 0, i = 0; at < n && !world->client_eof; i++) {
        size_t one = i < cuts ? data[i] + 1u : n - at;
        one = one < n - at ? one : n - at;
        flow_say(world, world->client, text + at, one);
        at += one;
        flow_settle(world);
        if (world->up_n > answered &&
            flow_has(world->up + answered, world->up_n - answered, "\r\n\r\n")) {
            answered = world->up_n;
            flow_say(world, world->origin, answer, sizeof answer - 1);
            flow_settle(world);
        }
    }
    check_origin(world);
    FLOW_MUST(!flow_has(world->down, world->down_n, FLOW_SECRET));
    flow_close(world);
    return 0;
}
