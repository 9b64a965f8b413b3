/* message.c - packets between supervisor and worker: encode and decode, no sockets.
 *
 * Every kind has the same layout: fixed part, three texts, statistics, pairs. Both sides are the
 * same build (fork without exec), so numbers are in host order; but what a worker sends is
 * hostile, so decode checks every length, every NUL and that nothing is left over. */
#include "cmd/message.h"

#include <stdlib.h>
#include <string.h>

enum { MAGIC = 0x45474c31 };

struct fixed {
    uint32_t magic, kind, generation, status;
    uint64_t when_us, id;
    uint32_t a, b, c, pairs; /* lengths without the NUL; count */
    uint8_t flag, family, address[16], ingress, protocols, auth;
    uint16_t port;
};

static enum eg_status put_text(struct eg_buf *out, struct eg_slice s)
{
    enum eg_status status = eg_buf_put(out, s);
    return status == EG_OK ? eg_buf_append(out, "", 1) : status;
}

static enum eg_status put_pairs(const struct eg_link_message *m, struct eg_buf *out)
{
    for (unsigned i = 0; i < m->pair_count; i++) {
        enum eg_status status = put_text(out, eg_slice_str(m->pairs[i].service));
        if (status == EG_OK)
            status = put_text(out, eg_slice_str(m->pairs[i].phantom));
        if (status != EG_OK)
            return status;
    }
    return EG_OK;
}

enum eg_status eg_link_encode(const struct eg_link_message *m, struct eg_buf *out)
{
    if (m->pair_count > EG_LINK_PAIRS || m->a.n > EG_LINK_TO_WORKER_MAX ||
        m->b.n > EG_LINK_TO_WORKER_MAX || m->c.n > EG_LINK_TO_WORKER_MAX)
        return EG_TOO_BIG;
    struct fixed f;
    memset(&f, 0, sizeof f); /* padding too: no bytes of ours leave by it */
    f.magic = MAGIC;
    f.kind = m->kind;
    f.generation = m->generation;
    f.status = m->status;
    f.when_us = m->when_us;
    f.id = m->id;
    f.a = (uint32_t)m->a.n;
    f.b = (uint32_t)m->b.n;
    f.c = (uint32_t)m->c.n;
    f.pairs = m->pair_count;
    f.flag = m->flag;
    f.family = m->at.addr.family;
    memcpy(f.address, m->at.addr.b, sizeof f.address);
    f.port = m->at.port;
    f.ingress = (uint8_t)m->ingress;
    f.protocols = (uint8_t)m->protocols;
    f.auth = (uint8_t)m->auth;
    const struct eg_slice texts[] = { m->a, m->b, m->c };
    enum eg_status status = eg_buf_append(out, &f, sizeof f);
    for (int i = 0; i < 3 && status == EG_OK; i++)
        status = put_text(out, texts[i]);
    if (status == EG_OK && m->kind == EG_LINK_STATS)
        status = eg_buf_append(out, &m->stats, sizeof m->stats);
    return status == EG_OK ? put_pairs(m, out) : status;
}

/* n bytes and their NUL off the front; text: no other NUL among them. */
static bool take_text(struct eg_slice *rest, size_t n, bool text, struct eg_slice *ret)
{
    if (n >= rest->n || rest->p[n] != 0 || (text && n > 0 && memchr(rest->p, 0, n)))
        return false;
    *ret = eg_slice(rest->p, n);
    *rest = eg_slice_from(*rest, n + 1);
    return true;
}

static bool take_string(struct eg_slice *rest, const char **ret)
{
    const char *end = rest->n ? memchr(rest->p, 0, rest->n) : NULL;
    if (!end)
        return false;
    *ret = rest->p;
    *rest = eg_slice_from(*rest, (size_t)(end - rest->p) + 1);
    return true;
}

static bool known(uint32_t kind)
{
    return (kind >= EG_LINK_POLICY && kind <= EG_LINK_CREDENTIAL_SETTLED) ||
           (kind >= EG_LINK_READY && kind <= EG_LINK_CREDENTIAL_ASK);
}

enum eg_status eg_link_decode(struct eg_slice packet, struct eg_link_message *m)
{
    struct fixed f;
    if (packet.n < sizeof f)
        return EG_INVALID;
    memcpy(&f, packet.p, sizeof f);
    if (f.magic != MAGIC || !known(f.kind) || f.status >= EG_STATUS_COUNT || f.flag > 1 ||
        f.pairs > EG_LINK_PAIRS || (f.family != 0 && f.family != 4 && f.family != 6) ||
        f.ingress >= EG_INGRESS_KINDS || (f.protocols & ~(EG_PROTOCOL_HTTP | EG_PROTOCOL_SOCKS)) ||
        f.auth > EG_AUTH_CLIENT_CERT)
        return EG_INVALID;
    memset(m, 0, offsetof(struct eg_link_message, pairs));
    m->kind = (enum eg_link_kind)f.kind;
    m->generation = f.generation;
    m->status = (enum eg_status)f.status;
    m->when_us = f.when_us;
    m->id = f.id;
    m->ingress = (enum eg_ingress_kind)f.ingress;
    m->protocols = f.protocols;
    m->auth = (enum eg_auth)f.auth;
    m->flag = f.flag;
    m->at.addr.family = f.family;
    memcpy(m->at.addr.b, f.address, sizeof f.address);
    m->at.port = f.port;
    struct eg_slice rest = eg_slice_from(packet, sizeof f);
    if (!take_text(&rest, f.a, true, &m->a) || !take_text(&rest, f.b, false, &m->b) ||
        !take_text(&rest, f.c, true, &m->c))
        return EG_INVALID;
    if (m->kind == EG_LINK_STATS) {
        if (rest.n < sizeof m->stats)
            return EG_INVALID;
        memcpy(&m->stats, rest.p, sizeof m->stats);
        rest = eg_slice_from(rest, sizeof m->stats);
    }
    for (; m->pair_count < f.pairs; m->pair_count++)
        if (!take_string(&rest, &m->pairs[m->pair_count].service) ||
            !take_string(&rest, &m->pairs[m->pair_count].phantom))
            return EG_INVALID;
    return rest.n == 0 ? EG_OK : EG_INVALID;
}
