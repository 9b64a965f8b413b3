/* cred_fields.c - what a helper answers, as bytes, and a command's JSON as fields.
 *
 * The JSON is parsed in the helper only, whose memory ends with it: jansson wipes nothing. Of the
 * text nothing reaches an error. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cmd/creds.h"
#include "cred/oauth.h"

static const char layer[] = "credential";

/* ---- bytes ---- */

struct head {
    uint32_t status, zero;
    uint64_t expires_ms;
    char why[200];
};

struct item { /* its name and its value follow */
    uint32_t name, value;
};

enum eg_status eg_cred_answer_begin(struct eg_buf *out, enum eg_status status, const char *why,
                                    uint64_t expires_ms)
{
    struct head h;
    memset(&h, 0, sizeof h); /* padding too */
    h.status = status;
    h.expires_ms = expires_ms;
    snprintf(h.why, sizeof h.why, "%s", why);
    return eg_buf_append(out, &h, sizeof h);
}

enum eg_status eg_cred_answer_add(struct eg_buf *out, struct eg_slice name, struct eg_slice value)
{
    struct item i = { (uint32_t)name.n, (uint32_t)value.n };
    if (eg_buf_room(out) < sizeof i + name.n + value.n)
        return EG_TOO_BIG;
    enum eg_status s = eg_buf_append(out, &i, sizeof i);
    if (s == EG_OK)
        s = eg_buf_put(out, name);
    return s == EG_OK ? eg_buf_put(out, value) : s;
}

static bool name_valid(struct eg_slice name)
{
    bool valid = name.n > 0 && name.n <= EG_CRED_FIELD_NAME;
    for (size_t i = 0; valid && i < name.n; i++)
        valid = (name.p[i] >= 'a' && name.p[i] <= 'z') || (name.p[i] >= '0' && name.p[i] <= '9') ||
                name.p[i] == '_';
    return valid;
}

static bool take_item(struct eg_slice *rest, struct eg_cred_answer *a)
{
    struct item i;
    if (rest->n < sizeof i)
        return false;
    memcpy(&i, rest->p, sizeof i);
    *rest = eg_slice_from(*rest, sizeof i);
    if (i.name > rest->n || i.value > rest->n - i.name || i.value == 0)
        return false;
    struct eg_slice name = eg_slice(rest->p, i.name), value = eg_slice(rest->p + i.name, i.value);
    *rest = eg_slice_from(*rest, (size_t)i.name + i.value);
    if (name.n == 0) {
        bool first = a->value.n == 0;
        a->value = value;
        return first;
    }
    if (a->count == EG_CRED_FIELDS || !name_valid(name))
        return false;
    a->fields[a->count].name = name;
    a->fields[a->count++].value = value;
    return true;
}

enum eg_status eg_cred_answer_decode(struct eg_slice in, enum eg_status *status, char *why,
                                     size_t cap, struct eg_cred_answer *ret)
{
    struct head h;
    if (in.n < sizeof h)
        return EG_INVALID;
    memcpy(&h, in.p, sizeof h);
    if (h.status >= EG_STATUS_COUNT || h.zero != 0 || !memchr(h.why, 0, sizeof h.why))
        return EG_INVALID;
    *status = (enum eg_status)h.status;
    snprintf(why, cap, "%s", h.why);
    memset(ret, 0, sizeof *ret);
    ret->expires_ms = h.expires_ms;
    struct eg_slice rest = eg_slice_from(in, sizeof h);
    while (rest.n > 0)
        if (!take_item(&rest, ret))
            return EG_INVALID;
    return *status == EG_OK && ret->value.n == 0 && ret->count == 0 ? EG_INVALID : EG_OK;
}

/* ---- JSON ---- */

