/* model_writes.c - of a service: what is written upstream, as templates.
 *
 * {} is the credential and {field} one of its fields; every other byte is literal, and only such bytes are taken as can stand
 * unescaped where they are written, so that whoever fills a template in needs no parser. What could be a secret itself is refused. */
#include "policy/model.h"

enum { TEMPLATE_MAX = 1024, FIELD_MAX = 64 };

static bool is_letter(char c, const char *others)
{
    char l = eg_lower(c);
    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || (c && strchr(others, c) != NULL);
}

static bool in_header(char c)
{
    return (unsigned char)c >= 0x20 && (unsigned char)c < 0x7f;
}

/* RFC 6265 section 4.1.1 */
static bool in_cookie(char c)
{
    return in_header(c) && !strchr(" \",;\\", c);
}

/* RFC 3986 section 3.4 without what ends a parameter or stands for another character in a form. */
static bool in_query(char c)
{
    return is_letter(c, "-._~!$'()*,;:@/?=");
}

static bool in_path(char c)
{
    return is_letter(c, "-._~!$&'()*+,=:@/");
}

struct kind {
    struct eg_slice prefix;
    enum eg_write_kind kind;
    char separator; /* between the name and the text; 0: no name */
    bool (*literal)(char);
    const char *form, *bytes;
};

static const struct kind kinds[] = {
    { { "header:", 7 },
      EG_WRITE_HEADER,
      ':',
      in_header,
      "write \"header:NAME: TEXT\", with {} where the credential stands",
      "a header's value is printable ASCII" },
    { { "basic:", 6 },
      EG_WRITE_BASIC,
      0,
      in_header,
      "write \"basic:USER:PASSWORD\", with {} for what is the credential",
      "a user and a password are printable ASCII" },
    { { "query:", 6 },
      EG_WRITE_QUERY,
      '=',
      in_query,
      "write \"query:KEY={}\"",
      "beside {}, a query's value is made of A-Z a-z 0-9 and -._~!$'()*,;:@/?=" },
    { { "path:", 5 },
      EG_WRITE_PATH,
      0,
      in_path,
      "write \"path:/bot{}/\"",
      "beside {}, a path is made of A-Z a-z 0-9 and -._~!$&'()*+,=:@/" },
    { { "cookie:", 7 },
      EG_WRITE_COOKIE,
      '=',
      in_cookie,
      "write \"cookie:NAME={}\"",
      "a cookie's value has no blank, quote, comma, semicolon or backslash" },
};

/* Is this name one that only a secret stands behind? */
static bool is_credential_name(const struct eg_write *w)
{
    static const char *const fields[] = { "authorization", "x-api-key", "x-goog-api-key",
                                          "api-key",       "cookie",    "private-token",
                                          "x-auth-token",  NULL };
    static const char *const keys[] = { "key",   "api_key",      "apikey", "api-key",
                                        "token", "access_token", NULL };
    const char *const *names = w->kind == EG_WRITE_HEADER  ? fields
                               : w->kind == EG_WRITE_QUERY ? keys
                                                           : NULL;
    for (; names && *names; names++)
        if (eg_slice_caseeq(w->name, eg_slice_str(*names)))
            return true;
    return w->kind == EG_WRITE_BASIC;
}

/* The place of a template: not shown where what stands in it may be a password. */
static struct eg_place place_of(const struct eg_yaml *node, bool hide)
{
    struct eg_place at = node->at;
    at.hide = hide;
    return at;
}

static bool is_field(struct eg_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
              s.p[i] == '_'))
            return false;
    return s.n <= FIELD_MAX;
}

