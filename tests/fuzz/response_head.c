/* response_head.c - any bytes as a response; the first byte chooses the request that it answers.
 * The same properties as in request_head.c, and a body that was cut short never ends well. */
#include "http_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static struct eg_msg *one(void)
{
    const struct eg_msg_limits limits = { .head_bytes = 4096, .fields = 24, .target_bytes = 1 };
    struct eg_msg *m = NULL;
    MUST(eg_msg_new(&m, EG_MSG_RESPONSE, &limits) == EG_OK);
    return m;
}

static void check_anew(const struct eg_head *h, struct eg_slice asked, struct eg_msg *second)
{
    struct eg_buf out;
    struct account a;
    eg_buf_init(&out, 65536);
    MUST(eg_write_status_line(&out, h->status, h->reason) == EG_OK);
    for (uint32_t i = 0; i < h->field_count; i++) {
        MUST(eg_write_field(&out, h->fields[i].name, h->fields[i].value) == EG_OK);
    }
    MUST(eg_write_end(&out) == EG_OK);
    read_message(second, asked, eg_buf_slice(&out), SIZE_MAX, &a, NULL);
    MUST(a.head == EG_OK ||
         a.head == EG_BAD_RESPONSE); /* too large by the spaces that were added */
    MUST(a.head != EG_BAD_RESPONSE || out.len > 4096);
    if (a.head == EG_OK) {
        MUST(a.taken == out.len && same_head(eg_msg_head_get(second), h));
    }
    eg_buf_done(&out);
}

static void check_statuses(const struct account *a)
{
    MUST(a->head == EG_OK || a->head == EG_AGAIN || a->head == EG_BAD_RESPONSE);
    MUST(a->body == EG_OK || a->body == EG_AGAIN || a->body == EG_EOF ||
         a->body == EG_BAD_RESPONSE);
    MUST(a->end == EG_EOF || a->end == EG_CLOSED || a->end == EG_RESPONSE_TRUNCATED ||
         a->end == EG_BAD_RESPONSE);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const struct eg_slice methods[] = {
        { "GET", 3 }, { "HEAD", 4 }, { "CONNECT", 7 }, { "POST", 4 }
    };
    if (n == 0) {
        return 0;
    }
    struct eg_msg *m = one(), *other = one();
    struct eg_slice asked = methods[bytes[0] % 4];
    struct eg_slice in = eg_slice(bytes + 1, n - 1);
    struct account whole, split;
    read_message(m, asked, in, SIZE_MAX, &whole, NULL);
    check_statuses(&whole);
    for (size_t step = 0; step < 2; step++) {
        read_message(other, asked, in, step, &split, NULL);
        MUST(same_account(&whole, &split));
        MUST(whole.head != EG_OK || same_head(eg_msg_head_get(m), eg_msg_head_get(other)));
    }
    if (whole.head == EG_OK) {
        const struct eg_head *h = eg_msg_head_get(m);
        const char *end = memmem(in.p, whole.head_bytes, "\r\n", 2);
        MUST(end != NULL && h->status >= 100 && h->status <= 599);
        if (bytes[0] % 4 != 2 || h->status < 200 || h->status > 299) {
            check_raw(eg_slice_from(eg_slice(in.p, whole.head_bytes), (size_t)(end - in.p) + 2), h);
        }
        MUST(h->framing != EG_BODY_LENGTH || (whole.end == EG_EOF) == (whole.data_n == h->length));
        check_anew(h, asked, other);
    }
    eg_msg_free(m);
    eg_msg_free(other);
    return 0;
}
