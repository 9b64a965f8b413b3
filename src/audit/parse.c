/* parse.c - the JSON of encode.c back into an event, for a kept file.
 *
 * A file may have been written by a later version (keys that are not known are passed over) or
 * torn (refused). It trusts nothing: every type, word and range is looked at, and *e is written
 * only when all is well. */
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "audit/encode.h"

/* The bytes of a text that encode.c wrote as \u00XX come out of jansson as UTF-8 of two bytes. */
static bool to_bytes(const char *utf8, size_t n, char *to, size_t size, bool *cut)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)utf8[i];
        if (c >= 0x80) {
            if ((c & 0xfc) != 0xc0 || i + 1 >= n)
                return false; /* above U+00FF: no byte */
            c = (unsigned char)(c << 6 | ((unsigned char)utf8[++i] & 0x3f));
        }
        if (used + 1 >= size) {
            *cut = true;
            break;
        }
        to[used++] = (char)c;
    }
    memset(to + used, 0, size - used);
    return true;
}

static bool get_text(const json_t *o, const char *name, char *to, size_t size,
                     struct egress_event *e)
{
    const json_t *v = json_object_get(o, name);
    bool cut = false;
    if (!v)
        return true;
    if (!json_is_string(v) ||
        !to_bytes(json_string_value(v), json_string_length(v), to, size, &cut))
        return false;
    if (cut)
        e->truncated = 1;
    return true;
}

static bool get_number(const json_t *o, const char *name, uint64_t max, uint64_t *to)
{
    const json_t *v = json_object_get(o, name);
    *to = 0;
    if (!v)
        return true;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > max)
        return false;
    *to = (uint64_t)json_integer_value(v);
    return true;
}

/* The index of the key's word in words; absent is `missing`. */
static bool get_word(const json_t *o, const char *name, const char *const *words, unsigned count,
                     unsigned missing, uint8_t *to)
{
    const json_t *v = json_object_get(o, name);
    *to = (uint8_t)missing;
    if (!v)
        return true;
    const char *s = json_string_value(v);
    for (unsigned i = 0; s && i < count; i++)
        if (words[i][0] && strcmp(words[i], s) == 0) {
            *to = (uint8_t)i;
            return true;
        }
    return false;
}

static bool get_reason(const json_t *o, struct egress_event *e)
{
    const json_t *v = json_object_get(o, "reason");
    const char *s = json_string_value(v);
    if (!v)
        return true;
    for (unsigned i = 0; s && i < EG_STATUS_COUNT; i++)
        if (strcmp(egress_status_name((enum eg_status)i), s) == 0) {
            e->reason = (uint16_t)i;
            return true;
        }
    return false;
}

static bool digits(const char *s, int n, int *to)
{
    *to = 0;
    for (int i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        *to = *to * 10 + (s[i] - '0');
    }
    return true;
}

/* Exactly eg_clock_rfc3339's form: 2026-11-21T04:00:00.123456Z */
static bool get_time(const json_t *o, uint64_t *wall_us)
{
    static const char form[] = "....-..-..T..:..:.........Z";
    const char *s = json_string_value(json_object_get(o, "time"));
    struct tm tm = { 0 };
    int us = 0;
    if (!s || strlen(s) != sizeof form - 1 || s[19] != '.')
        return false;
    for (size_t i = 0; form[i]; i++)
        if (form[i] != '.' && form[i] != s[i])
            return false;
    if (!digits(s, 4, &tm.tm_year) || !digits(s + 5, 2, &tm.tm_mon) ||
        !digits(s + 8, 2, &tm.tm_mday) || !digits(s + 11, 2, &tm.tm_hour) ||
        !digits(s + 14, 2, &tm.tm_min) || !digits(s + 17, 2, &tm.tm_sec) || !digits(s + 20, 6, &us))
        return false;
    if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *wall_us = (uint64_t)timegm(&tm) * 1000000 + (uint64_t)us;
    return true;
}

