/* slots.c - reads a service's slots, and finds secrets outside of them.
 *
 * A presented phantom is only ever looked up by its keyed hash, so its comparison takes the same time for all. What a slot holds is decoded as an
 * origin would; it is never forwarded (rewrite.c). Nothing here decides by policy or records. */
#include "proxy/slots.h"

#include <sodium.h>

#include "http/hygiene.h"
#include "proxy/rewrite.h"

enum { DECODED_MAX = EG_PHANTOM_MAX * 2 };

struct reader {
    const struct eg_sessions *sessions;
    const struct eg_service *service;
    struct eg_session *found; /* NULL: no phantom yet */
    bool invalid;             /* a slot holds something else */
    char scratch[DECODED_MAX];
};

static enum eg_status look_up(const struct reader *r, struct eg_slice text, struct eg_session **ret)
{
    return eg_sessions_by_phantom(r->sessions, text, r->service->name, ret);
}

/* One slot that is there: found when status is EG_OK. */
static void settle(struct reader *r, enum eg_status status, struct eg_session *session)
{
    if (status != EG_OK || (r->found && r->found != session))
        r->invalid = true;
    else
        r->found = session;
}

static void take(struct reader *r, struct eg_slice text)
{
    struct eg_session *session = NULL;
    enum eg_status status = look_up(r, text, &session);
    settle(r, status, session);
}

/* Percent-decodes into the scratch; what is too long for a phantom is cut and so is none. */
static struct eg_slice decode(struct reader *r, struct eg_slice text)
{
    size_t at = 0, n = 0;
    while (at < text.n && n < sizeof r->scratch)
        r->scratch[n++] = eg_slice_unescape(text, &at);
    return eg_slice(r->scratch, n);
}

/* ---- fields ---- */

static struct eg_slice field_of(const struct eg_slot *slot)
{
    switch (slot->kind) {
    case EG_SLOT_HEADER:
        return slot->name;
    case EG_SLOT_BEARER:
    case EG_SLOT_BASIC_PASSWORD:
        return EG_SLICE("Authorization");
    default:
        return EG_SLICE_NONE;
    }
}

static enum eg_status read_value(struct reader *r, const struct eg_slot *slot,
                                 struct eg_slice value, struct eg_slice *ret)
{
    struct eg_slice scheme =
        slot->kind == EG_SLOT_BEARER ? EG_SLICE("Bearer ") : EG_SLICE("Basic ");
    if (slot->kind == EG_SLOT_HEADER) {
        *ret = value;
        return EG_OK;
    }
    return eg_slice_casestarts(value, scheme)
               ? eg_token_parse(value, r->scratch, sizeof r->scratch, NULL, ret)
               : EG_PHANTOM_INVALID;
}

/* A field may be several slots, as Authorization is: one of them is enough. */
static void read_field(struct reader *r, const struct eg_field *field)
{
    enum eg_status status = EG_NOT_FOUND;
    struct eg_session *session = NULL;
    for (unsigned i = 0; i < r->service->accept_count && status != EG_OK; i++) {
        const struct eg_slot *slot = &r->service->accept[i];
        struct eg_slice phantom, name = field_of(slot);
        if (name.n == 0 || !eg_slice_caseeq(field->name, name))
            continue;
        status = read_value(r, slot, field->value, &phantom);
        if (status == EG_OK)
            status = look_up(r, phantom, &session);
    }
    if (status != EG_NOT_FOUND)
        settle(r, status, session);
}

/* ---- query and cookies ---- */

static struct eg_slice before(struct eg_slice text, char end, struct eg_slice *rest)
{
    long at = eg_slice_index(text, end);
    *rest = at < 0 ? EG_SLICE_NONE : eg_slice_from(text, (size_t)at + 1);
    return at < 0 ? text : eg_slice(text.p, (size_t)at);
}

static void read_query(struct reader *r, const struct eg_slot *slot, struct eg_slice query)
{
    while (query.n > 0) {
        struct eg_slice value, pair = before(query, '&', &query);
        struct eg_slice key = before(pair, '=', &value);
        if (eg_slice_eq(decode(r, key), slot->name))
            take(r, decode(r, value));
    }
}

/* RFC 6265 section 4.1.1: a value may stand in quotes. */
static struct eg_slice unquote(struct eg_slice value)
{
    value = eg_slice_trim(value);
    return value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"'
               ? eg_slice(value.p + 1, value.n - 2)
               : value;
}