bool eg_model_template_next(struct eg_slice *rest, struct eg_slice *literal, struct eg_slice *field)
{
    long open = eg_slice_index(*rest, '{');
    if (open < 0) {
        *literal = *rest;
        *rest = EG_SLICE_NONE;
        return false;
    }
    long close = eg_slice_index(eg_slice_from(*rest, (size_t)open), '}');
    *literal = eg_slice(rest->p, (size_t)open);
    *rest = eg_slice_from(*rest, (size_t)open);
    *field = close < 0 ? *rest : eg_slice(rest->p + 1, (size_t)close - 1);
    *rest = close < 0 ? EG_SLICE_NONE : eg_slice_from(*rest, (size_t)close + 1);
    return true;
}

/* The literal parts and the names between braces. False: reported. */
static bool check_parts(struct eg_model *m, const struct eg_yaml *node, const struct kind *kind,
                        struct eg_write *w)
{
    struct eg_slice rest = w->text, literal, field;
    bool more = true, hide = eg_slice_index(rest, '{') < 0;
    while (more) {
        more = eg_model_template_next(&rest, &literal, &field);
        for (size_t i = 0; i < literal.n; i++)
            if (literal.p[i] == '}' || !kind->literal(literal.p[i])) {
                bool brace = literal.p[i] == '}';
                eg_diag_error(m->diags, "bad-slot", place_of(node, hide), NULL, "%s",
                              brace ? "a } closes nothing here" : kind->bytes);
                return false;
            }
        if (eg_secret_like(literal)) {
            eg_diag_error(m->diags, "inline-secret", place_of(node, true),
                          hide ? "write {} where the credential stands" : NULL,
                          hide ? "this fixed text would be a secret in the policy"
                               : "the text beside {} looks like a secret");
            return false;
        }
        if (more && !is_field(field))
            return eg_model_bad_slot(m, node, "bad-slot", "{field} is one of its fields",
                                     "{} is the credential; a field's name is made of a-z 0-9 _");
        w->credential |= more;
    }
    return true;
}

static bool is_user_and_password(struct eg_slice text)
{
    struct eg_slice literal, field;
    bool more = true, colon = false;
    while (more) {
        more = eg_model_template_next(&text, &literal, &field);
        colon |= eg_slice_index(literal, ':') >= 0;
    }
    return colon;
}

static bool is_whole_path(struct eg_slice text)
{
    return text.n >= 2 && text.p[0] == '/' && text.p[text.n - 1] == '/' &&
           !memmem(text.p, text.n, "//", 2) && !memmem(text.p, text.n, "/./", 3) &&
           !memmem(text.p, text.n, "/../", 4);
}

/* What is wrong with the text as a whole, or NULL. */
static const char *form_fault(const struct kind *kind, const struct eg_write *w)
{
    if (kind->kind == EG_WRITE_BASIC && !is_user_and_password(w->text))
        return "a colon stands between the user and the password";
    if (kind->kind == EG_WRITE_PATH && !is_whole_path(w->text))
        return "these are whole segments, with a / before and behind";
    if (kind->kind == EG_WRITE_PATH && !w->credential)
        return "a path is written for the credential in it; fixed segments belong into upstream";
    return NULL;
}

static bool check_text(struct eg_model *m, const struct eg_yaml *node, const struct kind *kind,
                       struct eg_write *w)
{
    if (w->text.n > TEMPLATE_MAX)
        return eg_model_bad_slot(m, node, "bad-slot", NULL, "this text is too long");
    if (!check_parts(m, node, kind, w))
        return false;
    if (!w->credential && is_credential_name(w)) {
        eg_diag_error(m->diags, "inline-secret", place_of(node, true),
                      "write {} where the credential stands",
                      "this fixed text would be a secret in the policy");
        return false;
    }
    const char *fault = form_fault(kind, w);
    if (fault)
        eg_diag_error(m->diags, "bad-slot", place_of(node, !w->credential), kind->form, "%s",
                      fault);
    return !fault;
}