static bool get_duration(const json_t *o, uint64_t *us)
{
    const json_t *v = json_object_get(o, "duration_ms");
    if (!v)
        return true;
    double ms = json_number_value(v);
    if (!json_is_number(v) || !(ms >= 0) || ms > 9007199254740.991)
        return false;
    *us = (uint64_t)llround(ms * 1000);
    return true;
}

static bool get_texts(const json_t *o, struct egress_event *e)
{
    return get_text(o, "session", e->session, sizeof e->session, e) &&
           get_text(o, "rule", e->rule, sizeof e->rule, e) &&
           get_text(o, "host", e->host, sizeof e->host, e) &&
           get_text(o, "address", e->address, sizeof e->address, e) &&
           get_text(o, "method", e->method, sizeof e->method, e) &&
           get_text(o, "path", e->path, sizeof e->path, e) &&
           get_text(o, "service", e->service, sizeof e->service, e) &&
           get_text(o, "credential", e->credential, sizeof e->credential, e) &&
           get_text(o, "detail", e->detail, sizeof e->detail, e);
}

static bool get_numbers(const json_t *o, struct egress_event *e)
{
    uint64_t v = 0, port = 0, status = 0, writer = 0;
    if (!get_number(o, "v", EGRESS_AUDIT_SCHEMA, &v) || v != EGRESS_AUDIT_SCHEMA ||
        !get_number(o, "seq", INT64_MAX, &e->seq) || e->seq == 0 ||
        !get_number(o, "id", INT64_MAX, &e->id) || !get_number(o, "port", UINT16_MAX, &port) ||
        !get_number(o, "status", UINT16_MAX, &status) ||
        !get_number(o, "bytes_up", INT64_MAX, &e->bytes_up) ||
        !get_number(o, "bytes_down", INT64_MAX, &e->bytes_down) ||
        !get_number(o, "worker", UINT32_MAX, &writer) || !get_duration(o, &e->duration_us))
        return false;
    e->port = (uint16_t)port;
    e->http_status = (uint16_t)status;
    e->writer = (uint32_t)writer;
    return true;
}

static bool get_words(const json_t *o, struct egress_event *e)
{
    static const char *const modes[] = { "enforce", "observe" };
    static const char *const decisions[] = { "deny", "allow", "would_deny" };
    const json_t *cut = json_object_get(o, "truncated");
    if (cut && !json_is_boolean(cut))
        return false;
    if (json_is_true(cut))
        e->truncated = 1;
    if (!get_word(o, "decision", decisions, 3, 0, &e->allowed))
        return false;
    e->allowed = e->allowed > 0; /* would_deny is said again by mode and reason */
    return get_word(o, "event", eg_audit_kinds, EG_AUDIT_KINDS, 0, &e->kind) && e->kind != 0 &&
           get_word(o, "mode", modes, 2, 0, &e->observe) &&
           get_word(o, "via", eg_audit_vias, EG_AUDIT_VIAS, EGRESS_VIA_NONE, &e->via) &&
           get_word(o, "stage", eg_audit_stages, EG_AUDIT_STAGES, EGRESS_STAGE_REQUEST,
                    &e->stage) &&
           get_reason(o, e);
}

enum eg_status egress_event_parse(const char *json, size_t n, struct egress_event *e)
{
    json_error_t where;
    json_t *o = json_loadb(json, n, JSON_REJECT_DUPLICATES, &where);
    if (!o)
        return json_error_code(&where) == json_error_out_of_memory ? EG_NOMEM : EG_INVALID;
    struct egress_event got;
    memset(&got, 0, sizeof got);
    bool good = json_is_object(o) && get_time(o, &got.wall_us) && get_numbers(o, &got) &&
                get_words(o, &got) && get_texts(o, &got);
    json_decref(o);
    if (!good)
        return EG_INVALID;
    *e = got;
    return EG_OK;
}
