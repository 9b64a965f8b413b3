/* creds_cmd.c - `egressctl creds list|test`: which credentials the running proxy has, and why one is
 * not there. No value is ever shown: the proxy does not send any. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/commands.h"
#include "cmd/connect.h"

enum { ANSWER_MS = 150000 };

static const char NAME[] = "egressctl creds";

static const struct eg_cmd_option list[] = {
    { 0, "control", "PATH", "the control socket" },
    { 0, "json", NULL, "print JSON, one line for each credential" },
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_creds_options = {
    .command = NAME,
    .operands = "list | test [NAME]",
    .about = "Shows the credentials of a running proxy; test reads them again first.",
    .list = list,
};

static const char *member(const json_t *o, const char *key)
{
    const char *text = eg_ctl_text(o, key);
    return text ? text : "-";
}

/* "3 h", "90 s"; "-" when there is none. */
static const char *span(const json_t *o, const char *key, char *out, size_t cap)
{
    long long s = (long long)json_integer_value(json_object_get(o, key));
    if (!json_object_get(o, key))
        snprintf(out, cap, "-");
    else if (s < 120)
        snprintf(out, cap, "%lld s", s);
    else if (s < 7200)
        snprintf(out, cap, "%lld min", s / 60);
    else
        snprintf(out, cap, "%lld h", s / 3600);
    return out;
}

static void print_list(const json_t *o, const char *key)
{
    const json_t *v;
    size_t i;
    if (json_array_size(json_object_get(o, key)) == 0)
        printf(" -");
    json_array_foreach(json_object_get(o, key), i, v) printf(" %s", json_string_value(v));
}

static void print_one(const json_t *c)
{
    char age[32], left[32];
    printf("%-20s %-8s %-8s %-8s %s ", member(c, "name"), member(c, "state"),
           span(c, "age", age, sizeof age), span(c, "expires_in", left, sizeof left),
           member(c, "source"));
    printf(" services:");
    print_list(c, "services");
    printf("  hosts:");
    print_list(c, "hosts");
    printf("\n");
    if (json_object_get(c, "error"))
        printf("  why:  %s\n  next: %s\n", member(c, "error"), member(c, "next"));
}

static void print_json(const json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);
    if (text)
        printf("%s\n", text);
    free(text);
}

/* A test finds fault with one whose source fails, also while an older value is still good. */
static bool unavailable(const json_t *c, bool test)
{
    return strcmp(member(c, "state"), "failed") == 0 ||
           (test && (json_object_get(c, "error") || strcmp(member(c, "state"), "loaded") != 0));
}

static int show(struct eg_ctl_client *c, bool test, const char *name, bool json)
{
    json_t *request = json_pack("{s:s}", "op", test ? "creds.test" : "creds.list"), *reply = NULL;
    bool bad = false;
    if (request && name)
        json_object_set_new(request, "name", json_string(name));
    int code = eg_cmd_ask(NAME, c, request, &reply);
    if (code < 0 && !json)
        printf("%-20s %-8s %-8s %-8s %s\n", "NAME", "STATE", "AGE", "EXPIRES", "SOURCE");
    while (code < 0) {
        const json_t *o = json_object_get(reply, "credential");
        bool done = json_object_get(reply, "done") != NULL;
        bad = bad || (o && unavailable(o, test));
        if (o && json)
            print_json(o);
        else if (o)
            print_one(o);
        json_decref(reply);
        if (done)
            return bad ? EG_EXIT_CREDENTIAL : EG_EXIT_OK;
        code = eg_cmd_next(NAME, c, ANSWER_MS, &reply);
    }
    return code;
}

int eg_cmd_creds(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_creds_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    unsigned n;
    int at;
    struct eg_ctl_client *c = NULL;
    int code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    const char *verb = at < argc ? argv[at] : "", *name = at + 1 < argc ? argv[at + 1] : NULL;
    bool test = strcmp(verb, "test") == 0;
    if (!test && strcmp(verb, "list") != 0)
        return eg_cmd_usage(o, "list or test?");
    if (argc - at > 2)
        return eg_cmd_usage(o, "%s takes one NAME at most", verb);
    code = eg_cmd_connect(NAME, eg_cmd_value(o, g, n, "control"), false, &c);
    if (code >= 0)
        return code;
    code = show(c, test, name, eg_cmd_value(o, g, n, "json") != NULL);
    eg_ctl_client_free(c);
    return code;
}
