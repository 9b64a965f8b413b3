/* env.c - `egressctl env`: the variables for a process that is to use a session of the running
 * proxy. The proxy makes them; this prints them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/commands.h"
#include "cmd/connect.h"
#include "cmd/env_format.h"

static const char NAME[] = "egressctl env";

enum { TEXT_MAX = 1 << 20 };

static const struct eg_cmd_option list[] = {
    { 0, "control", "PATH", "the control socket" },
    { 0, "session", "ID", "the session (default: default)" },
    { 0, "format", "sh|fish|json|dotenv|github|docker", "sh (default), fish, json, dotenv, github or docker" },
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

/* Is it a setting of an earlier `egressctl env`: the proxy, or the way to a route? */
static bool is_ours(const char *key)
{
    return strcasecmp(key, "http.proxy") == 0 || strncmp(key, "url.http://127.0.0.1:", 21) == 0 ||
           strncmp(key, "http.http://127.0.0.1:", 22) == 0;
}

/* git's settings of an earlier `egressctl env`, so that they are not set again and again. */
static void send_git_settings(json_t *parent)
{
    const char *count = getenv("GIT_CONFIG_COUNT");
    for (int i = 0; count && i < 256 && i < atoi(count); i++) {
        char name[40];
        snprintf(name, sizeof name, "GIT_CONFIG_KEY_%d", i);
        const char *key = getenv(name);
        if (key && is_ours(key))
            send_variable(parent, name);
    }
}

static json_t *make_request(const char *session)
{
    json_t *parent = json_object();
    for (size_t i = 0; i < sizeof appended / sizeof *appended; i++)
        send_variable(parent, appended[i]);
    send_git_settings(parent);
    return json_pack("{s:s,s:s,s:o}", "op", "env", "id", session, "parent", parent);
}

/* All of it or nothing. */
static int print(const char *format, const json_t *reply)
{
    struct eg_buf text;
    struct eg_err err = { 0 };
    int code = EG_EXIT_OK;
    eg_buf_init(&text, TEXT_MAX);
    enum eg_status status = eg_env_format(format, reply, &text, &err);
    if (status != EG_OK) {
        fprintf(stderr, "%s: %s\n", NAME,
                err.status != EG_OK ? err.text : egress_status_sentence(status));
        code = EG_EXIT_FAILED;
    } else if (fwrite(eg_buf_slice(&text).p, 1, text.len, stdout) != text.len ||
               fflush(stdout) != 0) {
        fprintf(stderr, "%s: the variables can't be written: %s\n", NAME, strerror(errno));
        code = EG_EXIT_FAILED;
    }
    eg_buf_wipe(&text);
    eg_buf_done(&text);
    return code;
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
    if (at < argc)
        return eg_cmd_usage(o, "there are no operands");
    if (format && !eg_env_format_known(format))
        return eg_cmd_usage(o, "--format takes %s", eg_env_formats);
    code = eg_cmd_connect(NAME, eg_cmd_value(o, g, n, "control"), false, &c);
    if (code >= 0)
        return code;
    code = eg_cmd_ask(NAME, c, make_request(session ? session : "default"), &reply);
    eg_ctl_client_free(c);
    if (code >= 0)
        return code;
    code = print(format ? format : "sh", reply);
    json_decref(reply);
    return code;
}
