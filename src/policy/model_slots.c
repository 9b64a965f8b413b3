/* model_slots.c - of a service: where its phantom may come in, and what is stripped of a request. What is written is in model_writes.c. */
#include "policy/model.h"

#include "policy/check.h"

enum { SEGMENT_MAX = 32, NAME_MAX_BYTES = 128 };

bool eg_model_printable(struct eg_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] >= 0x7f)
            return false;
    return true;
}

/* RFC 9110 section 5.6.2: the name of a field, and of a cookie (RFC 6265 section 4.1.1). */
static bool is_token(struct eg_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = eg_lower(s.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              (c && strchr("!#$%&'*+-.^_`|~", c))))
            return false;
    }
    return s.n > 0 && s.n <= NAME_MAX_BYTES;
}

/* A key that has one spelling in a query: unreserved characters. */
static bool is_query_key(struct eg_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = eg_lower(s.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c))))
            return false;
    }
    return s.n > 0 && s.n <= NAME_MAX_BYTES;
}

/* Fields that frame the message, name the hop or the origin: ours to write (RFC 9110 7.6.1, security.md T16). */
static bool is_our_field(struct eg_slice name)
{
    static const char *const ours[] = { "connection",
                                        "content-length",
                                        "expect",
                                        "host",
                                        "keep-alive",
                                        "proxy-authenticate",
                                        "proxy-authorization",
                                        "proxy-connection",
                                        "te",
                                        "trailer",
                                        "transfer-encoding",
                                        "upgrade",
                                        "via",
                                        "content-type",
                                        "content-encoding" };
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (eg_slice_caseeq(name, eg_slice_str(ours[i])))
            return true;
    return false;
}

bool eg_model_bad_slot(struct eg_model *m, const struct eg_yaml *node, const char *code,
                       const char *fix, const char *text)
{
    eg_diag_error(m->diags, code, node->at, fix, "%s", text);
    return false;
}

bool eg_model_field_name(struct eg_model *m, const struct eg_yaml *node, struct eg_slice name)
{
    if (!is_token(name))
        return eg_model_bad_slot(m, node, "bad-header", "write header:NAME",
                                 "this is not a header field's name");
    if (is_our_field(name))
        return eg_model_bad_slot(m, node, "bad-header", NULL,
                                 "this header field is the proxy's own to write");
    return true;
}

bool eg_model_query_key(struct eg_model *m, const struct eg_yaml *node, struct eg_slice key)
{
    return is_query_key(key) || eg_model_bad_slot(m, node, "bad-slot", "write query:KEY",
                                                  "a query's key is made of A-Z a-z 0-9 - . _ ~");
}

bool eg_model_cookie_name(struct eg_model *m, const struct eg_yaml *node, struct eg_slice name)
{
    return is_token(name) || eg_model_bad_slot(m, node, "bad-slot", "write cookie:NAME",
                                               "this is not a cookie's name");
}

void eg_model_each(struct eg_model *m, struct eg_model_service *s, const struct eg_yaml *list,
                   unsigned max, eg_model_take *take)
{
    if (list && list->kind == EG_YAML_TEXT) {
        take(m, s, list);
        return;
    }
    if (list && list->count > max) {
        eg_diag_error(m->diags, "too-large", list->name_at, NULL, "at most %u can be given here",
                      max);
        return;
    }
    for (const struct eg_yaml *node = list ? list->first : NULL; node; node = node->next)
        if (!node->bad)
            take(m, s, node);
}

/* header:, query: and cookie: with their names. -1: it is none of them; 0: reported. */
static int read_named(struct eg_model *m, const struct eg_yaml *node, struct eg_slot *slot)
{
    static const struct {
        struct eg_slice prefix;
        enum eg_slot_kind kind;
        bool (*check)(struct eg_model *, const struct eg_yaml *, struct eg_slice);
    } kinds[] = { { { "header:", 7 }, EG_SLOT_HEADER, eg_model_field_name },
                  { { "query:", 6 }, EG_SLOT_QUERY, eg_model_query_key },
                  { { "cookie:", 7 }, EG_SLOT_COOKIE, eg_model_cookie_name } };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!eg_slice_starts(node->text, kinds[i].prefix))
            continue;
        slot->kind = kinds[i].kind;
        slot->name = eg_slice_from(node->text, kinds[i].prefix.n);
        return kinds[i].check(m, node, slot->name);
    }
    return -1;
}

