/* request_head.c - any bytes as a request. Any split gives the same result; what is accepted reads
 * the same to a naive reader; and written anew it is parsed as the same request. */
#include "http_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static struct eg_msg *one(void)
{
    const struct eg_msg_limits limits = { .head_bytes = 4096, .fields = 24, .target_bytes = 512 };
    struct eg_msg *m = NULL;
    MUST(eg_msg_new(&m, EG_MSG_REQUEST, &limits) == EG_OK);
    return m;
}

static void write_anew(const struct eg_head *h, struct eg_buf *out)
{
    MUST(eg_write_request_line(out, h->method, h->target) == EG_OK);
    for (uint32_t i = 0; i < h->field_count; i++) {
        if (!eg_slice_caseeq(h->fields[i].name, EG_SLICE("content-length")) &&
            !eg_slice_caseeq(h->fields[i].name, EG_SLICE("transfer-encoding"))) {
            MUST(eg_write_field(out, h->fields[i].name, h->fields[i].value) == EG_OK);
        }
    }
    MUST(eg_write_framing(out, h->framing, h->length) == EG_OK);
    MUST(eg_write_end(out) == EG_OK);
}

/* Twice, since the first writing moves the framing to the end; HTTP/1.0 may lack the Host that 1.1
 * asks for. */
static void check_anew(const struct eg_head *h, bool keep_alive, struct eg_msg *second,
                       struct eg_msg *third)
{
    struct eg_buf out;
    struct account a;
    if (h->minor == 0) {
        return;
    }
    eg_buf_init(&out, 65536);
    write_anew(h, &out);
    read_message(second, EG_SLICE_NONE, eg_buf_slice(&out), SIZE_MAX, &a, NULL);
    MUST(a.head == EG_OK || a.head == EG_TOO_MANY_FIELDS || a.head == EG_HEAD_TOO_LARGE);
    if (a.head == EG_OK) {
        const struct eg_head *again = eg_msg_head_get(second);
        MUST(a.taken == out.len && eg_slice_eq(again->method, h->method) &&
             eg_slice_eq(again->target, h->target));
        MUST(again->framing == h->framing && again->length == h->length &&
             again->upgrade == h->upgrade);
        MUST(again->expect_continue == h->expect_continue && a.keep_alive == keep_alive);
        struct eg_buf last;
        eg_buf_init(&last, 65536);
        write_anew(again, &last);
        MUST(eg_slice_eq(eg_buf_slice(&out), eg_buf_slice(&last)));
        read_message(third, EG_SLICE_NONE, eg_buf_slice(&last), SIZE_MAX, &a, NULL);
        MUST(a.head == EG_OK && same_head(eg_msg_head_get(third), again));
        eg_buf_done(&last);
    }
    eg_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct eg_msg *m = one(), *other = one(), *third = one();
    struct eg_slice in = eg_slice(bytes, n);
    struct account whole, split;
    read_message(m, EG_SLICE_NONE, in, SIZE_MAX, &whole, NULL);
    for (size_t step = 0; step < 2; step++) {
        read_message(other, EG_SLICE_NONE, in, step, &split, NULL);
        MUST(same_account(&whole, &split));
        MUST(whole.head != EG_OK || same_head(eg_msg_head_get(m), eg_msg_head_get(other)));
    }
    if (whole.head == EG_OK) {
        const struct eg_head *h = eg_msg_head_get(m);
        struct eg_slice head = eg_slice(in.p, whole.head_bytes);
        head = eg_slice_from(head, eg_slice_starts(head, EG_SLICE("\r\n")) ? 2 : 0);
        const char *end = memmem(head.p, head.n, "\r\n", 2);
        MUST(end != NULL && whole.head_bytes <= 4096 + 2);
        check_raw(eg_slice_from(head, (size_t)(end - head.p) + 2), h);
        MUST(h->minor == 1 || h->framing != EG_BODY_CHUNKED);
        MUST(h->framing != EG_BODY_UNTIL_CLOSE);
        check_anew(h, whole.keep_alive, other, third);
    }
    eg_msg_free(m);
    eg_msg_free(other);
    eg_msg_free(third);
    return 0;
}
