/* model_slots.c - of a service: where its phantom may come in, what is written and stripped, and what the child sees of it. */
#include "policy/model.h"

#include <stdio.h>

#include "policy/check.h"

enum { PREFIX_MAX = 64, SHAPE_MIN = 24, SHAPE_MAX = 512, TEMPLATE_MAX = 1024 };

static bool is_field_name(struct eg_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = eg_lower(s.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              (c && strchr("!#$%&'*+-.^`|~", c))))
            return false;
    }
    return s.n > 0 && s.n <= 128;
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

static bool is_credential_field(struct eg_slice name)
{
    static const char *const known[] = { "authorization", "x-api-key", "x-goog-api-key",
                                         "api-key",       "cookie",    "private-token",
                                         "x-auth-token" };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (eg_slice_caseeq(name, eg_slice_str(known[i])))
            return true;
    return false;
}

static bool bad_slot(struct eg_model *m, const struct eg_yaml *node, const char *code,
                     const char *fix, const char *text)
{
    eg_diag_error(m->diags, code, node->at, fix, "%s", text);
    return false;
}

static bool is_later_slot(struct eg_slice text)
{
    static const char *const later[] = { "query:", "path:", "cookie:", "basic:", "form:" };
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (eg_slice_starts(text, eg_slice_str(later[i])))
            return true;
    return false;
}

static bool field_of(struct eg_model *m, const struct eg_yaml *node, struct eg_slice name)
{
    if (!is_field_name(name))
        return bad_slot(m, node, "bad-header", "write header:NAME",
                        "this is not a header field's name");
    if (is_our_field(name))
        return bad_slot(m, node, "bad-header", NULL,
                        "this header field is the proxy's own to write");
    return true;
}

/* A list, or one text that stands for a list of one. Calls take for each good element. */
static void each(struct eg_model *m, struct eg_model_service *s, const struct eg_yaml *list,
                 unsigned max,
                 void (*take)(struct eg_model *, struct eg_model_service *, const struct eg_yaml *))
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

static void take_accept(struct eg_model *m, struct eg_model_service *s, const struct eg_yaml *node)
{
    struct eg_slot *slot = &s->s.accept[s->s.accept_count];
    if (eg_slice_eq(node->text, EG_SLICE("bearer"))) {
        slot->kind = EG_SLOT_BEARER;
    } else if (eg_slice_eq(node->text, EG_SLICE("basic:password"))) {
        slot->kind = EG_SLOT_BASIC_PASSWORD;
    } else if (eg_slice_starts(node->text, EG_SLICE("header:"))) {
        slot->kind = EG_SLOT_HEADER;
        slot->name = eg_slice_from(node->text, 7);
        if (!field_of(m, node, slot->name))
            return;
    } else if (is_later_slot(node->text)) {
        bad_slot(m, node, "not-available", "bearer, header:NAME and basic:password are",
                 "this slot is not available in this version");
        return;
    } else {
        bad_slot(m, node, "bad-slot", NULL, "a slot is bearer, header:NAME or basic:password");
        return;
    }
    s->s.accept_count++;
}

static void take_strip(struct eg_model *m, struct eg_model_service *s, const struct eg_yaml *node)
{
    struct eg_slice name = eg_slice_from(node->text, 7);
    if (is_later_slot(node->text))
        bad_slot(m, node, "not-available", "header:NAME is",
                 "this slot is not available in this version");
    else if (!eg_slice_starts(node->text, EG_SLICE("header:")))
        bad_slot(m, node, "bad-slot", NULL, "what is stripped is header:NAME");
    else if (field_of(m, node, name))
        s->s.strip[s->s.strip_count++] = name;
}

static bool is_printable(struct eg_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] >= 0x7f)
            return false;
    return true;
}

