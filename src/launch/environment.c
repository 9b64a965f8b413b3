/* environment.c - the environment that the child starts with: the parent's, without what holds a
 * real credential or leads round the proxy, and with what points its programs at the proxy, the
 * routes and their phantoms. It never sees a real credential but those that stand in the
 * parent's environment, and only to leave them out. */
#include "launch/launch.h"

#include <stdio.h>
#include <stdlib.h>

enum { EG_ENV_MAX = 16384, EG_ENV_TEXT_MAX = 1 << 20, EG_ENV_COPY_MIN = 8 };

struct eg_env_list {
    char **items; /* NULL-terminated */
    unsigned count, cap;
};

static struct eg_slice name_of(const char *item)
{
    const char *equals = strchr(item, '=');
    return eg_slice(item, equals ? (size_t)(equals - item) : strlen(item));
}

static int find(const struct eg_env_list *l, struct eg_slice name)
{
    for (unsigned i = 0; i < l->count; i++)
        if (eg_slice_eq(name_of(l->items[i]), name))
            return (int)i;
    return -1;
}

static void drop(struct eg_env_list *l, struct eg_slice name)
{
    int i;
    while ((i = find(l, name)) >= 0) {
        explicit_bzero(l->items[i], strlen(l->items[i])); /* often a real key */
        free(l->items[i]);
        l->items[i] = l->items[--l->count];
        l->items[l->count] = NULL;
    }
}

/* Takes item, also when it fails. */
static enum eg_status push(struct eg_env_list *l, char *item)
{
    if (!item)
        return EG_NOMEM;
    if (l->count + 1 >= l->cap) {
        unsigned cap = l->cap ? l->cap * 2 : 64;
        char **grown = cap <= EG_ENV_MAX ? realloc(l->items, cap * sizeof *grown) : NULL;
        if (!grown) {
            free(item);
            return cap > EG_ENV_MAX ? EG_TOO_BIG : EG_NOMEM;
        }
        l->items = grown;
        l->cap = cap;
    }
    l->items[l->count++] = item;
    l->items[l->count] = NULL;
    return EG_OK;
}

static enum eg_status set(struct eg_env_list *l, struct eg_slice name, struct eg_slice value)
{
    if (name.n == 0)
        return EG_OK;
    char *item = malloc(name.n + value.n + 2);
    if (item) {
        memcpy(item, name.p, name.n);
        item[name.n] = '=';
        if (value.n > 0)
            memcpy(item + name.n + 1, value.p, value.n);
        item[name.n + 1 + value.n] = '\0';
    }
    drop(l, name);
    return push(l, item);
}

static enum eg_status set_text(struct eg_env_list *l, const char *name, const char *value)
{
    return set(l, eg_slice_str(name), eg_slice_str(value));
}

struct eg_env_pair {
    const char *name, *value;
};

static enum eg_status set_pairs(struct eg_env_list *l, const struct eg_env_pair *pairs, size_t n)
{
    enum eg_status status = EG_OK;
    for (size_t i = 0; i < n && status == EG_OK; i++)
        status = set_text(l, pairs[i].name, pairs[i].value);
    return status;
}

/* ---- what stays of the parent's ---- */

static const char *parent_value(char *const *parent, struct eg_slice name)
{
    for (; *parent; parent++)
        if (eg_slice_eq(name_of(*parent), name) && (*parent)[name.n] == '=')
            return *parent + name.n + 1;
    return NULL;
}

/* By name, and by value too: a copy of the key under another name, or inside a longer text, is
 * the key. */
static bool holds_value(const struct eg_child_env_spec *spec, const char *item,
                        struct eg_slice variable)
{
    if (eg_slice_eq(name_of(item), variable))
        return true;
    const char *value = parent_value(spec->parent, variable);
    size_t n = value ? strlen(value) : 0;
    while (n > 0 && (value[n - 1] == '\n' || value[n - 1] == '\r')) /* the key ends before it */
        n--;
    return n >= EG_ENV_COPY_MIN && memmem(item, strlen(item), value, n) != NULL;
}

struct eg_slice eg_child_env_program_key(struct eg_slice program, unsigned i)
{
    const char *slash = program.n ? memrchr(program.p, '/', program.n) : NULL;
    if (slash)
        program = eg_slice_from(program, (size_t)(slash - program.p) + 1);
    static const struct {
        const char *program, *variable;
    } keys[] = { { "op", "OP_SERVICE_ACCOUNT_TOKEN" },
                 { "op", "OP_CONNECT_TOKEN" },
                 { "bw", "BW_SESSION" } };
    for (unsigned k = 0; k < sizeof keys / sizeof *keys; k++)
        if (eg_slice_eq(program, eg_slice_str(keys[k].program)) && i-- == 0)
            return eg_slice_str(keys[k].variable);
    return EG_SLICE_NONE;
}

