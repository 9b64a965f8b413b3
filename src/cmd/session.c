/* session.c - `egressctl session create|list|revoke`: asks the running proxy. The token is
 * printed once, on stdout, by create. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "cmd/connect.h"

static const char NAME[] = "egressctl session";

static const struct eg_cmd_option list[] = {
    { 0, "control", "PATH", "the control socket" },
    { 0, "label", "LABEL", "create: what the audit shows for it" },
    { 0, "ttl", "DURATION",
      "create: how long it is valid: 90s, 15m, 8h, 7d (default: until revoked)" },
    { 0, "json", NULL, "print JSON" },
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_session_options = {
    .command = NAME,
    .operands = "create | list | revoke ID",
    .about = "Makes, shows and revokes sessions of a running proxy.",
    .list = list,
};

static void print_json(const json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);
    if (text)
        printf("%s\n", text);
    free(text);
}

static const char *member(const json_t *o, const char *key)
{
    const char *text = eg_ctl_text(o, key);
    return text ? text : "-";
}

static int create(struct eg_ctl_client *c, const char *label, uint64_t ttl, bool json)
{
    json_t *request = json_pack("{s:s}", "op", "session.create"), *reply = NULL;
    if (request && label)
        json_object_set_new(request, "label", json_string(label));
    if (request && ttl)
        json_object_set_new(request, "ttl", json_integer((json_int_t)ttl));
    int code = eg_cmd_ask(NAME, c, request, &reply);
    if (code >= 0)
        return code;
    const json_t *s = json_object_get(reply, "session");
    if (json)
        print_json(s);
    else
        printf("id       %s\nlabel    %s\nexpires  %s\ntoken    %s\n", member(s, "id"),
               member(s, "label"), member(s, "expires"), member(s, "token"));
    json_decref(reply);
    return EG_EXIT_OK;
}

static int show(struct eg_ctl_client *c, bool json)
{
    json_t *reply = NULL;
    int code = eg_cmd_ask(NAME, c, json_pack("{s:s}", "op", "session.list"), &reply);
    if (code < 0 && !json)
        printf("%-16s %-24s %-28s %-28s %s\n", "ID", "LABEL", "CREATED", "EXPIRES", "PHANTOMS");
    while (code < 0) {
        const json_t *s = json_object_get(reply, "session");
        if (!s) {
            json_decref(reply);
            return EG_EXIT_OK;
        }
        if (json)
            print_json(s);
        else
            printf("%-16s %-24s %-28s %-28s %d%s\n", member(s, "id"), member(s, "label"),
                   member(s, "created"), member(s, "expires"),
                   (int)json_integer_value(json_object_get(s, "phantoms")),
                   json_is_true(json_object_get(s, "revoked")) ? "  revoked" : "");
        json_decref(reply);
        code = eg_cmd_next(NAME, c, 10000, &reply);
    }
    return code;
}

static int revoke_one(struct eg_ctl_client *c, const char *id)
{
    json_t *reply = NULL;
    int code =
        eg_cmd_ask(NAME, c, json_pack("{s:s,s:s}", "op", "session.revoke", "id", id), &reply);
    json_decref(reply);
    return code < 0 ? EG_EXIT_OK : code;
}

int eg_cmd_session(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_session_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    unsigned n;
    int at;
    uint64_t ttl = 0;
    struct eg_ctl_client *c = NULL;
    int code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    const char *verb = at < argc ? argv[at] : "", *id = at + 1 < argc ? argv[at + 1] : NULL;
    const char *label = eg_cmd_value(o, g, n, "label"), *duration = eg_cmd_value(o, g, n, "ttl");
    bool making = strcmp(verb, "create") == 0, revoking = strcmp(verb, "revoke") == 0;
    if (!making && !revoking && strcmp(verb, "list") != 0)
        return eg_cmd_usage(o, "create, list or revoke?");
    if (argc - at != (revoking ? 2 : 1))
        return eg_cmd_usage(o, revoking ? "revoke takes one ID" : "%s takes no operand", verb);
    if ((label || duration) && !making)
        return eg_cmd_usage(o, "--label and --ttl are for create");
    if (duration && !eg_cmd_duration(duration, &ttl))
        return eg_cmd_usage(o, "--ttl takes 1s to 365d, such as 90s, 15m, 8h, 7d");
    code = eg_cmd_connect(NAME, eg_cmd_value(o, g, n, "control"), false, &c);
    if (code >= 0)
        return code;
    bool json = eg_cmd_value(o, g, n, "json") != NULL;
    code = making ? create(c, label, ttl, json) : revoking ? revoke_one(c, id) : show(c, json);
    eg_ctl_client_free(c);
    return code;
}
