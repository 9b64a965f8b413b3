/* env_inherit.c - what the child keeps of the parent's environment: all but what holds a real
 * credential that the policy names, what leads round the proxy, and with --env=strict what is
 * named like a secret. Real values are looked at here to be left out, and nowhere else. */
#include "launch/environment.h"

#include <stdlib.h>

enum { EG_ENV_COPY_MIN = 8 };

/* ---- credentials ---- */

/* By name, and by value too: a copy of the key under another name, or inside a longer text, is
 * the key. */
static bool holds_value(const struct eg_child_env_spec *spec, const char *item,
                        struct eg_slice variable)
{
    if (eg_slice_eq(eg_env_name(item), variable))
        return true;
    const char *value = eg_env_value(spec->parent, variable);
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
        struct eg_slice program = c.arg_count ? eg_policy_credential_arg(spec->policy, i, 0)
                                              : EG_SLICE_NONE,
                        key;
        for (unsigned k = 0; (key = eg_child_env_program_key(program, k)).n > 0; k++)
            if (holds_value(spec, item, key))
                return true;
    }
    return false;
}

bool eg_child_env_secret_name(struct eg_slice name)
{
    static const char *const ends[] = { "_TOKEN", "_API_KEY" };
    for (unsigned i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t n = strlen(ends[i]);
        if (name.n >= n && eg_slice_caseeq(eg_slice_from(name, name.n - n), eg_slice_str(ends[i])))
            return true;
    }
    for (size_t at = 0; at < name.n; at++)
        if (eg_slice_casestarts(eg_slice_from(name, at), EG_SLICE("_SECRET")))
            return true;
    return false;
}

/* ---- other ways out ---- */

/* Other spellings of a proxy, which win over ours in some programs and may hold a password; and
 * what an outer session told us of itself. */
static bool misleads(struct eg_slice name)
{
    static const char *const proxies[] = { "ftp_proxy",
                                           "rsync_proxy",
                                           "socks_proxy",
                                           "grpc_proxy",
                                           "npm_config_proxy",
                                           "npm_config_https_proxy",
                                           "npm_config_http_proxy",
                                           "yarn_proxy",
                                           "yarn_http_proxy",
                                           "yarn_https_proxy",
                                           "pip_proxy",
                                           "cargo_http_proxy",
                                           "global_agent_http_proxy",
                                           "global_agent_https_proxy",
                                           "git_proxy_command" };
    for (unsigned i = 0; i < sizeof proxies / sizeof *proxies; i++)
        if (eg_slice_caseeq(name, eg_slice_str(proxies[i])))
            return true;
    return eg_slice_eq(name, EG_SLICE("EGRESS_TOKEN")) ||
           eg_slice_eq(name, EG_SLICE("EGRESS_SESSION"));
}

/* Options of a Java machine: those for the proxy are on its command line or win over
 * JAVA_TOOL_OPTIONS, and one of them is a password. */
static bool takes_java_options(struct eg_slice name)
{
    static const char *const names[] = { "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS",
                                         "JAVA_OPTS",         "MAVEN_OPTS",    "GRADLE_OPTS",
                                         "SBT_OPTS",          "ANT_OPTS" };
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (eg_slice_eq(name, eg_slice_str(names[i])))
            return true;
    return false;
}

static bool sets_java_proxy(struct eg_slice word)
{
    static const char *const starts[] = { "-Dhttp.proxy",          "-Dhttps.proxy",
                                          "-Dhttp.nonProxyHosts=", "-DsocksProxy",
                                          "-Djava.net.socks.",     "-Djava.net.useSystemProxies=" };
    for (unsigned i = 0; i < sizeof starts / sizeof *starts; i++)
        if (eg_slice_starts(word, eg_slice_str(starts[i])))
            return true;
    return false;
}

/* In place: all that is kept stays as it stands. */
static void drop_java_proxy(char *item)
{
    char *to = strchr(item, '=');
    for (char *from = to = to ? to + 1 : item; *from;) {
        size_t gap = strspn(from, " \t"), word = strcspn(from + gap, " \t");
        size_t n = sets_java_proxy(eg_slice(from + gap, word)) ? 0 : gap + word;
        memmove(to, from, n);
        to += n;
        from += gap + word;
    }
    *to = '\0';
}

enum eg_status eg_env_inherit(const struct eg_child_env_spec *spec, struct eg_env_list *l)
{
    enum eg_status status = EG_OK;
    for (char *const *e = spec->parent; *e && status == EG_OK; e++) {
        struct eg_slice name = eg_env_name(*e);
        if (holds_credential(spec, *e) || misleads(name) ||
            (spec->strict && eg_child_env_secret_name(name)))
            continue;
        char *item = strdup(*e);
        if (item && takes_java_options(name))
            drop_java_proxy(item);
        status = eg_env_push(l, item);
    }
    return status;
}
