/* write.c - writes heads and chunks from parsed parts.
 *
 * What it writes, a strict reader understands in one way only: each part is checked again here,
 * whoever made it, so that no value can end its line (response splitting, security.md T13, T18).
 * It decides nothing about what should be sent. */
#include "http/write.h"

#include <time.h>

#include "http/strict.h"

static bool is_line_safe(struct eg_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_target(struct eg_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= 0x20 || c >= 0x7f) {
            return false;
        }
    }
    return s.n > 0;
}

/* Makes room for the parts first, so that a failure leaves no half line behind. */
static enum eg_status put_parts(struct eg_buf *out, const struct eg_slice *parts, size_t count)
{
    size_t n = 0;
    char *to = NULL;
    for (size_t i = 0; i < count; i++) {
        n += parts[i].n;
    }
    enum eg_status status = eg_buf_reserve(out, n, &to);
    if (status != EG_OK) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        if (parts[i].n > 0) {
            memcpy(to, parts[i].p, parts[i].n);
            to += parts[i].n;
        }
    }
    eg_buf_commit(out, n);
    return EG_OK;
}

enum eg_status eg_write_request_line(struct eg_buf *out, struct eg_slice method,
                                     struct eg_slice target)
{
    if (!eg_strict_token(method) || !is_target(target)) {
        return EG_INVALID;
    }
    const struct eg_slice parts[] = { method, EG_SLICE(" "), target, EG_SLICE(" HTTP/1.1\r\n") };
    return put_parts(out, parts, 4);
}

enum eg_status eg_write_status_line(struct eg_buf *out, int status, struct eg_slice reason)
{
    if (status < 100 || status > 599 || !is_line_safe(reason)) {
        return EG_INVALID;
    }
    const char code[3] = { (char)('0' + status / 100), (char)('0' + status / 10 % 10),
                           (char)('0' + status % 10) };
    const struct eg_slice parts[] = { EG_SLICE("HTTP/1.1 "), eg_slice(code, 3), EG_SLICE(" "),
                                      reason, EG_SLICE("\r\n") };
    return put_parts(out, parts, 5);
}

enum eg_status eg_write_field(struct eg_buf *out, struct eg_slice name, struct eg_slice value)
{
    if (!eg_strict_token(name) || !is_line_safe(value)) {
        return EG_INVALID;
    }
    const struct eg_slice parts[] = { name, EG_SLICE(": "), value, EG_SLICE("\r\n") };
    return put_parts(out, parts, 4);
}

/* Without printf, whose parsing of a format would be a fortieth of a small exchange. */
static enum eg_status put_length(struct eg_buf *out, uint64_t length)
{
    char text[20];
    size_t at = sizeof text;
    do
        text[--at] = (char)('0' + length % 10);
    while ((length /= 10) > 0);
    const struct eg_slice parts[] = { EG_SLICE("Content-Length: "),
                                      eg_slice(text + at, sizeof text - at), EG_SLICE("\r\n") };
    return put_parts(out, parts, 3);
}

enum eg_status eg_write_framing(struct eg_buf *out, enum eg_framing framing, uint64_t length)
{
    switch (framing) {
    case EG_BODY_LENGTH:
        return put_length(out, length);
    case EG_BODY_CHUNKED:
        return eg_buf_put(out, EG_SLICE("Transfer-Encoding: chunked\r\n"));
    case EG_BODY_NONE:
    case EG_BODY_UNTIL_CLOSE:
        return EG_OK;
    }
    return EG_INVALID;
}

enum eg_status eg_write_date(struct eg_buf *out, uint64_t wall_us)
{
    static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm t;
    if (gmtime_r(&seconds, &t) == NULL) {
        return EG_INVALID;
    }
    return eg_buf_printf(out, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[t.tm_wday],
                         t.tm_mday, months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min,
                         t.tm_sec);
}

enum eg_status eg_write_end(struct eg_buf *out)
{
    return eg_buf_put(out, EG_SLICE("\r\n"));
}

enum eg_status eg_write_chunk(struct eg_buf *out, struct eg_slice data)
{
    char size[16];
    size_t at = sizeof(size);
    if (data.n == 0) { /* would be the last chunk */
        return EG_INVALID;
    }
    for (size_t n = data.n; n > 0; n /= 16) {
        size[--at] = "0123456789abcdef"[n % 16];
    }
    const struct eg_slice parts[] = { eg_slice(size + at, sizeof(size) - at), EG_SLICE("\r\n"),
                                      data, EG_SLICE("\r\n") };
    return put_parts(out, parts, 4);
}

enum eg_status eg_write_last_chunk(struct eg_buf *out)
{
    return eg_buf_put(out, EG_SLICE("0\r\n\r\n"));
}
