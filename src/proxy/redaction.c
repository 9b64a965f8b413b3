/* redaction.c - which answers are searched for which credential, and what that asks of the request.
 *
 * Searching is cred/redact's. Its compiled sets are kept by service, credential and phantom, and made anew
 * when one of the credential's values has changed. An answer that can't be searched (a coded body) is
 * refused, never passed on unread. */
#include "proxy/redaction.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"

enum { SETS_MAX = 1024, VALUES_MAX = 16, NAME_SIZE = 256, KEY_SIZE = 1024, PLAIN_MAX = 256 };

struct known {
    struct eg_redact_set *set;
    const struct eg_snapshot *of; /* whose templates say what is searched for; never looked into */
    uint64_t version;
    uint32_t changes; /* eg_creds_changes when version was still right */
};

struct values { /* what of the credential may be sent, and so come back */
    struct eg_redact_pair pair[VALUES_MAX];
    unsigned count;
    bool over;        /* there are more */
    uint64_t version; /* of the one that changed last */
};

static void drop_known(void *value)
{
    struct known *k = value;
    eg_redact_set_unref(k->set);
    free(k);
}

void eg_redaction_free(struct eg_engine *e)
{
    eg_table_free(e->redactions, drop_known);
    e->redactions = NULL;
}

/* ---- the values ---- */

/* What the child has in place of a field of the credential: its own ("SERVICE#FIELD"), or the service's
 * one for the value that stands alone and for an access key; else nothing. */
static struct eg_slice phantom_of(const struct eg_flow *f, struct eg_slice field)
{
    const struct eg_session *s = f->session;
    const struct eg_slice service = f->exchange->service->name;
    bool whole = field.n == 0 || eg_slice_eq(field, EG_SLICE("access_key"));
    struct eg_slice found = EG_SLICE_NONE;
    for (unsigned i = 0; s && i < s->phantom_count; i++) {
        struct eg_slice name = eg_slice_str(s->phantoms[i].service);
        if (!eg_slice_starts(name, service))
            continue;
        name = eg_slice_from(name, service.n);
        if (name.n == 0 ? whole && found.n == 0
                        : name.p[0] == '#' && eg_slice_eq(eg_slice_from(name, 1), field))
            found = eg_slice_str(s->phantoms[i].phantom);
    }
    return found;
}

static void add_value(const struct eg_flow *f, struct eg_slice field, struct values *v)
{
    const struct eg_creds *creds = f->engine->creds;
    struct eg_slice credential = f->exchange->service->credential;
    char name[NAME_SIZE];
    const struct eg_secret *secret = eg_creds_field(creds, credential, field, NULL);
    if (!secret)
        return;
    if (credential.n + 1 + field.n > sizeof name) {
        v->over = true;
        return;
    }
    memcpy(name, credential.p, credential.n);
    size_t n = credential.n;
    if (field.n > 0) {
        name[n++] = '#';
        memcpy(name + n, field.p, field.n);
        n += field.n;
    }
    uint32_t version = eg_creds_version(creds, eg_slice(name, n));
    v->version = version > v->version ? version : v->version;
    for (unsigned i = 0; i < v->count; i++)
        if (v->pair[i].secret == secret)
            return;
    v->over = v->over || v->count == VALUES_MAX;
    if (v->count < VALUES_MAX)
        v->pair[v->count++] = (struct eg_redact_pair){ secret, phantom_of(f, field) };
}

/* {field}s of a template; {} is the credential itself. */
static void add_fields(const struct eg_flow *f, struct eg_slice text, struct values *v)
{
    long open;
    while ((open = eg_slice_index(text, '{')) >= 0) {
        text = eg_slice_from(text, (size_t)open + 1);
        long end = eg_slice_index(text, '}');
        if (end < 0)
            return;
        add_value(f, eg_slice(text.p, (size_t)end), v);
    }
}

static void gather(const struct eg_flow *f, struct values *v)
{
    const struct eg_service *s = f->exchange->service;
    add_value(f, EG_SLICE_NONE, v);
    for (unsigned i = 0; i < s->write_count; i++)
        add_fields(f,
                   s->write[i].kind == EG_WRITE_SIGV4
                       ? EG_SLICE("{access_key}{secret_key}{session_token}")
                       : s->write[i].text,
                   v);
}

uint64_t eg_redaction_version(const struct eg_flow *f)
{
    struct values v = { .count = 0 };
    gather(f, &v);
    return v.version;
}

/* ---- the sets ---- */

/* Makes room by forgetting any one: the table's order is random. */
static void evict(struct eg_engine *e)
{
    char copy[KEY_SIZE]; /* the table's own goes with the entry */
    size_t cursor = 0;
    struct eg_slice key;
    void *value;
    if (!eg_table_next(e->redactions, &cursor, &key, &value) || key.n > sizeof copy)
        return;
    memcpy(copy, key.p, key.n);
    drop_known(eg_table_take(e->redactions, eg_slice(copy, key.n)));
}

static size_t put_part(char *key, size_t at, struct eg_slice part)
{
    size_t n = part.n < 320 ? part.n : 320;
    memcpy(key + at, part.p ? part.p : "", n);
    key[at + n] = '\n';
    return at + n + 1;
}

