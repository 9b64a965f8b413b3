/* inject.c - writes a credential where the origin expects it.
 *
 * The only code that copies a secret out of the vault on the data path: straight to its final
 * place, and every temporary is wiped. Nothing that could end a field early gets in, whatever its
 * source. */
#include "cred/cred.h"

#include <sodium.h>
#include <stdlib.h>

/* RFC 9110 section 5.5 without obs-fold: no control characters but the tab. */
static bool field_text(struct eg_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* RFC 9110 section 5.6.2 */
static bool field_name(struct eg_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return s.n > 0;
}

struct field {
    struct eg_buf *out;
    struct eg_slice name, before, after;
};

static enum eg_status write_field(void *ctx, const unsigned char *p, size_t n)
{
    const struct field *f = ctx;
    struct eg_slice secret = eg_slice(p, n);
    if (!field_text(secret))
        return EG_INVALID;
    const struct eg_slice parts[] = { f->name, EG_SLICE(": "), f->before,
                                      secret,  f->after,       EG_SLICE("\r\n") };
    size_t total = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        total += parts[i].n;
    char *unused = NULL;
    /* All at once: out is whole or as it was. eg_buf wipes what it leaves when it grows. */
    enum eg_status s = eg_buf_reserve(f->out, total, &unused);
    for (size_t i = 0; s == EG_OK && i < sizeof parts / sizeof *parts; i++)
        s = eg_buf_put(f->out, parts[i]);
    return s;
}

enum eg_status eg_inject_field(struct eg_buf *out, struct eg_slice name, struct eg_slice before,
                               struct eg_slice after, const struct eg_secret *secret)
{
    if (!field_name(name) || !field_text(before) || !field_text(after))
        return EG_INVALID;
    struct field f = { out, name, before, after };
    return eg_secret_lend(secret, write_field, &f);
}

struct basic {
    struct eg_vault *vault;
    struct eg_slice user;
    struct eg_secret **ret;
    struct eg_err *err;
};

/* "Basic " + base64(user ":" password) in one malloc: the text first, the plain bytes after it. */
static enum eg_status write_basic(void *ctx, const unsigned char *p, size_t n)
{
    static const char scheme[] = "Basic ";
    const size_t scheme_len = sizeof scheme - 1;
    const struct basic *b = ctx;
    if (b->user.n == 0 && !memchr(p, ':', n))
        return eg_err_set(b->err, EG_INVALID, "credential", 0, "it is not USER:PASSWORD");
    size_t plain_len = n + (b->user.n ? b->user.n + 1 : 0);
    size_t text_len =
        scheme_len + sodium_base64_ENCODED_LEN(plain_len, sodium_base64_VARIANT_ORIGINAL);
    char *text = malloc(text_len + plain_len);
    if (!text)
        return eg_err_set(b->err, EG_NOMEM, "credential", 0, "no memory for a field value");
    char *plain = text + text_len;
    if (b->user.n) {
        memcpy(plain, b->user.p, b->user.n);
        plain[b->user.n] = ':';
    }
    memcpy(plain + plain_len - n, p, n);
    memcpy(text, scheme, scheme_len);
    sodium_bin2base64(text + scheme_len, text_len - scheme_len, (unsigned char *)plain, plain_len,
                      sodium_base64_VARIANT_ORIGINAL);
    enum eg_status s = eg_secret_new(b->vault, text, text_len - 1, b->ret, b->err);
    sodium_memzero(text, text_len + plain_len);
    free(text);
    return s;
}

enum eg_status eg_inject_basic(struct eg_vault *vault, struct eg_slice user,
                               const struct eg_secret *password, struct eg_secret **ret,
                               struct eg_err *err)
{
    /* RFC 7617 section 2: a user-id can't hold a colon. */
    if (eg_slice_index(user, ':') >= 0 || !field_text(user) || user.n > EG_CREDENTIAL_MAX)
        return eg_err_set(err, EG_INVALID, "credential", 0, "the user name can't be sent");
    struct basic b = { vault, user, ret, err };
    return eg_secret_lend(password, write_basic, &b);
}

/* before, mark and the secret, as a new secret. */
struct prefixed {
    struct eg_vault *vault;
    struct eg_slice before, mark;
    struct eg_secret **ret;
    struct eg_err *err;
};

static enum eg_status write_prefixed(const struct prefixed *w, const unsigned char *p, size_t n)
{
    size_t total = w->before.n + w->mark.n + n;
    char *text = malloc(total);
    if (!text)
        return eg_err_set(w->err, EG_NOMEM, "credential", 0, "no memory for a credential");
    if (w->before.n)
        memcpy(text, w->before.p, w->before.n);
    if (w->mark.n)
        memcpy(text + w->before.n, w->mark.p, w->mark.n);
    memcpy(text + total - n, p, n);
    enum eg_status s = eg_secret_new(w->vault, text, total, w->ret, w->err);
    sodium_memzero(text, total);
    free(text);
    return s;
}

static enum eg_status write_bearer(void *ctx, const unsigned char *p, size_t n)
{
    const struct prefixed *w = ctx;
    for (size_t i = 0; i < n; i++)
        if (p[i] <= 0x20 || p[i] >= 0x7f)
            return eg_err_set(w->err, EG_INVALID, "credential", 0, "it is not a bearer token");
    return write_prefixed(w, p, n);
}

enum eg_status eg_inject_bearer(struct eg_vault *vault, const struct eg_secret *token,
                                struct eg_secret **ret, struct eg_err *err)
{
    struct prefixed w = { vault, EG_SLICE("Bearer"), EG_SLICE(" "), ret, err };
    return eg_secret_lend(token, write_bearer, &w);
}

static enum eg_status write_login(void *ctx, const unsigned char *p, size_t n)
{
    const struct prefixed *w = ctx;
    if (w->before.n == 0 && !memchr(p, ':', n))
        return eg_err_set(w->err, EG_INVALID, "credential", 0, "it is not USER:PASSWORD");
    return write_prefixed(w, p, n);
}

enum eg_status eg_inject_login(struct eg_vault *vault, struct eg_slice user,
                               const struct eg_secret *password, struct eg_secret **ret,
                               struct eg_err *err)
{
    if (eg_slice_index(user, ':') >= 0 || user.n > EG_CREDENTIAL_MAX)
        return eg_err_set(err, EG_INVALID, "credential", 0, "the user name can't be sent");
    struct prefixed w = { vault, user, user.n ? EG_SLICE(":") : EG_SLICE_NONE, ret, err };
    return eg_secret_lend(password, write_login, &w);
}

/* ---- templates of the policy ---- */

enum part { PART_END, PART_TEXT, PART_FIELD };

/* Takes the next piece of a template off *rest: literal text, or a field by name (empty: the credential itself). A brace that opens no
 * field is text. */
static enum part next_part(struct eg_slice *rest, struct eg_slice *ret)
{
    size_t n = 0;
    if (rest->n == 0)
        return PART_END;
    while (n < rest->n) {
        struct eg_slice at = eg_slice_from(*rest, n);
        size_t name = at.p[0] == '{' ? 1 : 0;
        while (name > 0 && name < at.n &&
               ((at.p[name] >= 'a' && at.p[name] <= 'z') ||
                (at.p[name] >= '0' && at.p[name] <= '9') || at.p[name] == '_'))
            name++;
        bool field = name > 0 && name < at.n && at.p[name] == '}';
        if (field && n > 0)
            break;
        if (field) {
            *ret = eg_slice(at.p + 1, name - 1);
            *rest = eg_slice_from(at, name + 1);
            return PART_FIELD;
        }
        n++;
    }
    *ret = eg_slice(rest->p, n);
    *rest = eg_slice_from(*rest, n);
    return PART_TEXT;
}

struct value {
    struct eg_buf *out;
    enum eg_escape escape;
};

static enum eg_status put_percent(struct eg_buf *out, const unsigned char *p, size_t n)
{
    static const char digits[] = "0123456789ABCDEF";
    char *to = NULL;
    size_t used = 0;
    enum eg_status status = eg_buf_reserve(out, n * 3, &to);
    for (size_t i = 0; status == EG_OK && i < n; i++) {
        unsigned char c = p[i];
        /* RFC 3986 section 2.3 */
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            (c != '\0' && strchr("-._~", c))) {
            to[used++] = (char)c;
        } else {
            to[used++] = '%';
            to[used++] = digits[c >> 4];
            to[used++] = digits[c & 15];
        }
    }
    if (status == EG_OK)
        eg_buf_commit(out, used);
    return status;
}