static void read_cookies(struct reader *r, const struct eg_slot *slot, struct eg_slice cookies)
{
    while (cookies.n > 0) {
        struct eg_slice value, pair = before(cookies, ';', &cookies);
        struct eg_slice name = eg_slice_trim(before(pair, '=', &value));
        if (eg_slice_eq(name, slot->name))
            take(r, decode(r, unquote(value)));
    }
}

/* ---- the path ---- */

/* The slot's segment of a path that begins behind the route (segment 1); empty: it has none. */
static struct eg_slice segment_of(const struct eg_slot *slot, struct eg_slice path)
{
    struct eg_slice segment = EG_SLICE_NONE;
    path = eg_slice_from(path, 1);
    for (unsigned i = 1; i < slot->segment; i++)
        segment = before(path, '/', &path);
    return segment;
}

/* What stands around {} in its segment of what the service writes into the path: "bot" of "/bot{}/". */
static void affixes(const struct eg_service *service, struct eg_slice *prefix,
                    struct eg_slice *suffix)
{
    *prefix = *suffix = EG_SLICE_NONE;
    for (unsigned i = 0; i < service->write_count; i++) {
        struct eg_slice text = service->write[i].text;
        long open = service->write[i].kind == EG_WRITE_PATH ? eg_slice_index(text, '{') : -1;
        if (open < 0)
            continue;
        size_t at = (size_t)open, from = at;
        while (from > 0 && text.p[from - 1] != '/')
            from--;
        struct eg_slice after = eg_slice_from(text, at);
        (void)before(after, '}', &after);
        *prefix = eg_slice(text.p + from, at - from);
        *suffix = before(after, '/', &after);
        return;
    }
}

static void read_path(struct reader *r, const struct eg_slot *slot, struct eg_slice path)
{
    struct eg_slice segment = segment_of(slot, path), prefix, suffix;
    struct eg_session *session = NULL;
    if (segment.n == 0)
        return;
    segment = decode(r, segment);
    enum eg_status status = look_up(r, segment, &session);
    affixes(r->service, &prefix, &suffix);
    size_t around = prefix.n + suffix.n;
    if (status != EG_OK && segment.n > around && eg_slice_starts(segment, prefix) &&
        eg_slice_eq(eg_slice_from(segment, segment.n - suffix.n), suffix))
        status = look_up(r, eg_slice(segment.p + prefix.n, segment.n - around), &session);
    settle(r, status, session);
}

enum eg_status eg_slots_path(const struct eg_service *service, struct eg_slice path,
                             struct eg_buf *out)
{
    struct eg_slice segment = EG_SLICE_NONE;
    for (unsigned i = 0; i < service->accept_count; i++)
        if (service->accept[i].kind == EG_SLOT_PATH && segment.n == 0)
            segment = segment_of(&service->accept[i], path);
    if (segment.n == 0)
        return eg_buf_put(out, path);
    size_t at = (size_t)(segment.p - path.p); /* after its slash */
    enum eg_status status = eg_buf_put(out, eg_slice(path.p, at - 1));
    return status == EG_OK ? eg_buf_put(out, eg_slice_from(path, at + segment.n)) : status;
}

enum eg_status eg_slots_read(const struct eg_sessions *sessions, const struct eg_service *service,
                             const struct eg_head *head, struct eg_slice path,
                             struct eg_slice query, struct eg_session **ret)
{
    struct reader r;
    r.sessions = sessions;
    r.service = service;
    r.found = NULL;
    r.invalid = false;
    for (uint32_t i = 0; i < head->field_count; i++)
        read_field(&r, &head->fields[i]);
    for (unsigned i = 0; i < service->accept_count; i++) {
        const struct eg_slot *slot = &service->accept[i];
        const struct eg_field *field = NULL;
        if (slot->kind == EG_SLOT_QUERY)
            read_query(&r, slot, query);
        else if (slot->kind == EG_SLOT_PATH)
            read_path(&r, slot, path);
        while (slot->kind == EG_SLOT_COOKIE &&
               (field = eg_head_find(head, EG_SLICE("Cookie"), field)))
            read_cookies(&r, slot, field->value);
    }
    sodium_memzero(r.scratch, sizeof r.scratch);
    if (r.invalid)
        return EG_PHANTOM_INVALID; /* also of a session that is over: refusals.md knows no token on a route */
    if (!r.found)
        return EG_PHANTOM_MISSING;
    *ret = r.found;
    return EG_OK;
}