/* "... {} ..." around the credential, or fixed text. False: reported. */
static bool read_template(struct eg_model *m, const struct eg_yaml *node, struct eg_slice text,
                          struct eg_write *w)
{
    const char *open = text.n ? memchr(text.p, '{', text.n) : NULL;
    const char *close = text.n ? memchr(text.p, '}', text.n) : NULL;
    struct eg_place hidden = node->at;
    hidden.hide = true;
    w->before = text;
    if (!is_printable(text) || text.n > TEMPLATE_MAX)
        return bad_slot(m, node, "bad-header", NULL, "a header's value is printable ASCII");
    if (!open && !close) {
        if (eg_secret_like(text) || is_credential_field(w->name)) {
            eg_diag_error(m->diags, "inline-secret", hidden, "write {} where the credential stands",
                          "this fixed header would be a secret in the policy");
            return false;
        }
        return true;
    }
    if (open && close > open + 1)
        return bad_slot(m, node, "not-available", "{} is the credential",
                        "credentials with fields are not available in this version");
    if (!open || close != open + 1 ||
        memchr(close + 1, '{', text.n - (size_t)(close + 1 - text.p)) ||
        memchr(close + 1, '}', text.n - (size_t)(close + 1 - text.p)))
        return bad_slot(m, node, "bad-slot", NULL, "a template holds {} once");
    w->before = eg_slice(text.p, (size_t)(open - text.p));
    w->after = eg_slice_from(text, (size_t)(close + 1 - text.p));
    w->credential = true;
    if (eg_secret_like(w->before) || eg_secret_like(w->after)) {
        eg_diag_error(m->diags, "inline-secret", hidden, NULL,
                      "the text beside {} looks like a secret");
        return false;
    }
    return true;
}

static struct eg_write bearer_write(void)
{
    return (struct eg_write){ .name = EG_SLICE("Authorization"),
                              .text = EG_SLICE("Bearer {}"),
                              .before = EG_SLICE("Bearer "),
                              .credential = true };
}

static void take_write(struct eg_model *m, struct eg_model_service *s, const struct eg_yaml *node)
{
    struct eg_write *w = &s->s.write[s->s.write_count];
    if (eg_slice_eq(node->text, EG_SLICE("bearer"))) {
        *w = bearer_write();
    } else if (is_later_slot(node->text)) {
        bad_slot(m, node, "not-available", "bearer and header:NAME: TEXT are",
                 "this slot is not available in this version");
        return;
    } else if (eg_slice_starts(node->text, EG_SLICE("header:"))) {
        struct eg_slice rest = eg_slice_from(node->text, 7);
        long colon = eg_slice_index(rest, ':');
        w->name = colon < 0 ? rest : eg_slice(rest.p, (size_t)colon);
        struct eg_slice value =
            colon < 0 ? EG_SLICE_NONE : eg_slice_trim(eg_slice_from(rest, (size_t)colon + 1));
        if (!field_of(m, node, w->name))
            return;
        if (value.n == 0) {
            bad_slot(m, node, "bad-slot",
                     "write \"header:NAME: TEXT\", with {} where the credential stands",
                     "this header has no value");
            return;
        }
        if (!read_template(m, node, value, w))
            return;
    } else {
        struct eg_place at = node->at;
        at.hide = true;
        eg_diag_error(m->diags, "bad-slot", at, NULL,
                      "what is written is bearer or \"header:NAME: TEXT\"");
        return;
    }
    for (unsigned i = 0; i < s->s.write_count; i++)
        if (eg_slice_caseeq(s->s.write[i].name, w->name)) {
            bad_slot(m, node, "duplicate-name", NULL, "this header is written already");
            return;
        }
    s->s.write_count++;
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
                      "write {} in one header", "nothing writes the credential");
    if (credential && s->s.accept_count == 0)
        eg_diag_error(m->diags, "bad-slot", accept ? accept->name_at : s->at,
                      "name a slot, or leave accept out", "the phantom could come in nowhere");
}

void eg_model_read_slots(struct eg_model *m, struct eg_model_service *s,
                         const struct eg_yaml *service)
{
    const struct eg_yaml *accept = eg_model_child(service, "accept");
    const struct eg_yaml *write = eg_model_child(service, "write");
    s->write_at = write ? write->at : s->at;
    each(m, s, accept, EG_SERVICE_SLOTS, take_accept);
    each(m, s, write, EG_SERVICE_WRITES, take_write);
    each(m, s, eg_model_child(service, "strip"), EG_SERVICE_SLOTS, take_strip);
    if (s->s.credential.n && !eg_yaml_get(service, "accept"))
        default_slots(s);
    if (s->s.credential.n && !eg_yaml_get(service, "write")) {
        s->s.write[0] = bearer_write();
        s->s.write_count = 1;
    }
    check_slots(m, s, accept, write);
}