static bool holds_credential(const struct eg_child_env_spec *spec, const char *item)
{
    for (unsigned i = 0; i < eg_policy_credential_count(spec->policy); i++) {
        struct eg_credential c;
        eg_policy_credential(spec->policy, i, &c);
        if (c.kind == EG_SOURCE_ENV && holds_value(spec, item, c.place))
            return true;
        struct eg_slice program =
            c.arg_count ? eg_policy_credential_arg(spec->policy, i, 0) : EG_SLICE_NONE, key;
        for (unsigned k = 0; (key = eg_child_env_program_key(program, k)).n > 0; k++)
            if (holds_value(spec, item, key))
                return true;
    }
    return false;
}

/* Other spellings of a proxy, which win over ours in some programs and may hold a password. */
static bool misleads(struct eg_slice name)
{
    static const char *const names[] = { "ftp_proxy",
                                         "rsync_proxy",
                                         "npm_config_proxy",
                                         "npm_config_https_proxy",
                                         "npm_config_http_proxy",
                                         "socks_proxy",
                                         "git_proxy_command" };
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (eg_slice_caseeq(name, eg_slice_str(names[i])))
            return true;
    return eg_slice_eq(name, EG_SLICE("EGRESS_TOKEN")) ||
           eg_slice_eq(name, EG_SLICE("EGRESS_SESSION"));
}

static enum eg_status inherit(const struct eg_child_env_spec *spec, struct eg_env_list *l)
{
    enum eg_status status = EG_OK;
    for (char *const *e = spec->parent; *e && status == EG_OK; e++)
        if (!holds_credential(spec, *e) && !misleads(name_of(*e)))
            status = push(l, strdup(*e));
    return status;
}

/* ---- what leads to the proxy ---- */

static enum eg_status set_proxy(const struct eg_child_env_spec *spec, struct eg_env_list *l)
{
    char url[256];
    int n = snprintf(url, sizeof url, "http://%s:%s@127.0.0.1:%u", spec->session, spec->token,
                     (unsigned)spec->listener->port);
    if (n < 0 || (size_t)n >= sizeof url)
        return EG_TOO_BIG;
    const struct eg_env_pair pairs[] = { { "http_proxy", url },
                                         { "https_proxy", url },
                                         { "HTTP_PROXY", url },
                                         { "HTTPS_PROXY", url },
                                         { "all_proxy", url },
                                         { "ALL_PROXY", url },
                                         { "no_proxy", "127.0.0.1,localhost,::1" },
                                         { "NO_PROXY", "127.0.0.1,localhost,::1" },
                                         { "NODE_USE_ENV_PROXY", "1" },
                                         { "npm_config_noproxy", "127.0.0.1,localhost" },
                                         { "GIT_HTTP_PROXY_AUTHMETHOD", "basic" },
                                         { "GIT_TERMINAL_PROMPT", "0" },
                                         { "EGRESS_SESSION", spec->session },
                                         { "EGRESS_TOKEN", spec->token },
                                         { "EGRESS_POLICY",
                                           spec->policy_path ? spec->policy_path : "" } };
    return set_pairs(l, pairs, sizeof pairs / sizeof *pairs);
}

/* Java reads no proxy variable and takes no password from properties: no token in it. gcloud has
 * its own names. */
static enum eg_status set_tools(const struct eg_child_env_spec *spec, struct eg_env_list *l)
{
    char port[8];
    const char *before = parent_value(spec->parent, EG_SLICE("JAVA_TOOL_OPTIONS"));
    struct eg_buf java;
    eg_buf_init(&java, EG_ENV_TEXT_MAX);
    snprintf(port, sizeof port, "%u", (unsigned)spec->listener->port);
    enum eg_status status = eg_buf_printf(
        &java,
        "%s%s-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=%s -Dhttps.proxyHost=127.0.0.1 "
        "-Dhttps.proxyPort=%s -Dhttp.nonProxyHosts=localhost|127.0.0.1|[::1]",
        before ? before : "", before && *before ? " " : "", port, port);
    if (status == EG_OK)
        status = set(l, EG_SLICE("JAVA_TOOL_OPTIONS"), eg_buf_slice(&java));
    eg_buf_done(&java);
    const struct eg_env_pair pairs[] = { { "CLOUDSDK_PROXY_TYPE", "http" },
                                         { "CLOUDSDK_PROXY_ADDRESS", "127.0.0.1" },
                                         { "CLOUDSDK_PROXY_PORT", port } };
    return status == EG_OK ? set_pairs(l, pairs, sizeof pairs / sizeof *pairs) : status;
}

