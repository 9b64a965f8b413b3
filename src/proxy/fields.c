/* fields.c - the fields of a request that an intermediary writes itself, whatever the client sent: Expect,
 * Max-Forwards, Accept-Encoding where the answer is searched, Connection and what it names. What is dropped
 * of the client's by class is http/hygiene's. */
#include "http/write.h"
#include "proxy/redaction.h"
#include "proxy/sigv4.h"
#include "proxy/trailers.h"

/* RFC 9110 section 7.6.2: of OPTIONS (TRACE is refused), and each intermediary takes one off. */
static bool counts_forwards(const struct eg_head *head, unsigned long long *left)
{
    const struct eg_field *field = eg_head_find(head, EG_SLICE("Max-Forwards"), NULL);
    return field && eg_slice_eq(head->method, EG_SLICE("OPTIONS")) &&
           eg_slice_u64(field->value, left);
}

bool eg_exchange_last_stop(const struct eg_head *head)
{
    unsigned long long left;
    return counts_forwards(head, &left) && left == 0;
}

bool eg_exchange_drops(const struct eg_flow *f, const struct eg_field *field)
{
    unsigned long long left;
    return eg_slice_caseeq(field->name, EG_SLICE("Expect")) || eg_redaction_drops(f, field) ||
           (eg_slice_caseeq(field->name, EG_SLICE("Max-Forwards")) &&
            counts_forwards(eg_msg_head_get(f->request), &left));
}

enum eg_status eg_exchange_own_fields(struct eg_flow *f)
{
    const struct eg_head *head = eg_msg_head_get(f->request);
    struct eg_buf *out = &f->origin.out;
    enum eg_status status = EG_OK;
    unsigned long long left;
    if (head->expect_continue && head->framing != EG_BODY_NONE && !eg_resign_holds(f->exchange))
        status = eg_write_field(out, EG_SLICE("Expect"), EG_SLICE("100-continue"));
    if (status == EG_OK && counts_forwards(head, &left) && left > 0)
        status = eg_buf_printf(out, "Max-Forwards: %llu\r\n", left - 1);
    if (status == EG_OK && eg_redaction_on(f))
        status = eg_write_field(out, EG_SLICE("Accept-Encoding"), EG_SLICE("identity"));
    if (status == EG_OK && f->exchange->upgrade)
        return eg_buf_put(out, EG_SLICE("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    if (status == EG_OK && eg_trailers_wanted(f))
        status = eg_buf_put(out, EG_SLICE("Connection: TE\r\nTE: trailers\r\n"));
    if (status == EG_OK && f->exchange->framing == EG_BODY_CHUNKED) {
        eg_trailers_keep(f, f->request);
        status = eg_trailers_announce(f, head, out);
    }
    return status;
}