static enum eg_status write_value(void *ctx, const unsigned char *p, size_t n)
{
    const struct value *v = ctx;
    struct eg_slice secret = eg_slice(p, n);
    if (v->escape == EG_ESCAPE_PERCENT)
        return put_percent(v->out, p, n);
    return field_text(secret) ? eg_buf_put(v->out, secret) : EG_INVALID;
}

/* The template with its values; out may hold a part of it after a failure. */
static enum eg_status fill(struct eg_buf *out, struct eg_slice text, const struct eg_creds *creds,
                           struct eg_slice credential, enum eg_escape escape, struct eg_err *err)
{
    struct value v = { out, escape };
    struct eg_slice part;
    enum part kind;
    while ((kind = next_part(&text, &part)) != PART_END) {
        enum eg_status status = EG_OK;
        if (kind == PART_TEXT) {
            status = field_text(part) ? eg_buf_put(out, part) : EG_INVALID;
        } else {
            const struct eg_secret *secret = eg_creds_field(creds, credential, part, err);
            if (!secret)
                return EG_CREDENTIAL_UNAVAILABLE;
            status = eg_secret_lend(secret, write_value, &v);
        }
        if (status == EG_INVALID)
            return eg_err_set(err, status, "credential", 0, "a byte of it can't be sent there");
        if (status != EG_OK)
            return status;
    }
    return EG_OK;
}