/* Name and text of the element. False: reported. */
static bool read_write(struct eg_model *m, const struct eg_yaml *node, const struct kind *kind,
                       struct eg_write *w)
{
    struct eg_slice rest = eg_slice_from(node->text, kind->prefix.n);
    long at = kind->separator ? eg_slice_index(rest, kind->separator) : -1;
    w->kind = kind->kind;
    w->text = at < 0 ? rest : eg_slice_from(rest, (size_t)at + 1);
    if (kind->separator) {
        w->name = at < 0 ? rest : eg_slice(rest.p, (size_t)at);
        w->text = at < 0 ? EG_SLICE_NONE : w->text;
    }
    if (kind->kind == EG_WRITE_HEADER)
        w->text = eg_slice_trim(w->text);
    if ((kind->kind == EG_WRITE_HEADER && !eg_model_field_name(m, node, w->name)) ||
        (kind->kind == EG_WRITE_QUERY && !eg_model_query_key(m, node, w->name)) ||
        (kind->kind == EG_WRITE_COOKIE && !eg_model_cookie_name(m, node, w->name)))
        return false;
    if (w->text.n == 0)
        return eg_model_bad_slot(m, node, "bad-slot", kind->form, "nothing is written here");
    return check_text(m, node, kind, w);
}

/* Where two of them would write: a field's name, a query's key, a cookie's name. */
static bool same_target(const struct eg_write *a, const struct eg_write *b)
{
    static const struct eg_slice authorization = { "authorization", 13 }, cookie = { "cookie", 6 };
    bool headers = a->kind == EG_WRITE_HEADER && b->kind == EG_WRITE_HEADER;
    if (a->kind == b->kind)
        return headers ? eg_slice_caseeq(a->name, b->name) : eg_slice_eq(a->name, b->name);
    const struct eg_write *header = a->kind == EG_WRITE_HEADER ? a : b;
    const struct eg_write *other = header == a ? b : a;
    if (header->kind != EG_WRITE_HEADER)
        return false;
    bool signs = other->kind == EG_WRITE_BASIC || other->kind == EG_WRITE_SIGV4;
    return (signs && eg_slice_caseeq(header->name, authorization)) ||
           (other->kind == EG_WRITE_COOKIE && eg_slice_caseeq(header->name, cookie));
}

static struct eg_write bearer(void)
{
    return (struct eg_write){ .kind = EG_WRITE_HEADER,
                              .name = EG_SLICE("Authorization"),
                              .text = EG_SLICE("Bearer {}"),
                              .credential = true };
}

struct eg_write eg_model_sigv4_write(void)
{
    return (struct eg_write){ .kind = EG_WRITE_SIGV4,
                              .name = EG_SLICE("Authorization"),
                              .text = EG_SLICE("{access_key}{secret_key}"),
                              .credential = true };
}

void eg_model_write_bearer(struct eg_model_service *s)
{
    s->s.write[0] = bearer();
    s->s.write_count = 1;
}

void eg_model_take_write(struct eg_model *m, struct eg_model_service *s, const struct eg_yaml *node)
{
    struct eg_write w = { .kind = EG_WRITE_HEADER };
    bool sigv4 = eg_slice_eq(node->text, EG_SLICE("sigv4"));
    bool known = sigv4 || eg_slice_eq(node->text, EG_SLICE("bearer"));
    if (sigv4)
        w = eg_model_sigv4_write();
    else if (known)
        w = bearer();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !known; i++) {
        known = eg_slice_starts(node->text, kinds[i].prefix);
        if (known && !read_write(m, node, &kinds[i], &w))
            return;
    }
    if (!known) {
        eg_diag_error(m->diags, "bad-slot", place_of(node, true), NULL,
                      "what is written is bearer, \"header:NAME: TEXT\", \"basic:USER:PASSWORD\", "
                      "\"query:KEY=TEXT\", \"path:/TEXT/\" or \"cookie:NAME=TEXT\"");
        return;
    }
    for (unsigned i = 0; i < s->s.write_count; i++)
        if (same_target(&s->s.write[i], &w)) {
            eg_model_bad_slot(m, node, "duplicate-name", NULL, "this is written already");
            return;
        }
    s->s.write[s->s.write_count++] = w;
}
