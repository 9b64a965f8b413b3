/* names.c - one question of DNS, read from hostile bytes, and its answer (RFC 1035 4.1).
 *
 * A question is one name without compression, a type and a class. What follows it is only counted (EDNS and its
 * like are of no use to an answer of one record); nothing is read behind the end. A label with a dot inside would be
 * two labels in text, so it is no host's name. */
#include "proxy/names.h"

enum { LABEL_MAX = 63, WIRE_MAX = 255, CLASS_IN = 1, CLASS_ANY = 255 };

static unsigned u16(const unsigned char *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

/* The name at p[*at]: its labels joined by dots into text (WIRE_MAX bytes). false: it is no name. *plain: no label
 * has a dot of its own. */
static bool read_name(const unsigned char *p, size_t n, size_t *at, char *text, size_t *len,
                      bool *plain)
{
    size_t begin = *at;
    *len = 0;
    *plain = true;
    for (;;) {
        if (*at >= n)
            return false;
        size_t label = p[(*at)++];
        if (label == 0)
            break;
        if (label > LABEL_MAX || n - *at < label || *at + label - begin >= WIRE_MAX)
            return false;
        if (memchr(p + *at, '.', label))
            *plain = false;
        if (*len > 0)
            text[(*len)++] = '.';
        memcpy(text + *len, p + *at, label);
        *len += label;
        *at += label;
    }
    return true;
}

/* "5.0.18.198.in-addr.arpa": the address, when it spells one with canonical numbers. */
static struct eg_addr read_reverse(const struct eg_authority *name)
{
    static const char suffix[] = ".in-addr.arpa";
    struct eg_addr back, none = { 0 };
    size_t tail = sizeof suffix - 1;
    if (name->host_len <= tail || memcmp(name->host + name->host_len - tail, suffix, tail) != 0)
        return none;
    if (!eg_addr_parse(eg_slice(name->host, name->host_len - tail), &back) || back.family != 4)
        return none;
    return (struct eg_addr){ .family = 4, .b = { back.b[3], back.b[2], back.b[1], back.b[0] } };
}

static void fault(struct eg_names_question *q, enum eg_names_rcode rcode)
{
    q->kind = EG_NAMES_ERROR;
    q->rcode = rcode;
}

static void read_question(const unsigned char *p, size_t n, struct eg_names_question *q)
{
    char text[WIRE_MAX];
    size_t at = EG_NAMES_HEAD, len;
    bool plain;
    if (!read_name(p, n, &at, text, &len, &plain) || n - at < 4 ||
        (u16(p + 10) == 0 && n - at != 4)) { /* more bytes than the counts promise */
        fault(q, EG_NAMES_FORMERR);
        return;
    }
    q->type = (uint16_t)u16(p + at);
    unsigned class = u16(p + at + 2);
    q->asked = eg_slice(p + EG_NAMES_HEAD, at + 4 - EG_NAMES_HEAD);
    if (class != CLASS_IN && class != CLASS_ANY) {
        fault(q, EG_NAMES_REFUSED);
        return;
    }
    q->kind = EG_NAMES_ASKED;
    q->host =
        plain && eg_host_parse(eg_slice(text, len), &q->name, NULL) == EG_OK && !q->name.literal;
    if (q->host)
        q->reverse = read_reverse(&q->name);
}

void eg_names_parse(const char *bytes, size_t n, struct eg_names_question *ret)
{
    const unsigned char *p = (const unsigned char *)bytes;
    *ret = (struct eg_names_question){ .kind = EG_NAMES_DROP };
    if (n < EG_NAMES_HEAD || n > EG_NAMES_QUESTION_MAX || (p[2] & 0x80)) /* QR: an answer */
        return;
    ret->id = (uint16_t)u16(p);
    ret->opcode = p[2] >> 3 & 15;
    ret->recursion = p[2] & 1;
    if (ret->opcode != 0)
        fault(ret, EG_NAMES_NOTIMP);
    else if ((p[2] & 2) || u16(p + 4) != 1 || u16(p + 6) != 0 || u16(p + 8) != 0) /* TC, counts */
        fault(ret, EG_NAMES_FORMERR);
    else
        read_question(p, n, ret);
}

/* ---- the answer ---- */

struct out {
    char *p;
    size_t n;
};

static void put(struct out *o, const void *p, size_t n)
{
    if (n > EG_NAMES_ANSWER_MAX - o->n)
        return; /* no answer is so long: the sizes of names.h */
    memcpy(o->p + o->n, p, n);
    o->n += n;
}

static void put_u16(struct out *o, unsigned v)
{
    const char b[2] = { (char)(v >> 8), (char)v };
    put(o, b, 2);
}

/* A canonical host: labels of at most 63 octets, none empty. */
static void put_name(struct out *o, const struct eg_authority *name)
{
    struct eg_slice rest = eg_authority_host(name);
    while (rest.n > 0) {
        long dot = eg_slice_index(rest, '.');
        size_t label = dot < 0 ? rest.n : (size_t)dot;
        const char length = (char)label;
        put(o, &length, 1);
        put(o, rest.p, label);
        rest = eg_slice_from(rest, dot < 0 ? label : label + 1);
    }
    put(o, "", 1);
}

/* One record about the name that was asked for, which stands at the head's end. */
static void put_record(struct out *o, const struct eg_names_answer *a)
{
    put_u16(o, 0xc000 | EG_NAMES_HEAD);
    put_u16(o, a->addr.family == 4   ? EG_NAMES_A
               : a->addr.family == 6 ? EG_NAMES_AAAA
                                     : EG_NAMES_PTR);
    put_u16(o, CLASS_IN);
    put_u16(o, 0);
    put_u16(o, EG_NAMES_TTL_S);
    if (a->addr.family != 0) {
        size_t size = a->addr.family == 4 ? 4 : 16;
        put_u16(o, (unsigned)size);
        put(o, a->addr.b, size);
    } else {
        put_u16(o, (unsigned)a->name.host_len + 2);
        put_name(o, &a->name);
    }
}

size_t eg_names_write(const struct eg_names_question *q, const struct eg_names_answer *a,
                      char out[EG_NAMES_ANSWER_MAX])
{
    struct out o = { out, 0 };
    if (q->kind == EG_NAMES_DROP)
        return 0;
    bool asked = q->kind == EG_NAMES_ASKED;
    bool record =
        asked && a->rcode == EG_NAMES_NOERROR && (a->addr.family != 0 || a->name.host_len > 0);
    put_u16(&o, q->id);
    /* QR, AA and RA: who asks for recursion takes an answer without RA for a lame one */
    put_u16(&o, 0x8480u | (unsigned)q->opcode << 11 | (q->recursion ? 0x100u : 0) |
                    (unsigned)(asked ? a->rcode : q->rcode));
    put_u16(&o, asked);
    put_u16(&o, record);
    put_u16(&o, 0);
    put_u16(&o, 0);
    if (asked)
        put(&o, q->asked.p, q->asked.n);
    if (record)
        put_record(&o, a);
    return o.n;
}