/* ---- what the child sees ---- */

static bool variable_name(struct eg_model *m, const struct eg_yaml *node)
{
    struct eg_slice s = node->text;
    bool fine = s.n > 0 && s.n <= 128;
    for (size_t i = 0; fine && i < s.n; i++) {
        char c = eg_lower(s.p[i]);
        fine = (c >= 'a' && c <= 'z') || c == '_' || (i > 0 && c >= '0' && c <= '9');
    }
    if (!fine)
        eg_diag_error(m->diags, "bad-name", node->at, NULL,
                      "a variable's name is made of A-Z a-z 0-9 _");
    return fine;
}

static void take_key(struct eg_model *m, struct eg_model_service *s, const struct eg_yaml *node)
{
    if (variable_name(m, node))
        s->s.env_keys[s->s.env_key_count++] = node->text;
}

static void read_base_path(struct eg_model *m, struct eg_model_service *s,
                           const struct eg_yaml *node)
{
    struct eg_buf out;
    struct eg_path_flags flags = { 0 };
    struct eg_err err = { 0 };
    eg_buf_init(&out, 1024);
    enum eg_status st = eg_path_canon(node->text, &out, &flags, &err);
    if (st != EG_OK || flags.unsafe) {
        eg_diag_error(m->diags, "bad-path", node->at, "write a path such as /v1", "%s",
                      st != EG_OK ? err.text : flags.why);
    } else {
        struct eg_slice text = eg_buf_slice(&out);
        while (text.n > 0 && text.p[text.n - 1] == '/')
            text.n--;
        s->s.env_base_path = eg_model_copy(m, text);
    }
    eg_buf_done(&out);
}

static void read_shape(struct eg_model *m, struct eg_model_service *s, const struct eg_yaml *shape)
{
    const struct eg_yaml *prefix = eg_model_child(shape, "prefix");
    const struct eg_yaml *length = eg_model_child(shape, "length");
    unsigned long long n;
    if (prefix && (!is_printable(prefix->text) || eg_slice_index(prefix->text, ' ') >= 0 ||
                   prefix->text.n > PREFIX_MAX))
        eg_diag_error(m->diags, "bad-value", prefix->at, NULL,
                      "a prefix is at most %d printable characters without blanks", PREFIX_MAX);
    else if (prefix)
        s->s.shape_prefix = prefix->text;
    if (!length || eg_slice_eq(length->text, EG_SLICE("same")))
        return;
    size_t least = SHAPE_MIN + (prefix ? prefix->text.n : 0);
    if (!length->plain || !eg_slice_u64(length->text, &n) || n < least || n > SHAPE_MAX)
        eg_diag_error(m->diags, "bad-value", length->at, NULL,
                      "length is `same`, or from %zu (prefix and 24 random characters) to %d",
                      least, SHAPE_MAX);
    else
        s->s.shape_length = (uint32_t)n;
}

void eg_model_read_env(struct eg_model *m, struct eg_model_service *s,
                       const struct eg_yaml *service)
{
    const struct eg_yaml *env = eg_model_child(service, "env");
    const struct eg_yaml *base_url = eg_model_child(env, "base_url");
    const struct eg_yaml *base_path = eg_model_child(env, "base_path");
    const struct eg_yaml *key = eg_model_child(env, "key");
    const struct eg_yaml *shape = eg_model_child(service, "shape");
    s->has_env = env != NULL;
    s->env_at = env ? env->name_at : s->at;
    s->has_key = key != NULL;
    if (base_url && variable_name(m, base_url))
        s->s.env_base_url = base_url->text;
    if (base_path)
        read_base_path(m, s, base_path);
    each(m, s, key, 4, take_key);
    if (key && s->s.credential.n == 0)
        eg_diag_error(m->diags, "unknown-credential", key->name_at,
                      "name it with credential:", "the service has no credential");
    if (shape && s->s.credential.n == 0)
        eg_diag_error(m->diags, "unknown-credential", shape->name_at,
                      "name it with credential:", "the service has no credential");
    if (shape)
        read_shape(m, s, shape);
}
