/* control.c - fuzzes what reads bytes of other processes in the supervisor: control messages
 * (framing, JSON, dispatch), a worker's packets, and kept events. The first byte chooses. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/message.h"
#include "cmd/view.h"
#include "ctl/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum eg_status handle(void *ctx, const json_t *request, struct eg_ctl_answer *answer,
                             struct eg_err *err)
{
    uint64_t n;
    unsigned *calls = ctx;
    (*calls)++;
    const char *id = eg_ctl_text(request, "id");
    if (id && strlen(id) > EG_CTL_MESSAGE_MAX)
        abort();
    if (!eg_ctl_number(request, "after", 0, &n))
        return eg_err_set(err, EG_INVALID, "fuzz", 0, "malformed request");
    answer->reply = json_pack("{s:I}", "after", (json_int_t)n);
    return EG_OK;
}

static const struct eg_ctl_handler handlers[] = { { "audit", handle },
                                                  { "session.revoke", handle },
                                                  { NULL, NULL } };

/* Whole, and byte by byte: the same number of messages with the same answers. */
static unsigned control(const uint8_t *data, size_t size, size_t step)
{
    struct eg_buf in, out;
    unsigned calls = 0, messages = 0;
    bool broken = false;
    eg_buf_init(&in, EG_CTL_IN_MAX);
    eg_buf_init(&out, EG_CTL_IN_MAX);
    for (size_t at = 0; at < size && !broken; at += step) {
        size_t n = size - at < step ? size - at : step;
        if (eg_buf_append(&in, data + at, n) != EG_OK)
            break;
        for (;;) {
            json_t *request = NULL;
            struct eg_ctl_answer answer;
            enum eg_status status = eg_ctl_wire_take(&in, &request, NULL);
            if (status == EG_AGAIN) {
                if (eg_ctl_wire_missing(&in) == 0)
                    abort();
                break;
            }
            broken = status != EG_OK;
            if (broken)
                break;
            json_t *reply = eg_ctl_dispatch(handlers, &calls, request, messages == 0, &answer);
            eg_buf_reset(&out);
            if (!reply || eg_ctl_wire_put(&out, reply) != EG_OK)
                abort();
            json_decref(reply);
            json_decref(request);
            messages++;
        }
    }
    eg_buf_done(&in);
    eg_buf_done(&out);
    return messages * 2 + broken;
}

static void packet(const uint8_t *data, size_t size)
{
    struct eg_link_message m;
    struct eg_buf again;
    if (eg_link_decode(eg_slice(data, size), &m) != EG_OK)
        return;
    eg_buf_init(&again, 2 * EG_LINK_TO_WORKER_MAX);
    /* What is taken can be written again, and is as long: no byte of a packet goes unread. */
    if (eg_link_encode(&m, &again) != EG_OK || again.len != size)
        abort();
    eg_buf_done(&again);
}

static void event(const uint8_t *data, size_t size)
{
    struct egress_event e;
    struct eg_buf row;
    if (egress_event_parse((const char *)data, size, &e) != EG_OK)
        return;
    eg_buf_init(&row, 16384);
    if (eg_view_row(&e, &e, true, &row) != EG_OK)
        abort();
    for (size_t i = 0; i < row.len; i++) {
        unsigned char c = (unsigned char)row.data[row.off + i];
        if (c != 033 && c != '\n' && (c < 0x20 || c > 0x7e))
            abort();
    }
    eg_buf_done(&row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if (data[0] == 'p')
        packet(data + 1, size - 1);
    else if (data[0] == 'e')
        event(data + 1, size - 1);
    else if (size < 8192 && control(data + 1, size - 1, size) != control(data + 1, size - 1, 1))
        abort();
    return 0;
}
