/* policy_presets_params.c - what the parameters of presets take, and how they fill a preset's tree. */
#include <criterion/criterion.h>
#include <sodium.h>

#include "policy/check.h"
#include "policy/preset.h"

struct tree {
    struct eg_arena arena;
    struct eg_diags *diags;
    struct eg_source with_source, source;
    struct eg_preset_head head;
    struct eg_yaml *root;
};

static enum eg_status fill(struct tree *t, const char *name, const char *with)
{
    struct eg_yaml *given = NULL;
    *t = (struct tree){ .source = { .layer = EG_LAYER_PRESET, .trusted = true } };
    eg_arena_init(&t->arena, 8 << 20);
    cr_assert_geq(sodium_init(), 0);
    cr_assert_eq(eg_diags_new(&t->diags), EG_OK);
    t->with_source = (struct eg_source){ .path = "with.yaml", .text = eg_slice_str(with) };
    cr_assert_eq(eg_yaml_read(&t->with_source, &t->arena, t->diags, &given), EG_OK);
    return eg_preset_read(eg_preset_find(eg_slice_str(name)), given, given->at, &t->arena, t->diags,
                          &t->source, &t->head, &t->root);
}

static void done(struct tree *t)
{
    eg_diags_free(t->diags);
    eg_arena_done(&t->arena);
}

Test(policy_presets, each_set_of_rules_is_typed_by_the_schema)
{
    const struct eg_preset *p;
    for (unsigned i = 0; (p = eg_preset_each(i)) != NULL; i++) {
        struct tree t;
        bool parameters = strstr(p->text.p, "\npreset:") != NULL;
        if (p->kind != EG_PRESET_RULES)
            continue;
        cr_assert_eq(fill(&t, p->name, parameters ? "host: a.example" : "{}"), EG_OK, "%s",
                     p->name);
        t.source.trusted = false; /* an untrusted file may extend it */
        eg_check_tree(t.root, &t.source, t.diags);
        cr_expect_eq(eg_diags_total(t.diags), 0, "%s", p->name);
        cr_expect_null(eg_yaml_get(t.root, "preset"));
        cr_expect(eg_yaml_get(t.root, "allow") || eg_yaml_get(t.root, "deny"), "%s", p->name);
        done(&t);
    }
}

Test(policy_presets, a_list_repeats_what_names_it)
{
    struct tree t;
    cr_assert_eq(fill(&t, "apt", "host: [a.example, b.example, c.example]"), EG_OK);
    const struct eg_yaml *allow = eg_yaml_get(t.root, "allow");
    static const char *const hosts[] = { "a.example", "b.example", "c.example",
                                         "a.example", "b.example", "c.example" };
    cr_assert_eq(allow->count, 6);
    unsigned i = 0;
    for (const struct eg_yaml *rule = allow->first; rule; rule = rule->next, i++) {
        const struct eg_yaml *host = eg_yaml_get(rule, "host");
        cr_expect(eg_slice_eq(host->text, eg_slice_str(hosts[i])), "%u", i);
        cr_expect_eq(host->at.source, &t.with_source, "a value has the place where it was given");
        cr_expect_eq(rule->at.source, &t.source);
        cr_expect_eq(host->text.p[host->text.n], '\0');
    }
    done(&t);
    cr_assert_eq(fill(&t, "npm", "{host: a.example, port: 8443}"), EG_OK);
    const struct eg_yaml *ports = eg_yaml_get(eg_yaml_get(t.root, "allow")->first, "ports");
    cr_expect(eg_slice_eq(ports->first->text, EG_SLICE("8443")));
    cr_expect(ports->first->plain, "a number is one, whatever quotes the preset needs");
    done(&t);
}

/* A value that could end its text, name another parameter or be more than the one thing that its type is. */
Test(policy_presets, no_value_is_more_than_its_type)
{
    static const struct {
        const char *preset, *with;
        const char *code;
    } bad[] = {
        { "npm", "host: \"*.example\"", "bad-value" },
        { "npm", "host: \"a.example, b.example\"", "bad-value" },
        { "npm", "host: \"a.example/x\"", "bad-value" },
        { "npm", "host: \"a.example:99\"", "bad-value" },
        { "npm", "host: \"a.example#\"", "bad-value" },
        { "npm", "host: \"u@a.example\"", "bad-value" },
        { "npm", "host: \"${host}\"", "bad-value" },
        { "npm", "host: 10.0.0.1", "bad-value" },
        { "npm", "host: \"[::1]\"", "bad-value" },
        { "npm", "host: \"\"", "bad-value" },
        { "npm", "host: []", "bad-value" },
        { "npm", "host: [a.example, \"b example\"]", "bad-value" },
        { "npm", "{host: a.example, port: 0}", "bad-value" },
        { "npm", "{host: a.example, port: 65536}", "bad-value" },
        { "npm", "{host: a.example, port: 0443}", "bad-value" },
        { "npm", "{host: a.example, port: any}", "bad-value" },
        { "npm", "{host: a.example, port: [1, 2]}", "bad-type" },
        { "npm", "{host: a.example, hosts: b.example}", "unknown-key" },
        { "npm", "{port: 443}", "missing-key" },
        { "npm", "{}", "missing-key" },
        { "agent-baseline", "host: a.example", "unknown-key" },
        { "azure-openai", "resource: a.evil.example/", "bad-value" },
        { "azure-openai", "resource: a.b", "bad-value" },
        { "azure-openai", "resource: -a", "bad-value" },
        { "azure-openai", "resource: a-", "bad-value" },
        { "azure-openai", "resource: A", "bad-value" },
        { "azure-openai", "resource: \"a\\nb\"", "bad-value" },
        { "azure-openai",
          "resource: aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg", "bad-value" },
        { "jira", "{site: a, email: \"a@b.example:x\"}", "bad-value" },
        { "jira", "{site: a, email: \"{}@b.example\"}", "bad-value" },
        { "jira", "{site: a, email: \"a b@c.example\"}", "bad-value" },
        { "jira", "{site: a, email: nobody}", "bad-value" },
        { "jira", "{site: a}", "missing-key" },
        { "gcp", "{service: storage, key: sa.json}", "bad-value" },
        { "gcp", "{service: storage, key: /a/../b}", "bad-value" },
        { "gcp", "{service: storage, key: \"/a b\"}", "bad-value" },
        { "gcp", "{service: storage, key: /a/}", "bad-value" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tree t;
        enum eg_status st = fill(&t, bad[i].preset, bad[i].with);
        if (strcmp(bad[i].with, "resource: \"a\\nb\"") == 0) /* refused by the reader of files */
            cr_expect_neq(st, EG_OK);
        else
            cr_expect_eq(st, EG_INVALID, "%s %s", bad[i].preset, bad[i].with);
        cr_expect_geq(eg_diags_count(t.diags, EG_DIAG_ERROR), 1);
        if (eg_diags_total(t.diags) > 0 && st == EG_INVALID && !strstr(bad[i].with, "\\n"))
            cr_expect_str_eq(eg_diags_at(t.diags, 0)->code, bad[i].code, "%s %s", bad[i].preset,
                             bad[i].with);
        done(&t);
    }
}