/* ---- where they do not belong ---- */

struct hunt {
    const struct eg_sessions *sessions;
    const struct eg_policy *policy;
    const struct eg_authority *to;
    const struct eg_service *service; /* NULL: no route */
    const struct eg_field *field;     /* that is looked at; NULL: another part */
    bool taken;                       /* what is looked at is not sent on */
    struct eg_slots_found *found;
};

/* Is the phantom of a service on the host that this request goes to? */
static bool same_host(const struct hunt *h, const char *service)
{
    if (h->service && eg_slice_eq(h->service->name, eg_slice_str(service)))
        return true;
    for (unsigned i = 0; i < eg_policy_service_count(h->policy); i++) {
        struct eg_service s;
        eg_policy_service(h->policy, i, &s);
        if (eg_slice_eq(s.name, eg_slice_str(service)))
            return eg_authority_eq(&s.upstream, h->to);
    }
    return false;
}

static bool is_taken(const struct hunt *h)
{
    if (!h->field)
        return h->taken;
    return h->service && h->service->credential.n > 0 &&
           eg_rewrite_drops(h->service, h->field, eg_hygiene_name_class(h->field->name));
}

static bool hit(void *ctx, struct eg_session *session, int index)
{
    const struct hunt *h = ctx;
    if (is_taken(h) && (index < 0 || same_host(h, session->phantoms[index].service)))
        return false;
    *h->found = (struct eg_slots_found){ session, index };
    return true;
}

static bool scan(struct hunt *h, struct eg_slice text)
{
    return eg_sessions_scan(h->sessions, text, hit, h);
}

static int base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* What base64 hides (RFC 7617), read as leniently as anybody might. No memory: nothing is sent then either. */
static bool scan_basic(struct hunt *h, struct eg_slice value)
{
    struct eg_buf plain;
    char *to = NULL;
    size_t n = 0;
    unsigned bits = 0, count = 0;
    if (!eg_slice_casestarts(value, EG_SLICE("Basic ")))
        return false;
    eg_buf_init(&plain, value.n);
    if (eg_buf_reserve(&plain, value.n, &to) != EG_OK)
        return true;
    for (size_t i = 6; i < value.n; i++) {
        int digit = base64_value(value.p[i]);
        if (digit < 0)
            continue;
        bits = bits << 6 | (unsigned)digit;
        count += 6;
        if (count >= 8) {
            count -= 8;
            to[n++] = (char)(bits >> count);
        }
    }
    eg_buf_commit(&plain, n);
    bool found = scan(h, eg_buf_slice(&plain));
    eg_buf_wipe(&plain);
    eg_buf_done(&plain);
    return found;
}

static bool scan_field(struct hunt *h, const struct eg_field *field)
{
    if (eg_slice_caseeq(field->name, EG_SLICE("Proxy-Authorization")))
        return false; /* the token's own place; the rest of it is not sent on */
    h->field = field;
    return scan(h, field->value) || scan(h, field->name) || scan_basic(h, field->value);
}

/* The cookies that stay. */
static bool scan_cookies(struct hunt *h, const struct eg_head *head)
{
    struct eg_buf left;
    h->field = NULL;
    h->taken = false;
    eg_buf_init(&left, SIZE_MAX / 2);
    bool found =
        eg_rewrite_cookies(h->service, head, &left) != EG_OK || scan(h, eg_buf_slice(&left));
    eg_buf_done(&left);
    return found;
}

bool eg_slots_canary(const struct eg_sessions *sessions, const struct eg_policy *policy,
                     const struct eg_authority *to, const struct eg_service *service,
                     const struct eg_head *head, struct eg_slice left, struct eg_slots_found *ret)
{
    struct hunt h = { sessions, policy, to, service, NULL, left.n > 0, ret };
    *ret = (struct eg_slots_found){ NULL, -1 };
    if (scan(&h, head->target))
        return true;
    h.taken = false;
    if (scan(&h, left))
        return true;
    for (uint32_t i = 0; i < head->field_count; i++)
        if (scan_field(&h, &head->fields[i]))
            return true;
    return service && eg_rewrite_has_cookies(service) && scan_cookies(&h, head);
}