static enum eg_status fill_base64(struct eg_buf *out, struct eg_slice text,
                                  const struct eg_creds *creds, struct eg_slice credential,
                                  struct eg_err *err)
{
    struct eg_buf plain;
    char *to = NULL;
    eg_buf_init(&plain, (size_t)EG_CREDENTIAL_MAX * 4);
    enum eg_status status = fill(&plain, text, creds, credential, EG_ESCAPE_NONE, err);
    size_t need = sodium_base64_ENCODED_LEN(plain.len, sodium_base64_VARIANT_ORIGINAL);
    if (status == EG_OK)
        status = eg_buf_reserve(out, need, &to);
    if (status == EG_OK) {
        struct eg_slice p = eg_buf_slice(&plain);
        sodium_bin2base64(to, need, (const unsigned char *)p.p, p.n,
                          sodium_base64_VARIANT_ORIGINAL);
        eg_buf_commit(out, need - 1); /* without the NUL */
    }
    eg_buf_wipe(&plain);
    eg_buf_done(&plain);
    return status;
}

enum eg_status eg_inject_template(struct eg_buf *out, struct eg_slice text,
                                  const struct eg_creds *creds, struct eg_slice credential,
                                  enum eg_escape escape, struct eg_err *err)
{
    size_t before = out->len;
    enum eg_status status = escape == EG_ESCAPE_BASE64
                                ? fill_base64(out, text, creds, credential, err)
                                : fill(out, text, creds, credential, escape, err);
    if (status != EG_OK && out->len > before) {
        sodium_memzero(out->data + out->off + before, out->len - before);
        out->len = before;
    }
    return status;
}

enum eg_status eg_inject_ready(struct eg_slice text, const struct eg_creds *creds,
                               struct eg_slice credential, struct eg_err *err)
{
    struct eg_slice part;
    enum part kind;
    while ((kind = next_part(&text, &part)) != PART_END) {
        struct eg_err why = { 0 };
        if (kind == PART_TEXT || eg_creds_field(creds, credential, part, &why))
            continue;
        if (err)
            *err = why;
        return why.status == EG_AGAIN ? EG_AGAIN : EG_CREDENTIAL_UNAVAILABLE;
    }
    return EG_OK;
}