/* Service, credential and phantom: the last is of one session only. A long one by its hash. */
static struct eg_slice key_of(const struct eg_flow *f, char key[KEY_SIZE])
{
    const struct eg_service *s = f->exchange->service;
    unsigned char hash[32];
    struct eg_slice phantom = phantom_of(f, EG_SLICE_NONE);
    if (phantom.n > PLAIN_MAX) {
        crypto_generichash(hash, sizeof hash, (const unsigned char *)phantom.p, phantom.n, NULL, 0);
        phantom = eg_slice((const char *)hash, sizeof hash);
    }
    size_t n = put_part(key, 0, s->name);
    n = put_part(key, n, s->credential);
    return eg_slice(key, put_part(key, n, phantom));
}

static enum eg_status known_of(struct eg_flow *f, struct known **ret)
{
    struct eg_engine *e = f->engine;
    char text[KEY_SIZE];
    struct eg_slice key = key_of(f, text);
    if (!e->redactions && eg_table_new(&e->redactions, SETS_MAX) != EG_OK)
        return EG_NOMEM;
    *ret = eg_table_get(e->redactions, key);
    if (*ret)
        return EG_OK;
    struct known *k = calloc(1, sizeof *k);
    if (!k)
        return EG_NOMEM;
    if (eg_table_count(e->redactions) >= SETS_MAX)
        evict(e);
    enum eg_status status = eg_table_add(e->redactions, key, k);
    if (status == EG_OK)
        *ret = k;
    else
        free(k);
    return status;
}

/* Makes the set anew if one of the values has changed since. All sets are dropped when another policy takes over (engine.c): an address in
 * `of` is no other snapshot's. */
static enum eg_status renew(const struct eg_flow *f, struct known *k, struct eg_err *err)
{
    struct values v = { .count = 0 };
    struct eg_redact_set *set = NULL;
    uint32_t changes = eg_creds_changes(f->engine->creds);
    bool ours = k->set && k->of == f->snapshot;
    if (ours && k->changes == changes && changes != UINT32_MAX)
        return EG_OK;
    gather(f, &v);
    if (v.over)
        return EG_TOO_BIG;
    if (!ours || k->version != v.version) {
        enum eg_status status = eg_redact_set_new(f->engine->vault, v.pair, v.count, &set, err);
        if (status != EG_OK)
            return status;
        eg_redact_set_unref(k->set);
        k->set = set;
        k->of = f->snapshot;
        k->version = v.version;
    }
    k->changes = changes;
    return EG_OK;
}

enum eg_status eg_redaction_begin(struct eg_flow *f, struct eg_err *err)
{
    struct known *k = NULL;
    struct eg_exchange *x = f->exchange;
    eg_redaction_drop(x);
    if (f->want != EG_WANT_ROUTE || x->service->credential.n == 0)
        return EG_OK;
    if (!x->service->redact) {
        x->version = eg_redaction_version(f);
        return EG_OK;
    }
    enum eg_status status = known_of(f, &k);
    if (status == EG_OK)
        status = renew(f, k, err);
    if (status != EG_OK)
        return eg_err_set(err, status, "redaction", 0, "the answer could not be searched");
    x->version = k->version;
    if (!eg_redact_set_empty(k->set))
        x->redact_set = eg_redact_set_ref(k->set);
    return EG_OK;
}

void eg_redaction_drop(struct eg_exchange *x)
{
    if (x->redacting)
        eg_redact_done(&x->redact);
    x->redacting = false;
    eg_redact_set_unref(x->redact_set);
    x->redact_set = NULL;
}

/* ---- the messages ---- */

/* What a signed request shows (key id, session token) signs nothing without the secret, which is never sent: parts and codings pass as the
 * object store has them, since its clients fetch in parts and would put a whole object in the place of one. */
static bool shows_no_secret(const struct eg_flow *f)
{
    return f->exchange->resign != NULL;
}

bool eg_redaction_drops(const struct eg_flow *f, const struct eg_field *field)
{
    if (!eg_redaction_on(f))
        return false;
    bool range = eg_slice_caseeq(field->name, EG_SLICE("Range")) ||
                 eg_slice_caseeq(field->name, EG_SLICE("If-Range"));
    return eg_slice_caseeq(field->name, EG_SLICE("Accept-Encoding")) ||
           (range && !shows_no_secret(f));
}

static bool is_coded(const struct eg_head *head)
{
    const struct eg_field *field = NULL;
    while ((field = eg_head_find(head, EG_SLICE("Content-Encoding"), field)))
        if (field->value.n > 0 && !eg_slice_caseeq(field->value, EG_SLICE("identity")))
            return true;
    return false;
}

enum eg_status eg_redaction_head(struct eg_flow *f, struct eg_err *err)
{
    struct eg_exchange *x = f->exchange;
    const struct eg_head *head = eg_msg_head_get(f->response);
    if (!eg_redaction_on(f) || head->framing == EG_BODY_NONE)
        return EG_OK;
    if (is_coded(head) && shows_no_secret(f))
        return EG_OK;
    if (is_coded(head))
        return eg_err_set(err, EG_BAD_RESPONSE, "redaction", 0,
                          "the body has a Content-Encoding that was not asked for and can't be "
                          "searched for the credential; redact: false in the service lets it pass");
    enum eg_status status = eg_redact_begin(&x->redact, x->redact_set);
    x->redacting = status == EG_OK;
    return status;
}

void eg_redaction_text(const struct eg_flow *f, struct eg_buf *out, size_t from)
{
    if (eg_redaction_on(f) && out->len > from)
        (void)eg_redact_text(f->exchange->redact_set, out->data + out->off + from, out->len - from);
}