static const char *phantom_of(const struct eg_child_env_spec *spec, struct eg_slice service)
{
    for (unsigned i = 0; i < spec->phantom_count; i++)
        if (eg_slice_eq(eg_slice_str(spec->phantom_services[i]), service))
            return spec->phantom_texts[i];
    return NULL;
}

static bool takes_signatures(const struct eg_service *s)
{
    return s->accept_count > 0 && s->accept[0].kind == EG_SLOT_SIGV4;
}

/* The key id in the first variable, the secret in the others. The child signs with these two alone: a session token would be another key's. */
static enum eg_status set_signing_keys(const struct eg_child_env_spec *spec,
                                       const struct eg_service *s, struct eg_env_list *l)
{
    struct eg_buf name;
    eg_buf_init(&name, 512);
    enum eg_status status = eg_buf_printf(&name, "%.*s#secret_key", (int)s->name.n, s->name.p);
    const char *id = phantom_of(spec, s->name);
    const char *secret = status == EG_OK ? phantom_of(spec, eg_buf_slice(&name)) : NULL;
    eg_buf_done(&name);
    drop(l, EG_SLICE("AWS_SESSION_TOKEN"));
    drop(l, EG_SLICE("AWS_SECURITY_TOKEN"));
    if (s->env_key_count == 1) /* else it may be another service's */
        drop(l, EG_SLICE("AWS_SECRET_ACCESS_KEY"));
    for (unsigned k = 0; k < s->env_key_count; k++)
        drop(l, s->env_keys[k]);
    if (!id || !secret || s->env_key_count == 0)
        return status;
    status = set(l, s->env_keys[0], eg_slice_str(id));
    if (status == EG_OK && s->env_key_count == 1)
        status = set_text(l, "AWS_SECRET_ACCESS_KEY", secret);
    for (unsigned k = 1; k < s->env_key_count && status == EG_OK; k++)
        status = set(l, s->env_keys[k], eg_slice_str(secret));
    return status;
}

static enum eg_status set_service(const struct eg_child_env_spec *spec, const struct eg_service *s,
                                  struct eg_env_list *l)
{
    struct eg_buf url;
    if (s->internal) /* a token endpoint: nothing of the child's */
        return EG_OK;
    eg_buf_init(&url, EG_ENV_TEXT_MAX);
    enum eg_status status = eg_buf_printf(
        &url, "http://127.0.0.1:%u/%.*s%.*s", (unsigned)spec->listener->port, (int)s->route.n,
        s->route.p, (int)s->env_base_path.n, s->env_base_path.n ? s->env_base_path.p : "");
    if (status == EG_OK)
        status = set(l, s->env_base_url, eg_buf_slice(&url));
    eg_buf_done(&url);
    if (status == EG_OK && takes_signatures(s))
        return set_signing_keys(spec, s, l);
    const char *phantom = s->credential.n > 0 ? phantom_of(spec, s->name) : NULL;
    /* without one: what the parent has under that name may be the real key, of another source */
    for (unsigned k = 0; s->credential.n > 0 && k < s->env_key_count && status == EG_OK; k++)
        if (phantom)
            status = set(l, s->env_keys[k], eg_slice_str(phantom));
        else
            drop(l, s->env_keys[k]);
    return status;
}

enum eg_status eg_child_env_make(const struct eg_child_env_spec *spec, char ***ret,
                                 struct eg_err *err)
{
    struct eg_env_list l = { 0 };
    enum eg_status status = inherit(spec, &l);
    if (status == EG_OK)
        status = set_proxy(spec, &l);
    if (status == EG_OK)
        status = set_tools(spec, &l);
    for (unsigned i = 0; i < eg_policy_service_count(spec->policy) && status == EG_OK; i++) {
        struct eg_service s;
        eg_policy_service(spec->policy, i, &s);
        status = set_service(spec, &s, &l);
    }
    if (status != EG_OK) {
        eg_child_env_free(l.items);
        return eg_err_set(err, status, "launch", 0, "the child's environment can't be made");
    }
    *ret = l.items;
    return EG_OK;
}

void eg_child_env_free(char **environment)
{
    for (char **e = environment; e && *e; e++) {
        explicit_bzero(
            *e, strlen(*e)); /* tokens and phantoms: of no use outside, but nobody's to keep */
        free(*e);
    }
    free(environment);
}
