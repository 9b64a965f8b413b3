/* chunked.c - any bytes as a chunked body. Any split decodes the same; whatever is accepted, a
 * plain reader of RFC 9112 7.1 decodes to the same bytes and the same end; and encoded anew it
 * decodes to itself with nothing left over. */
#include "http_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const char request[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

static struct eg_msg *one(void)
{
    const struct eg_msg_limits limits = { .head_bytes = 4096, .fields = 24, .target_bytes = 512 };
    struct eg_msg *m = NULL;
    MUST(eg_msg_new(&m, EG_MSG_REQUEST, &limits) == EG_OK);
    return m;
}

static int hex(char c)
{
    c = eg_lower(c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The plain reader: size in hex, whatever up to CRLF, data, CRLF; then lines up to an empty one.
 * Returns the bytes taken. */
static size_t plain(struct eg_slice in, struct eg_buf *out)
{
    size_t at = 0;
    for (;;) {
        size_t size = 0;
        MUST(at < in.n && hex(in.p[at]) >= 0);
        for (; at < in.n && hex(in.p[at]) >= 0; at++) {
            MUST(size <= SIZE_MAX / 16);
            size = size * 16 + (size_t)hex(in.p[at]);
        }
        const char *end = memmem(in.p + at, in.n - at, "\r\n", 2);
        MUST(end != NULL && memchr(in.p + at, '\n', (size_t)(end - in.p) - at) == NULL);
        at = (size_t)(end - in.p) + 2;
        if (size == 0) {
            break;
        }
        MUST(size <= in.n - at && in.n - at - size >= 2);
        MUST(eg_buf_append(out, in.p + at, size) == EG_OK);
        at += size;
        MUST(memcmp(in.p + at, "\r\n", 2) == 0);
        at += 2;
    }
    for (;;) {
        const char *end = memmem(in.p + at, in.n - at, "\r\n", 2);
        MUST(end != NULL);
        size_t line = (size_t)(end - in.p) - at;
        at += line + 2;
        if (line == 0) {
            return at;
        }
    }
}

static void check_anew(struct eg_slice data, struct eg_msg *m)
{
    struct eg_buf out, decoded;
    struct account a;
    eg_buf_init(&out, 1 << 22);
    eg_buf_init(&decoded, 1 << 20);
    MUST(eg_buf_put(&out, eg_slice_str(request)) == EG_OK);
    for (size_t at = 0, size = 1; at < data.n; at += size, size = size * 3 + 1) {
        size = size < data.n - at ? size : data.n - at;
        size_t before = out.len;
        MUST(eg_write_chunk(&out, eg_slice(data.p + at, size)) == EG_OK);
        MUST(out.len - before <= size + EG_CHUNK_OVERHEAD);
    }
    MUST(eg_write_last_chunk(&out) == EG_OK);
    read_message(m, EG_SLICE_NONE, eg_buf_slice(&out), 0, &a, &decoded);
    MUST(a.end == EG_EOF && a.taken == out.len && eg_slice_eq(eg_buf_slice(&decoded), data));
    eg_buf_done(&out);
    eg_buf_done(&decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct eg_msg *m = one();
    struct eg_buf in, decoded, expected;
    struct account whole, split;
    eg_buf_init(&in, 1 << 21);
    eg_buf_init(&decoded, 1 << 20);
    eg_buf_init(&expected, 1 << 20);
    MUST(eg_buf_put(&in, eg_slice_str(request)) == EG_OK && eg_buf_append(&in, bytes, n) == EG_OK);
    read_message(m, EG_SLICE_NONE, eg_buf_slice(&in), SIZE_MAX, &whole, &decoded);
    MUST(whole.head == EG_OK && whole.head_bytes == sizeof(request) - 1);
    for (size_t step = 0; step < 2; step++) {
        read_message(m, EG_SLICE_NONE, eg_buf_slice(&in), step, &split, NULL);
        MUST(same_account(&whole, &split));
    }
    if (whole.body == EG_EOF) {
        size_t taken = plain(eg_slice(bytes, n), &expected);
        MUST(taken == whole.taken - whole.head_bytes);
        MUST(eg_slice_eq(eg_buf_slice(&decoded), eg_buf_slice(&expected)));
        check_anew(eg_buf_slice(&decoded), m);
    } else {
        MUST(whole.end == EG_BAD_REQUEST || whole.end == EG_TOO_MANY_FIELDS);
    }
    eg_msg_free(m);
    eg_buf_done(&in);
    eg_buf_done(&decoded);
    eg_buf_done(&expected);
    return 0;
}
