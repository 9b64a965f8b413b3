/* schema.c - the parser's side of tests/vectors/schema.md, and that the schema that is kept in policy/ is the program's. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/schema_json.h"
#include "support/policies.h"

static char *read_text(const char *path)
{
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    char *text = calloc(1, 1 << 20);
    cr_assert_not_null(text);
    cr_assert_lt(fread(text, 1, (1 << 20) - 1, f), (1 << 20) - 1);
    fclose(f);
    return text;
}

/* The codes of its problems; true when one is an error. */
static bool refused(struct eg_slice text, char *codes, size_t cap)
{
    const struct eg_policy_file file = { "egress.yaml", text, EG_LAYER_REPO, true };
    struct eg_diags *d = NULL;
    struct eg_buf block;
    size_t n = 0;
    eg_buf_init(&block, 16 << 20);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    (void)!eg_policy_compile(&file, 1, &eg_policies_reader, d, &block, NULL);
    codes[0] = '\0';
    for (unsigned i = 0; i < eg_diags_total(d) && n < cap; i++)
        n += (size_t)snprintf(codes + n, cap - n, "%s ", eg_diags_at(d, i)->code);
    bool bad = eg_diags_count(d, EG_DIAG_ERROR) > 0;
    eg_diags_free(d);
    eg_buf_done(&block);
    return bad;
}

Test(schema, the_parser_judges_the_corpus)
{
    char *all = read_text(EG_SOURCE_DIR "/tests/vectors/schema.md"), codes[512];
    unsigned count = 0;
    cr_assert_geq(sodium_init(), 0);
    for (char *p = all; (p = strstr(p, "```json ")) != NULL;) {
        bool valid = strncmp(p + 8, "valid\n", 6) == 0;
        char *line = strchr(p, '\n') + 1, *end = strstr(line, "```");
        cr_assert_not_null(end);
        while (line < end) {
            size_t n = strcspn(line, "\n");
            bool bad = refused(eg_slice(line, n), codes, sizeof codes);
            cr_expect_eq(bad, !valid, "%.*s: %s", (int)n, line, codes);
            line += n + 1;
            count++;
        }
        p = end + 3;
    }
    free(all);
    cr_assert_geq(count, 200);
}

Test(schema, the_kept_file_is_the_programs)
{
    char *kept = read_text(EG_SOURCE_DIR "/policy/egress.schema.json");
    json_t *schema = eg_schema_json();
    char *now = json_dumps(schema, JSON_INDENT(2));
    cr_assert_not_null(now);
    size_t n = strlen(now);
    cr_expect(strncmp(kept, now, n) == 0 && strcmp(kept + n, "\n") == 0,
              "write it anew: egressctl policy schema >policy/egress.schema.json");
    free(now);
    free(kept);
    json_decref(schema);
}