static enum eg_status parse(struct eg_slice text, json_t **ret, struct eg_err *err)
{
    *ret = json_loadb(text.n ? text.p : "", text.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (json_is_object(*ret))
        return EG_OK;
    json_decref(*ret);
    return eg_err_set(err, EG_INVALID, layer, 0,
                      "cmd: its output is no JSON object whose members differ in name");
}

static struct eg_slice text_of(const json_t *value)
{
    return eg_slice(json_string_value(value), json_string_length(value));
}

/* One value as every credential must be; name: as the person knows it. */
static enum eg_status add_value(struct eg_buf *out, struct eg_slice field, const char *name,
                                struct eg_slice value, struct eg_err *err)
{
    struct eg_buf b;
    struct eg_err why = { 0 };
    eg_buf_init(&b, EG_CREDENTIAL_MAX + 2);
    enum eg_status s = eg_buf_put(&b, value);
    if (s == EG_OK)
        s = eg_source_check(&b, false, &why);
    if (s == EG_OK)
        s = eg_cred_answer_add(out, field, eg_buf_slice(&b));
    eg_buf_wipe(&b);
    eg_buf_done(&b);
    if (s == EG_OK)
        return EG_OK;
    return eg_err_set(err, s, layer, 0, "cmd: member %s: %s", name,
                      why.status != EG_OK ? why.text : "the values are too long");
}

static enum eg_status add_fields(json_t *object, const char *value, struct eg_buf *out,
                                 unsigned *count, struct eg_err *err)
{
    const char *key;
    json_t *v;
    enum eg_status s = EG_OK;
    json_object_foreach(object, key, v)
    {
        struct eg_slice name = eg_slice_str(key);
        /* those that no template can name are passed over, as are numbers and what is empty */
        if (strcmp(key, value) == 0 || !name_valid(name) || !json_is_string(v) ||
            json_string_length(v) == 0)
            continue;
        if (++*count > EG_CRED_FIELDS)
            return eg_err_set(err, EG_TOO_BIG, layer, 0, "cmd: its output has more than %d members",
                              EG_CRED_FIELDS);
        s = add_value(out, name, key, text_of(v), err);
        if (s != EG_OK)
            break;
    }
    return s;
}

enum eg_status eg_cred_fields_json(struct eg_slice json, const char *value, struct eg_buf *out,
                                   struct eg_err *err)
{
    json_t *object = NULL;
    unsigned count = 0;
    enum eg_status s = parse(json, &object, err);
    if (s != EG_OK)
        return s;
    const json_t *v = json_object_get(object, *value ? value : "value");
    if (json_is_string(v))
        s = add_value(out, EG_SLICE_NONE, *value ? value : "value", text_of(v), err);
    else if (*value || v)
        s = eg_err_set(err, EG_NOT_FOUND, layer, 0, "cmd: its output has no text %.64s",
                       *value ? value : "value");
    if (s == EG_OK)
        s = add_fields(object, *value ? value : "value", out, &count, err);
    if (s == EG_OK && !v && count == 0)
        s = eg_err_set(err, EG_NOT_FOUND, layer, 0, "cmd: its output has no text member");
    json_decref(object);
    return s;
}

enum eg_status eg_cred_fields_aws(struct eg_slice json, struct eg_buf *out, uint64_t *expires_ms,
                                  struct eg_err *err)
{
    static const struct {
        const char *member, *field;
        bool required;
    } map[] = { { "AccessKeyId", "access_key", true },
                { "SecretAccessKey", "secret_key", true },
                { "SessionToken", "session_token", false } };
    json_t *object = NULL;
    uint64_t at = 0, now = eg_clock_wall_us() / 1000000;
    enum eg_status s = parse(json, &object, err);
    if (s != EG_OK)
        return s;
    for (size_t i = 0; i < sizeof map / sizeof *map && s == EG_OK; i++) {
        const json_t *v = json_object_get(object, map[i].member);
        if (json_is_string(v) && json_string_length(v) > 0)
            s = add_value(out, eg_slice_str(map[i].field), map[i].member, text_of(v), err);
        else if (map[i].required)
            s = eg_err_set(err, EG_NOT_FOUND, layer, 0, "cmd: its output has no text %s",
                           map[i].member);
    }
    const json_t *until = json_object_get(object, "Expiration");
    *expires_ms = 0;
    if (s == EG_OK && json_is_string(until) && eg_oauth_time(text_of(until), &at)) {
        if (at <= now)
            s = eg_err_set(err, EG_CREDENTIAL_UNAVAILABLE, layer, 0,
                           "cmd: what it printed has expired");
        else
            *expires_ms = (at - now) * 1000;
    }
    json_decref(object);
    return s;
}
