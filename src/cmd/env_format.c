/* env_format.c - the variables of a session as shells, .env files, GitHub's runner and docker
 * read them. Values are hostile to none of these readers: what a format can't say is an error,
 * and never a line of its own. Where a format can't unset, a variable that holds a real
 * credential is set to nothing. */
#include "cmd/env_format.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

typedef enum eg_status (*eg_env_say)(struct eg_buf *out, const char *name, const char *value);

/* Every character of stops has a backslash before it. */
static enum eg_status escaped(struct eg_buf *out, const char *text, const char *stops)
{
    enum eg_status status = EG_OK;
    while (*text && status == EG_OK) {
        size_t n = strcspn(text, stops);
        status = eg_buf_append(out, text, n);
        text += n;
        if (*text && status == EG_OK)
            status = eg_buf_printf(out, "\\%c", *text++);
    }
    return status;
}

static enum eg_status sh_set(struct eg_buf *out, const char *name, const char *value)
{
    enum eg_status status = eg_buf_printf(out, "export %s='", name);
    for (; *value && status == EG_OK; value++)
        status = *value == '\'' ? eg_buf_put(out, EG_SLICE("'\\''")) : eg_buf_append(out, value, 1);
    return status == EG_OK ? eg_buf_put(out, EG_SLICE("'\n")) : status;
}

static enum eg_status sh_unset(struct eg_buf *out, const char *name, const char *value)
{
    (void)value;
    return eg_buf_printf(out, "unset %s\n", name);
}

static enum eg_status fish_set(struct eg_buf *out, const char *name, const char *value)
{
    enum eg_status status = eg_buf_printf(out, "set -gx %s '", name);
    if (status == EG_OK)
        status = escaped(out, value, "\\'");
    return status == EG_OK ? eg_buf_put(out, EG_SLICE("'\n")) : status;
}

/* A global one that is not exported: erasing it would uncover a universal one. */
static enum eg_status fish_unset(struct eg_buf *out, const char *name, const char *value)
{
    (void)value;
    return eg_buf_printf(out, "set -gu %s\n", name);
}

/* The readers of .env files differ in what they do to quotes and escapes, but not to plain text,
 * nor to what is between single quotes. */
static enum eg_status dotenv_set(struct eg_buf *out, const char *name, const char *value)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:@%+,-";
    if (value[strspn(value, plain)] == '\0')
        return eg_buf_printf(out, "%s=%s\n", name, value);
    if (value[strcspn(value, "'\n\r")] == '\0')
        return eg_buf_printf(out, "%s='%s'\n", name, value);
    enum eg_status status = eg_buf_printf(out, "%s=\"", name);
    for (; *value && status == EG_OK; value++)
        if (*value == '\n' || *value == '\r')
            status = eg_buf_put(out, *value == '\n' ? EG_SLICE("\\n") : EG_SLICE("\\r"));
        else
            status = eg_buf_printf(out, strchr("\\\"$`", *value) ? "\\%c" : "%c", *value);
    return status == EG_OK ? eg_buf_put(out, EG_SLICE("\"\n")) : status;
}

static enum eg_status line_unset(struct eg_buf *out, const char *name, const char *value)
{
    (void)value;
    return eg_buf_printf(out, "%s=\n", name);
}

/* The delimiter is one that no value can know of. */
static enum eg_status github_set(struct eg_buf *out, const char *name, const char *value)
{
    if (strcmp(name, "NODE_OPTIONS") == 0)
        return EG_OK; /* the runner refuses the whole file for it */
    if (value[strcspn(value, "\n\r")] == '\0')
        return eg_buf_printf(out, "%s=%s\n", name, value);
    uint32_t r[4];
    randombytes_buf(r, sizeof r);
    return eg_buf_printf(out, "%s<<EGRESS_%08x%08x%08x%08x\n%s\nEGRESS_%08x%08x%08x%08x\n", name,
                         r[0], r[1], r[2], r[3], value, r[0], r[1], r[2], r[3]);
}

static enum eg_status docker_set(struct eg_buf *out, const char *name, const char *value)
{
    if (value[strcspn(value, "\n\r")] != '\0')
        return EG_INVALID;
    return eg_buf_printf(out, "%s=%s\n", name, value);
}

/* A container begins without the caller's variables. */
static enum eg_status nothing(struct eg_buf *out, const char *name, const char *value)
{
    (void)out, (void)name, (void)value;
    return EG_OK;
}

const char eg_env_formats[] = "sh, fish, json, dotenv, github or docker";

static const struct {
    const char *name;
    eg_env_say set, unset; /* NULL: json */
} formats[] = {
    { "sh", sh_set, sh_unset },
    { "fish", fish_set, fish_unset },
    { "json", NULL, NULL },
    { "dotenv", dotenv_set, line_unset },
    { "github", github_set, line_unset },
    { "docker", docker_set, nothing },
};

enum { FORMATS = sizeof formats / sizeof *formats };

static int find(const char *format)
{
    for (int i = 0; i < FORMATS; i++)
        if (strcmp(formats[i].name, format) == 0)
            return i;
    return -1;
}

bool eg_env_format_known(const char *format)
{
    return find(format) >= 0;
}

/* A name that a shell takes. */
static bool plain_name(const char *name)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    return n > 0 && name[n] == 0 && !(*name >= '0' && *name <= '9');
}

static enum eg_status as_json(const json_t *reply, struct eg_buf *out)
{
    char *text = json_dumps(reply, JSON_COMPACT | JSON_ENSURE_ASCII);
    if (!text)
        return EG_NOMEM;
    enum eg_status status = eg_buf_printf(out, "%s\n", text);
    sodium_memzero(text, strlen(text));
    free(text);
    return status;
}

enum eg_status eg_env_format(const char *format, const json_t *reply, struct eg_buf *out,
                             struct eg_err *err)
{
    int i = find(format);
    const char *name;
    json_t *v;
    size_t k;
    enum eg_status status = EG_OK;
    if (!formats[i].set)
        return as_json(reply, out);
    json_array_foreach(json_object_get(reply, "unset"), k, v)
    {
        const char *text = json_string_value(v);
        if (text && plain_name(text) && status == EG_OK)
            status = formats[i].unset(out, text, "");
    }
    json_object_foreach(json_object_get(reply, "variables"), name, v)
    {
        const char *text = json_string_value(v);
        if (!text || !plain_name(name) || status != EG_OK)
            continue;
        status = formats[i].set(out, name, text);
        if (status == EG_INVALID)
            eg_err_set(err, EG_INVALID, "env", 0,
                       "%.80s has a line break, which %s files can't say", name, format);
    }
    return status;
}
