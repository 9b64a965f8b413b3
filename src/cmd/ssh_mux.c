/* ssh_mux.c - codec of OpenSSH's control socket (PROTOCOL.mux), and the reading of its stderr.
 *
 * With NEW_STDIO_FWD the master answers only once the far side has answered it: SESSION_OPENED means
 * connected (OpenSSH 6.7 and later). Its FAILURE says only "Session open refused by peer"; the reason
 * is a line on its stderr, written before the FAILURE is queued (tried with 9.2; RFC 4254 5.1 has
 * the codes). What gateways write there is a peer's text: it is compared and made printable. */
#include "cmd/ssh_mux.h"

#include <arpa/inet.h>

enum {
    VERSION = 4,
    REQUEST_ID = 1,
    MSG_HELLO = 0x00000001,
    C_NEW_STDIO_FWD = 0x10000008,
    S_PERMISSION_DENIED = (int)0x80000002,
    S_FAILURE = (int)0x80000003,
    S_SESSION_OPENED = (int)0x80000006,
};

static enum eg_status put_u32(struct eg_buf *out, uint32_t v)
{
    v = htonl(v);
    return eg_buf_append(out, &v, sizeof v);
}

static uint32_t get_u32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return ntohl(v);
}

enum eg_status eg_ssh_mux_request(const struct eg_authority *to, struct eg_buf *out)
{
    const uint32_t head[] = { 8,
                              MSG_HELLO,
                              VERSION,
                              /* the next packet: */ 20u + to->host_len,
                              C_NEW_STDIO_FWD,
                              REQUEST_ID,
                              /* reserved string */ 0,
                              to->host_len };
    enum eg_status status = EG_OK;
    for (size_t i = 0; i < sizeof head / sizeof *head && status == EG_OK; i++)
        status = put_u32(out, head[i]);
    if (status == EG_OK)
        status = eg_buf_put(out, eg_authority_host(to));
    return status == EG_OK ? put_u32(out, to->port) : status;
}

/* The body behind the type, which is checked no further than its meaning needs. */
static enum eg_status judge(uint32_t type, struct eg_slice body, enum eg_ssh_mux_kind *ret)
{
    bool ours = body.n >= 4 && get_u32(body.p) == REQUEST_ID;
    switch ((int)type) {
    case MSG_HELLO: /* extensions may follow the version */
        if (body.n < 4 || get_u32(body.p) != VERSION)
            return EG_INVALID;
        *ret = EG_SSH_MUX_HELLO;
        return EG_OK;
    case S_SESSION_OPENED:
        *ret = EG_SSH_MUX_OPENED;
        return ours && body.n == 8 ? EG_OK : EG_INVALID;
    case S_FAILURE:
        *ret = EG_SSH_MUX_FAILURE;
        return ours ? EG_OK : EG_INVALID;
    case S_PERMISSION_DENIED:
        *ret = EG_SSH_MUX_DENIED;
        return ours ? EG_OK : EG_INVALID;
    default:
        *ret = EG_SSH_MUX_OTHER;
        return EG_OK;
    }
}

enum eg_status eg_ssh_mux_answer(struct eg_buf *in, enum eg_ssh_mux_kind *ret)
{
    struct eg_slice all = eg_buf_slice(in);
    if (all.n < 4)
        return EG_AGAIN;
    uint32_t n = get_u32(all.p);
    if (n < 4 || n > EG_SSH_MUX_MAX - 4)
        return EG_INVALID;
    if (all.n - 4 < n)
        return EG_AGAIN;
    enum eg_ssh_mux_kind kind;
    enum eg_status status = judge(get_u32(all.p + 4), eg_slice(all.p + 8, n - 4), &kind);
    if (status != EG_OK)
        return status;
    eg_buf_consume(in, 4 + n);
    *ret = kind;
    return EG_OK;
}

/* ---- the master's stderr ---- */

static bool has(struct eg_slice text, const char *part)
{
    size_t n = strlen(part);
    for (; text.n >= n; text = eg_slice_from(text, 1))
        if (eg_slice_caseeq(eg_slice(text.p, n), eg_slice_str(part)))
            return true;
    return false;
}

/* The sentence is the gateway's own (strerror or gai_strerror of its system). */
static enum eg_status of_sentence(struct eg_slice text)
{
    static const struct {
        const char *part;
        enum eg_status status;
    } known[] = {
        { "temporary failure in name", EG_DNS_FAILED },
        { "name or service not known", EG_DNS_NOT_FOUND },
        { "name does not resolve", EG_DNS_NOT_FOUND },
        { "nodename nor servname", EG_DNS_NOT_FOUND },
        { "no address associated", EG_DNS_NOT_FOUND },
        { "unknown host", EG_DNS_NOT_FOUND },
        { "no such host", EG_DNS_NOT_FOUND },
        { "timed out", EG_CONNECT_TIMEOUT },
        { "no route to host", EG_HOST_UNREACHABLE },
        { "network is unreachable", EG_NET_UNREACHABLE },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (has(text, known[i].part))
            return known[i].status;
    return EG_SSH_REFUSED;
}

enum eg_status eg_ssh_failure(struct eg_slice line)
{
    static const char failed[] = ": open failed: ";
    struct eg_slice rest = line;
    if (rest.n < 8 || memcmp(rest.p, "channel ", 8) != 0)
        return EG_OK;
    rest = eg_slice_from(rest, 8);
    size_t digits = 0;
    while (digits < rest.n && rest.p[digits] >= '0' && rest.p[digits] <= '9')
        digits++;
    rest = eg_slice_from(rest, digits);
    if (digits == 0 || rest.n < sizeof failed - 1 || memcmp(rest.p, failed, sizeof failed - 1) != 0)
        return EG_OK;
    rest = eg_slice_from(rest, sizeof failed - 1);
    if (has(rest, "administratively prohibited") || has(rest, "unknown channel type"))
        return EG_SSH_PROHIBITED;
    return of_sentence(rest);
}

static void whole_line(struct eg_ssh_said *s)
{
    enum eg_status status = eg_ssh_failure(eg_slice(s->line, s->n));
    if (status == EG_OK && s->n > 0) {
        memcpy(s->last, s->line, s->n);
        s->last[s->n] = '\0';
    } else if (status != EG_OK && s->failure_count < EG_SSH_FAILURES_MAX) {
        s->failures[s->failure_count++] = status;
    }
    s->n = 0;
    s->cut = false;
}

void eg_ssh_said_add(struct eg_ssh_said *s, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n' || p[i] == '\r') {
            whole_line(s);
            continue;
        }
        s->cut = s->cut || s->n == EG_SSH_LINE_MAX;
        if (!s->cut)
            s->line[s->n++] = p[i] >= ' ' && p[i] < 0x7f ? p[i] : '?';
    }
}

enum eg_status eg_ssh_said_claim(struct eg_ssh_said *s)
{
    if (s->failure_count == 0)
        return EG_SSH_REFUSED;
    bool mixed = false;
    for (unsigned i = 1; i < s->failure_count; i++)
        mixed = mixed || s->failures[i] != s->failures[0];
    for (unsigned i = 0; mixed && i < s->failure_count; i++)
        s->failures[i] =
            EG_SSH_REFUSED; /* not to be told apart: of all of them the vague is true */
    enum eg_status status = s->failures[0];
    s->failure_count--;
    memmove(s->failures, s->failures + 1, s->failure_count * sizeof *s->failures);
    return status;
}