static bool read_segment(struct eg_model *m, const struct eg_yaml *node, struct eg_slot *slot)
{
    unsigned long long n;
    struct eg_slice digits = eg_slice_from(node->text, 5);
    if (!eg_slice_u64(digits, &n) || n < 2 || n > SEGMENT_MAX || digits.p[0] == '0')
        return eg_model_bad_slot(m, node, "bad-slot", "path:2 is the segment behind the route",
                                 "path:N counts the segments from the route, which is the first, "
                                 "up to 32");
    slot->kind = EG_SLOT_PATH;
    slot->segment = (unsigned)n;
    return true;
}

static bool same_slot(const struct eg_slot *a, const struct eg_slot *b)
{
    bool name = a->kind == EG_SLOT_HEADER ? eg_slice_caseeq(a->name, b->name)
                                          : eg_slice_eq(a->name, b->name);
    return a->kind == b->kind && name && a->segment == b->segment;
}

static void keep_slot(struct eg_model *m, const struct eg_yaml *node, struct eg_slot *list,
                      unsigned *count, const struct eg_slot *slot)
{
    for (unsigned i = 0; i < *count; i++)
        if (same_slot(&list[i], slot)) {
            eg_model_bad_slot(m, node, "duplicate-name", "remove one of the two",
                              "this slot is named already");
            return;
        }
    list[(*count)++] = *slot;
}

static struct eg_slot sigv4_slot(void)
{
    return (struct eg_slot){ .kind = EG_SLOT_SIGV4, .name = EG_SLICE("Authorization") };
}

static void take_accept(struct eg_model *m, struct eg_model_service *s, const struct eg_yaml *node)
{
    struct eg_slot slot = { .kind = EG_SLOT_BEARER };
    int named = read_named(m, node, &slot);
    if (named == 0)
        return;
    if (eg_slice_eq(node->text, EG_SLICE("basic:password"))) {
        slot.kind = EG_SLOT_BASIC_PASSWORD;
    } else if (eg_slice_eq(node->text, EG_SLICE("sigv4"))) {
        slot = sigv4_slot();
    } else if (eg_slice_starts(node->text, EG_SLICE("path:"))) {
        if (!read_segment(m, node, &slot))
            return;
    } else if (named < 0 && !eg_slice_eq(node->text, EG_SLICE("bearer"))) {
        eg_model_bad_slot(m, node, "bad-slot", NULL,
                          "a slot is bearer, header:NAME, basic:password, query:KEY, path:N or "
                          "cookie:NAME");
        return;
    }
    keep_slot(m, node, s->s.accept, &s->s.accept_count, &slot);
}

static void take_strip(struct eg_model *m, struct eg_model_service *s, const struct eg_yaml *node)
{
    struct eg_slot slot = { .kind = EG_SLOT_HEADER };
    int named = read_named(m, node, &slot);
    if (named < 0)
        eg_model_bad_slot(m, node, "bad-slot", NULL,
                          "what is stripped is header:NAME, query:KEY or cookie:NAME");
    else if (named > 0)
        keep_slot(m, node, s->s.strip_slots, &s->s.strip_slot_count, &slot);
}

static void default_slots(struct eg_model_service *s)
{
    static const char *const names[] = { "x-api-key", "x-goog-api-key", "api-key" };
    s->s.accept[0].kind = EG_SLOT_BEARER;
    for (unsigned i = 0; i < 3; i++)
        s->s.accept[i + 1] =
            (struct eg_slot){ .kind = EG_SLOT_HEADER, .name = eg_slice_str(names[i]) };
    s->s.accept_count = 4;
}

