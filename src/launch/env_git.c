/* env_git.c - settings of git's own, as numbered variables (GIT_CONFIG_COUNT, GIT_CONFIG_KEY_n, GIT_CONFIG_VALUE_n): they win over every file.
 *
 * What the parent has set so stays, but for what is set here: a second run, or a second `egressctl env`, replaces it. */
#include "launch/environment.h"

#include <sodium.h>
#include <stdio.h>

enum { EG_ENV_GIT_MAX = 256, EG_ENV_GIT_TEXT = 1024 };

static enum eg_status set_numbered(struct eg_env_list *l, const char *prefix, unsigned i,
                                   const char *value)
{
    char name[40];
    snprintf(name, sizeof name, "%s%u", prefix, i);
    return eg_env_set(l, eg_slice_str(name), eg_slice_str(value));
}

/* False: it is none, and git itself will say what is wrong with it. */
static bool settings(const struct eg_env_list *l, unsigned *count)
{
    const char *text = eg_env_value(l->items, EG_SLICE("GIT_CONFIG_COUNT"));
    unsigned long long n = 0;
    if (text && *text && (!eg_slice_u64(eg_slice_str(text), &n) || n >= EG_ENV_GIT_MAX))
        return false;
    *count = (unsigned)n;
    return true;
}

static const char *key_at(const struct eg_env_list *l, unsigned i)
{
    char name[40];
    snprintf(name, sizeof name, "GIT_CONFIG_KEY_%u", i);
    return eg_env_value(l->items, eg_slice_str(name));
}

static enum eg_status append(struct eg_env_list *l, unsigned count, const char *key,
                             const char *value)
{
    char number[16];
    enum eg_status status = set_numbered(l, "GIT_CONFIG_KEY_", count, key);
    if (status == EG_OK)
        status = set_numbered(l, "GIT_CONFIG_VALUE_", count, value);
    snprintf(number, sizeof number, "%u", count + 1);
    return status == EG_OK ? eg_env_set(l, EG_SLICE("GIT_CONFIG_COUNT"), eg_slice_str(number))
                           : status;
}

/* ---- the proxy ---- */

/* http.proxy, or that of one URL or remote. */
static bool names_a_proxy(const char *key, bool *general)
{
    size_t n = key ? strlen(key) : 0;
    *general = *general || (key && eg_slice_caseeq(eg_slice_str(key), EG_SLICE("http.proxy")));
    return n >= 6 && eg_slice_caseeq(eg_slice_str(key + n - 6), EG_SLICE(".proxy"));
}

/* http.proxy of a gitconfig wins over the proxy variables; GIT_CONFIG_KEY_n wins over that. What
 * the parent has set so stays, but for proxies of its own. */
enum eg_status eg_env_git_proxy(const char *url, struct eg_env_list *l)
{
    unsigned count;
    bool there = false;
    enum eg_status status = EG_OK;
    if (!settings(l, &count))
        return EG_OK;
    for (unsigned i = 0; i < count && status == EG_OK; i++)
        if (names_a_proxy(key_at(l, i), &there))
            status = set_numbered(l, "GIT_CONFIG_VALUE_", i, url);
    return there || status != EG_OK ? status : append(l, count, "http.proxy", url);
}

/* ---- routes ---- */

/* The nth setting of that key has this value; another one at the end where there are fewer. */
static enum eg_status set_nth(struct eg_env_list *l, const char *key, unsigned nth,
                              const char *value)
{
    unsigned count;
    if (!settings(l, &count))
        return EG_OK;
    for (unsigned i = 0; i < count; i++) {
        const char *there = key_at(l, i);
        if (there && strcmp(there, key) == 0 && nth-- == 0)
            return set_numbered(l, "GIT_CONFIG_VALUE_", i, value);
    }
    return count + 1 < EG_ENV_GIT_MAX ? append(l, count, key, value) : EG_OK;
}

static bool accepts(const struct eg_service *s, enum eg_slot_kind kind)
{
    for (unsigned i = 0; i < s->accept_count; i++)
        if (s->accept[i].kind == kind)
            return true;
    return false;
}

/* "Authorization: ..." as the service takes the phantom. */
static bool header(const struct eg_service *s, const char *phantom, char *out, size_t cap)
{
    char both[EG_ENV_GIT_TEXT];
    int n = snprintf(both, sizeof both, "git:%s", phantom);
    if (accepts(s, EG_SLOT_BEARER))
        return (size_t)snprintf(out, cap, "Authorization: Bearer %s", phantom) < cap;
    static const char basic[] = "Authorization: Basic ";
    if (n < 0 || (size_t)n >= sizeof both || !accepts(s, EG_SLOT_BASIC_PASSWORD) ||
        sizeof basic + sodium_base64_encoded_len((size_t)n, sodium_base64_VARIANT_ORIGINAL) > cap)
        return false;
    memcpy(out, basic, sizeof basic);
    sodium_bin2base64(out + sizeof basic - 1, cap - sizeof basic + 1, (unsigned char *)both,
                      (size_t)n, sodium_base64_VARIANT_ORIGINAL);
    explicit_bzero(both, sizeof both);
    return true;
}

enum eg_status eg_env_git_route(const struct eg_child_env_spec *spec, const struct eg_service *s,
                                const char *phantom, struct eg_env_list *l)
{
    static const char *const forms[][2] = { { "https://", "/" },
                                            { "git@", ":" },
                                            { "ssh://git@", "/" } };
    char base[EG_ENV_URL_MAX], key[EG_ENV_GIT_TEXT], value[EG_ENV_GIT_TEXT];
    enum eg_status status = EG_OK;
    int n = snprintf(base, sizeof base, "http://127.0.0.1:%u/%.*s/",
                     (unsigned)spec->listener->port, (int)s->route.n, s->route.p);
    if (n < 0 || (size_t)n >= sizeof base)
        return EG_TOO_BIG;
    snprintf(key, sizeof key, "url.%s.insteadOf", base);
    for (unsigned i = 0; i < 3 && status == EG_OK; i++) {
        snprintf(value, sizeof value, "%s%.*s%s", forms[i][0], (int)s->env_git.n, s->env_git.p,
                 forms[i][1]);
        status = set_nth(l, key, i, value);
    }
    snprintf(key, sizeof key, "http.%s.extraHeader", base);
    if (status == EG_OK && phantom && header(s, phantom, value, sizeof value))
        status = set_nth(l, key, 0, value);
    explicit_bzero(value, sizeof value);
    return status;
}
