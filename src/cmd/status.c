/* status.c - `egressctl status`: what the running proxy is and how it does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/commands.h"
#include "cmd/connect.h"

static const char NAME[] = "egressctl status";

static const struct eg_cmd_option list[] = {
    { 0, "control", "PATH", "the control socket" },
    { 0, "json", NULL, "print JSON" },
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_status_options = {
    .command = NAME,
    .operands = "",
    .about = "Shows the policy, listeners, credentials and workers of a running proxy.",
    .list = list,
};

static long long number(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
    const char *t = eg_ctl_text(o, key);
    return t ? t : "";
}

static void print_worker(const json_t *w)
{
    const json_t *t = json_object_get(w, "stats");
    printf("worker %lld  %s  pid %lld  restarts %lld", number(w, "number"), text(w, "state"),
           number(w, "pid"), number(w, "restarts"));
    if (t)
        printf("  open %lld (tunnels %lld)  connections %lld  exchanges %lld  refused %lld  up "
               "%lld B  down %lld B",
               number(t, "open_flows"), number(t, "open_tunnels"), number(t, "connections"),
               number(t, "exchanges"), number(t, "refused"), number(t, "bytes_up"),
               number(t, "bytes_down"));
    printf("\n");
}

static void print_listener(const json_t *l)
{
    const json_t *p;
    size_t i;
    if (json_object_get(l, "path"))
        printf("listener %s", text(l, "path"));
    else
        printf("listener %s port %lld", text(l, "address"), number(l, "port"));
    printf("%s ", json_is_true(json_object_get(l, "tls")) ? "  tls" : "");
    json_array_foreach(json_object_get(l, "protocols"), i, p) printf(" %s", json_string_value(p));
    printf("\n");
}

static void print_chain(const json_t *chain, const char *what)
{
    const json_t *hop;
    size_t i;
    if (json_array_size(chain) == 0)
        return;
    printf("upstream");
    json_array_foreach(chain, i, hop) printf("%s %s", i ? " >" : "", text(hop, "proxy"));
    printf("  by %s%s\n", text(json_array_get(chain, 0), "why"), what);
}

/* One line where both chains are the same. */
static void print_upstream(const json_t *u)
{
    const json_t *chain = json_object_get(u, "chain"), *plain = json_object_get(u, "plain_chain");
    const json_t *item, *bypass = json_object_get(u, "bypass");
    const char *by = text(u, "chosen_by");
    size_t i;
    if (json_array_size(chain) + json_array_size(plain) == 0)
        printf("upstream none  by %s\n", strcmp(by, "none") ? by : "default");
    else if (json_equal(chain, plain))
        print_chain(chain, "");
    else
        print_chain(chain, "  (tunnels, socks, routes)");
    if (!json_equal(chain, plain))
        print_chain(plain, "  (plain requests)");
    if (json_array_size(bypass) > 0)
        printf("bypass  ");
    json_array_foreach(bypass, i, item) printf(" %s", json_string_value(item));
    if (json_array_size(bypass) > 0)
        printf("\n");
}

/* Only `run` has a child to hold. */
static void print_enforcement(const json_t *e)
{
    const char *why = text(e, "weaker_because");
    if (e)
        printf("enforcement %s%s%s\n", text(e, "mode"), *why ? "  since " : "", why);
}

static void print_table(const json_t *s)
{
    const json_t *p = json_object_get(s, "policy"), *a = json_object_get(s, "audit"), *e;
    size_t i;
    printf("egressd %s  pid %lld  up %lld s\n", text(s, "version"), number(s, "pid"),
           number(s, "uptime"));
    printf("policy   %s  %s  mode %s  id %s  generation %lld\n", text(p, "file"), text(p, "name"),
           text(p, "mode"), text(p, "id"), number(p, "generation"));
    print_enforcement(json_object_get(s, "enforcement"));
    json_array_foreach(json_object_get(s, "listeners"), i, e) print_listener(e);
    print_upstream(json_object_get(s, "upstream"));
    printf("sessions %lld\n", number(s, "sessions"));
    printf("audit    %lld events, room for %lld, %lld overwritten\n", number(a, "newest"),
           number(a, "capacity"), number(a, "overwritten"));
    json_array_foreach(json_object_get(s, "credentials"), i, e)
    {
        bool error = json_object_get(e, "error") != NULL;
        printf("credential %s  %s%s%s\n", text(e, "name"), text(e, "state"), error ? ": " : "",
               text(e, "error"));
    }
    json_array_foreach(json_object_get(s, "workers"), i, e) print_worker(e);
}

int eg_cmd_status(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_status_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    unsigned n;
    int at;
    struct eg_ctl_client *c = NULL;
    json_t *reply = NULL;
    int code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    if (at < argc)
        return eg_cmd_usage(o, "there are no operands");
    code = eg_cmd_connect(NAME, eg_cmd_value(o, g, n, "control"), false, &c);
    if (code >= 0)
        return code;
    code = eg_cmd_ask(NAME, c, json_pack("{s:s}", "op", "status"), &reply);
    eg_ctl_client_free(c);
    if (code >= 0)
        return code;
    const json_t *s = json_object_get(reply, "status");
    char *json =
        eg_cmd_value(o, g, n, "json") ? json_dumps(s, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    if (json)
        printf("%s\n", json);
    else
        print_table(s);
    free(json);
    json_decref(reply);
    return EG_EXIT_OK;
}