static void check_slots(struct eg_model *m, struct eg_model_service *s,
                        const struct eg_yaml *accept, const struct eg_yaml *write)
{
    bool credential = s->s.credential.n > 0;
    bool written = false;
    for (unsigned i = 0; i < s->s.write_count; i++)
        written |= s->s.write[i].credential;
    unsigned errors = eg_diags_count(m->diags, EG_DIAG_ERROR);
    if (errors > 0 && (!accept || !s->s.accept_count || !write || !s->s.write_count))
        return; /* what is missing may be what was refused */
    if (!credential && (written || accept))
        eg_diag_error(m->diags, "unknown-credential", written ? write->name_at : accept->name_at,
                      "name it with credential:", "the service has no credential");
    if (credential && !written)
        eg_diag_error(m->diags, "bad-slot", write ? write->name_at : s->at,
                      "write {} where it belongs", "nothing writes the credential");
    if (credential && s->s.accept_count == 0)
        eg_diag_error(m->diags, "bad-slot", accept ? accept->name_at : s->at,
                      "name a slot, or leave accept out", "the phantom could come in nowhere");
}

void eg_model_read_slots(struct eg_model *m, struct eg_model_service *s,
                         const struct eg_yaml *service)
{
    const struct eg_yaml *accept = eg_model_child(service, "accept");
    const struct eg_yaml *write = eg_model_child(service, "write");
    s->accept_at = accept ? accept->at : s->credential_at;
    s->write_at = write ? write->at : s->credential_at;
    s->has_accept = eg_yaml_get(service, "accept") != NULL;
    s->has_write = eg_yaml_get(service, "write") != NULL;
    eg_model_each(m, s, accept, EG_SERVICE_SLOTS, take_accept);
    eg_model_each(m, s, write, EG_SERVICE_WRITES, eg_model_take_write);
    eg_model_each(m, s, eg_model_child(service, "strip"), EG_SERVICE_SLOTS, take_strip);
    if (s->s.credential.n && !s->has_accept)
        default_slots(s);
    if (s->s.credential.n && !s->has_write)
        eg_model_write_bearer(s);
    check_slots(m, s, accept, write);
}

/* ---- what the credential's kind says, once all files are in ---- */

/* A request that is signed is signed with the phantoms and nothing else says who sends it. */
static void finish_sigv4(struct eg_model *m, struct eg_model_service *s)
{
    const char *text = "a credential of aws_sigv4 is used by signing alone";
    if (!s->has_accept) {
        s->s.accept[0] = sigv4_slot();
        s->s.accept_count = 1;
    }
    if (!s->has_write) {
        s->s.write[0] = eg_model_sigv4_write();
        s->s.write_count = 1;
    }
    if (s->s.accept_count != 1 || s->s.accept[0].kind != EG_SLOT_SIGV4)
        eg_diag_error(m->diags, "bad-slot", s->accept_at, "leave accept out", "%s", text);
    for (unsigned i = 0; i < s->s.write_count; i++)
        if (s->s.write[i].credential != (s->s.write[i].kind == EG_WRITE_SIGV4)) {
            eg_diag_error(m->diags, "bad-slot", s->write_at, "leave write out", "%s", text);
            return;
        }
}

void eg_model_finish_slots(struct eg_model *m, struct eg_model_service *s,
                           const struct eg_model_credential *c)
{
    bool fields = c && c->c.kind == EG_SOURCE_CMD && c->c.json;
    if (c && c->c.kind == EG_SOURCE_SIGV4) {
        finish_sigv4(m, s);
        return;
    }
    for (unsigned i = 0; i < s->s.accept_count; i++)
        if (s->s.accept[i].kind == EG_SLOT_SIGV4)
            eg_diag_error(m->diags, "bad-slot", s->accept_at, "name a credential of aws_sigv4",
                          "sigv4 needs keys to sign with");
    for (unsigned i = 0; i < s->s.write_count && c; i++) {
        struct eg_slice rest = s->s.write[i].text, literal, field;
        bool sigv4 = s->s.write[i].kind == EG_WRITE_SIGV4, named = false;
        while (eg_model_template_next(&rest, &literal, &field))
            named |= field.n > 0;
        if (sigv4)
            eg_diag_error(m->diags, "bad-slot", s->write_at, "name a credential of aws_sigv4",
                          "sigv4 needs keys to sign with");
        else if (named && !fields)
            eg_diag_error(m->diags, "bad-slot", s->write_at, "write {}",
                          "the credential %s has no fields; only JSON of a program has",
                          eg_quote(s->s.credential).text);
    }
}
