/* wire.c - framing of control messages. It knows bytes and JSON objects, no socket and no request.
 *
 * Invariant: nothing is parsed before its announced length is known to be within the limit and
 * all of it is there. */
#include "ctl/wire.h"

#include <arpa/inet.h>
#include <string.h>

static size_t announced(const struct eg_buf *in)
{
    uint32_t n;
    memcpy(&n, in->data + in->off, sizeof n);
    return ntohl(n);
}

enum eg_status eg_ctl_wire_put(struct eg_buf *out, const json_t *message)
{
    if (!json_is_object(message))
        return EG_INVALID;
    const size_t flags = JSON_COMPACT | JSON_ENSURE_ASCII;
    size_t n = json_dumpb(message, NULL, 0, flags);
    if (n == 0)
        return EG_NOMEM;
    if (n > EG_CTL_MESSAGE_MAX)
        return EG_TOO_BIG;
    char *p;
    enum eg_status status = eg_buf_reserve(out, n + EG_CTL_PREFIX, &p);
    if (status != EG_OK)
        return status;
    uint32_t prefix = htonl((uint32_t)n);
    memcpy(p, &prefix, sizeof prefix);
    if (json_dumpb(message, p + EG_CTL_PREFIX, n, flags) != n)
        return EG_NOMEM;
    eg_buf_commit(out, n + EG_CTL_PREFIX);
    return EG_OK;
}

size_t eg_ctl_wire_missing(const struct eg_buf *in)
{
    if (in->len < EG_CTL_PREFIX)
        return EG_CTL_PREFIX - in->len;
    size_t n = announced(in) + EG_CTL_PREFIX;
    return n > in->len ? n - in->len : 0;
}

enum eg_status eg_ctl_wire_take(struct eg_buf *in, json_t **ret, struct eg_err *err)
{
    if (in->len < EG_CTL_PREFIX)
        return EG_AGAIN;
    size_t n = announced(in);
    if (n == 0 || n > EG_CTL_MESSAGE_MAX)
        return eg_err_set(err, EG_TOO_BIG, "control", 0, "a message must have 1 to %d bytes",
                          EG_CTL_MESSAGE_MAX);
    if (in->len < n + EG_CTL_PREFIX)
        return EG_AGAIN;
    json_t *message =
        json_loadb(in->data + in->off + EG_CTL_PREFIX, n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(message)) {
        json_decref(message);
        return eg_err_set(err, EG_INVALID, "control", 0, "a message is not a JSON object");
    }
    eg_buf_consume(in, n + EG_CTL_PREFIX);
    *ret = message;
    return EG_OK;
}

json_t *eg_ctl_error(enum eg_status status, const struct eg_err *err)
{
    char text[256];
    struct eg_err bare = { .status = status };
    eg_err_format(err && err->status != EG_OK ? err : &bare, text, sizeof text);
    return json_pack("{s:{s:s,s:s}}", "error", "code", egress_status_name(status), "message", text);
}

const char *eg_ctl_text(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    const char *s = json_string_value(v);
    return s && strlen(s) == json_string_length(v) ? s : NULL;
}

bool eg_ctl_number(const json_t *object, const char *key, uint64_t fallback, uint64_t *ret)
{
    const json_t *v = json_object_get(object, key);
    if (v && (!json_is_integer(v) || json_integer_value(v) < 0))
        return false;
    *ret = v ? (uint64_t)json_integer_value(v) : fallback;
    return true;
}
