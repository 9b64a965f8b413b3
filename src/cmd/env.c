/* env.c - `egressctl env`: the variables for a process that is to use a session of the running
 * proxy. The proxy makes them; this prints them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/commands.h"
#include "cmd/connect.h"

static const char NAME[] = "egressctl env";

static const struct eg_cmd_option list[] = {
    { 0, "control", "PATH", "the control socket" },
    { 0, "session", "ID", "the session (default: default)" },
    { 0, "format", "FORMAT", "sh (default) or json" },
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_env_options = {
    .command = NAME,
    .operands = "",
    .about = "Prints the variables of a session: eval \"$(egressctl env)\".",
    .list = list,
};

/* Variables that are appended to and not replaced. */
static const char *const appended[] = { "JAVA_TOOL_OPTIONS", "NODE_OPTIONS", "GIT_CONFIG_COUNT" };

static void send_variable(json_t *parent, const char *name)
{
    const char *v = getenv(name);
    json_t *s = v && strlen(v) < 4096 ? json_string(v) : NULL;
    if (s)
        json_object_set_new(parent, name, s);
}

/* git's setting of an earlier `egressctl env`, so that it is not set again and again. */
static void send_git_proxy(json_t *parent)
{
    const char *count = getenv("GIT_CONFIG_COUNT");
    for (int i = 0; count && i < 256 && i < atoi(count); i++) {
        char name[40];
        snprintf(name, sizeof name, "GIT_CONFIG_KEY_%d", i);
        const char *key = getenv(name);
        if (key && strcasecmp(key, "http.proxy") == 0) {
            send_variable(parent, name);
            return;
        }
    }
}

static json_t *make_request(const char *session)
{
    json_t *parent = json_object();
    for (size_t i = 0; i < sizeof appended / sizeof *appended; i++)
        send_variable(parent, appended[i]);
    send_git_proxy(parent);
    return json_pack("{s:s,s:s,s:o}", "op", "env", "id", session, "parent", parent);
}

/* A name that a shell takes. */
static bool plain(const char *name)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    return n > 0 && name[n] == 0 && !(*name >= '0' && *name <= '9');
}

static void print_sh(const json_t *reply)
{
    const char *name;
    json_t *v;
    size_t i;
    json_array_foreach(json_object_get(reply, "unset"), i,
                       v) if (json_string_value(v) && plain(json_string_value(v)))
        printf("unset %s\n", json_string_value(v));
    json_object_foreach(json_object_get(reply, "variables"), name, v)
    {
        const char *text = json_string_value(v);
        if (!text || !plain(name))
            continue;
        printf("export %s='", name);
        for (; *text; text++)
            if (*text == '\'')
                printf("'\\''");
            else
                putchar(*text);
        printf("'\n");
    }
}

int eg_cmd_env(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_env_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    unsigned n;
    int at;
    struct eg_ctl_client *c = NULL;
    json_t *reply = NULL;
    int code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    const char *session = eg_cmd_value(o, g, n, "session"),
               *format = eg_cmd_value(o, g, n, "format");
    bool json = format && strcmp(format, "json") == 0;
    if (at < argc)
        return eg_cmd_usage(o, "there are no operands");
    if (format && !json && strcmp(format, "sh") != 0)
        return eg_cmd_usage(o, "--format takes sh or json");
    code = eg_cmd_connect(NAME, eg_cmd_value(o, g, n, "control"), false, &c);
    if (code >= 0)
        return code;
    code = eg_cmd_ask(NAME, c, make_request(session ? session : "default"), &reply);
    eg_ctl_client_free(c);
    if (code >= 0)
        return code;
    char *text = json ? json_dumps(reply, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    if (text)
        printf("%s\n", text);
    else
        print_sh(reply);
    free(text);
    json_decref(reply);
    return EG_EXIT_OK;
}
