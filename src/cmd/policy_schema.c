/* policy_schema.c - `egressctl policy schema`: the JSON Schema of policy files, from the table that the parser uses. */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/commands.h"
#include "cmd/schema_json.h"

static const char NAME[] = "egressctl policy schema";

static const struct eg_cmd_option list[] = {
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_policy_schema_options = {
    .command = NAME,
    .operands = "",
    .about = "Prints the JSON Schema (2020-12) of policy files, for editors.",
    .list = list,
};

int eg_cmd_policy_schema(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_policy_schema_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    unsigned n;
    int at, code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    if (at < argc)
        return eg_cmd_usage(o, "there are no operands");
    json_t *schema = eg_schema_json();
    char *text = schema ? json_dumps(schema, JSON_INDENT(2)) : NULL;
    bool printed = text && printf("%s\n", text) > 0 && fflush(stdout) == 0;
    free(text);
    json_decref(schema);
    if (!printed)
        fprintf(stderr, "%s: the schema can't be written\n", NAME);
    return printed ? EG_EXIT_OK : EG_EXIT_FAILED;
}
