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
