/* env_tools.c - the variables that lead programs to the proxy: the common ones, and those of
 * programs that have their own, which also win over a proxy that stands in their configuration. */
#include "launch/environment.h"

#include <stdio.h>

enum eg_status eg_env_proxy_url(const struct eg_child_env_spec *spec, char url[EG_ENV_URL_MAX])
{
    int n = snprintf(url, EG_ENV_URL_MAX, "http://%s:%s@127.0.0.1:%u", spec->session, spec->token,
                     (unsigned)spec->listener->port);
    return n < 0 || n >= EG_ENV_URL_MAX ? EG_TOO_BIG : EG_OK;
}

static enum eg_status set_proxy(const struct eg_child_env_spec *spec, const char *url,
                                struct eg_env_list *l)
{
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
    return eg_env_set_pairs(l, pairs, sizeof pairs / sizeof *pairs);
}

/* These ask their own configuration first (~/.npmrc, pip.conf, ~/.cargo/config.toml), and Yarn
 * asks nothing else; it may name a proxy that nobody reaches from here. */
static enum eg_status set_own(const char *url, struct eg_env_list *l)
{
    const struct eg_env_pair pairs[] = {
        { "npm_config_proxy", url }, { "npm_config_https_proxy", url },
        { "YARN_HTTP_PROXY", url },  { "YARN_HTTPS_PROXY", url },
        { "PIP_PROXY", url },        { "CARGO_HTTP_PROXY", url }
    };
    return eg_env_set_pairs(l, pairs, sizeof pairs / sizeof *pairs);
}

/* Java reads no proxy variable and takes no password from properties: no token in it. */
static enum eg_status set_java(const struct eg_child_env_spec *spec, struct eg_env_list *l)
{
    const char *before = eg_env_value(l->items, EG_SLICE("JAVA_TOOL_OPTIONS"));
    unsigned port = spec->open ? spec->open->port : spec->listener->port;
    struct eg_buf java;
    eg_buf_init(&java, EG_ENV_TEXT_MAX);
    enum eg_status status = eg_buf_printf(
        &java,
        "%s%s-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=%u -Dhttps.proxyHost=127.0.0.1 "
        "-Dhttps.proxyPort=%u -Dhttp.nonProxyHosts=localhost|127.0.0.1|[::1]",
        before ? before : "", before && *before ? " " : "", port, port);
    if (status == EG_OK)
        status = eg_env_set(l, EG_SLICE("JAVA_TOOL_OPTIONS"), eg_buf_slice(&java));
    eg_buf_done(&java);
    return status;
}

static enum eg_status set_cloud_sdk(const struct eg_child_env_spec *spec, struct eg_env_list *l)
{
    char port[8];
    snprintf(port, sizeof port, "%u", (unsigned)spec->listener->port);
    const struct eg_env_pair pairs[] = { { "CLOUDSDK_PROXY_TYPE", "http" },
                                         { "CLOUDSDK_PROXY_ADDRESS", "127.0.0.1" },
                                         { "CLOUDSDK_PROXY_PORT", port } };
    return eg_env_set_pairs(l, pairs, sizeof pairs / sizeof *pairs);
}

enum eg_status eg_env_tools(const struct eg_child_env_spec *spec, struct eg_env_list *l)
{
    char url[EG_ENV_URL_MAX];
    enum eg_status status = eg_env_proxy_url(spec, url);
    if (status == EG_OK)
        status = set_proxy(spec, url, l);
    if (status == EG_OK)
        status = set_own(url, l);
    if (status == EG_OK)
        status = set_java(spec, l);
    if (status == EG_OK)
        status = set_cloud_sdk(spec, l);
    if (status == EG_OK)
        status = eg_env_git_proxy(url, l);
    explicit_bzero(url, sizeof url);
    return status;
}
