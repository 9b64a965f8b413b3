/* compile.c - all files to one block, in order: text, tree, types, model, checks across files, block, warnings.
 *
 * Every file is read to its end before anything is given up, so that one run reports every problem. Nothing is compiled when there
 * is an error. All intermediate memory is one arena; private keys that were read into it are wiped before it goes. */
#include "policy/block.h"

#include <sodium.h>
#include <stdlib.h>

#include "policy/final.h"

enum { FILES_MAX = 64, ARENA_MAX = 512 << 20 };

struct job {
    struct eg_arena arena;
    struct eg_model model;
    struct eg_sources sources;
    unsigned order[EG_SOURCES_MAX]; /* by layer, then as given, what is extended before what extends it */
    unsigned count;
};

static void sort_layers(struct job *j)
{
    const struct eg_sources *s = &j->sources;
    for (int layer = EG_LAYER_PRESET; layer <= EG_LAYER_COMMAND; layer++)
        for (unsigned i = 0; i < s->ordered; i++)
            if ((int)s->list[s->order[i]].layer == layer)
                j->order[j->count++] = s->order[i];
}

static enum eg_status read_files(struct job *j, const struct eg_policy_file *files, unsigned count,
                                 struct eg_diags *diags)
{
    for (unsigned i = 0; i < count; i++) {
        enum eg_status st =
            eg_sources_add(&j->sources, &files[i], j->model.reader, &j->arena, diags);
        if (st != EG_OK)
            return st;
    }
    eg_final_apply(&j->sources, j->model.reader, diags);
    sort_layers(j);
    return EG_OK;
}

static enum eg_status build_model(struct job *j)
{
    enum eg_status st = EG_OK;
    for (unsigned i = 0; i < j->count && st == EG_OK; i++) {
        unsigned at = j->order[i];
        if (j->sources.roots[at])
            st = eg_model_add(&j->model, &j->sources.list[at], j->sources.roots[at]);
    }
    j->model.ceiling = j->model.limits;
    for (unsigned i = 0; i < j->count && st == EG_OK; i++) {
        const struct eg_yaml *root = j->sources.roots[j->order[i]];
        if (root && root->kind == EG_YAML_MAP)
            eg_model_lower(&j->model, &j->sources.list[j->order[i]], root);
    }
    return st == EG_OK ? eg_model_finish(&j->model) : st;
}

/* Warnings from a view of what was just written; a block that can't be opened is our own fault. */
static enum eg_status lint(struct job *j, const struct eg_buf *block, size_t before,
                           struct eg_err *err)
{
    struct eg_policy *p;
    struct eg_slice text = eg_slice_from(eg_buf_slice(block), before);
    enum eg_status st = eg_policy_open(text.p, text.n, &p, err);
    if (st != EG_OK)
        return st == EG_NOMEM ? st : EG_INTERNAL;
    eg_policy_lint(&j->model, p);
    eg_policy_close(p);
    return EG_OK;
}

static void hand_out_tests(const struct eg_model *m)
{
    if (!m->reader || !m->reader->test)
        return;
    for (const struct eg_model_test *t = m->tests; t; t = t->next)
        m->reader->test(m->reader->test_ctx, &t->t);
}

static enum eg_status run(struct job *j, const struct eg_policy_file *files, unsigned count,
                          struct eg_diags *diags, struct eg_buf *block, struct eg_err *err)
{
    size_t before = block->len;
    enum eg_status st = read_files(j, files, count, diags);
    if (st == EG_OK)
        st = build_model(j);
    if (st == EG_OK && eg_diags_broken(diags))
        st = EG_NOMEM;
    if (st == EG_OK && eg_diags_count(diags, EG_DIAG_ERROR) > 0)
        return eg_err_set(err, EG_INVALID, "policy", 0, "the policy has errors");
    if (st == EG_OK)
        st = eg_block_emit(&j->model, block, err);
    if (st == EG_OK)
        st = lint(j, block, before, err);
    if (st == EG_OK)
        hand_out_tests(&j->model);
    return st == EG_OK ? st : eg_err_set(err, st, "policy", 0, "the policy could not be compiled");
}

static void wipe(struct eg_slice s)
{
    if (s.n > 0) /* our own copy: made by eg_model_pem */
        sodium_memzero((void *)(uintptr_t)s.p, s.n);
}

static void wipe_keys(struct eg_model *m)
{
    for (struct eg_model_service *s = m->services; s; s = s->next)
        wipe(s->s.client_key_pem);
    for (unsigned i = 0; i < m->listen_count; i++)
        wipe(m->listen[i].s.key_pem);
    if (m->upstream.from != EG_UPSTREAM_POLICY) /* the caller's */
        return;
    for (unsigned i = 0; i < m->upstream.hop_count[EG_CHAIN_SECURE]; i++)
        wipe(m->upstream.hops[EG_CHAIN_SECURE][i].h.key_pem);
}

enum eg_status eg_policy_compile(const struct eg_policy_file *files, unsigned count,
                                 const struct eg_policy_reader *reader, struct eg_diags *diags,
                                 struct eg_buf *block, struct eg_err *err)
{
    if (count == 0 || count > FILES_MAX)
        return eg_err_set(err, EG_INVALID, "policy", 0,
                          "between 1 and %d policy files can be compiled", FILES_MAX);
    struct job *j = calloc(1, sizeof *j);
    if (!j)
        return eg_err_set(err, EG_NOMEM, "policy", 0, "no memory to compile the policy");
    eg_arena_init(&j->arena, ARENA_MAX);
    enum eg_status st = eg_model_init(&j->model, &j->arena, diags, reader);
    if (st == EG_OK)
        st = run(j, files, count, diags, block, err);
    wipe_keys(&j->model);
    eg_model_done(&j->model);
    eg_arena_done(&j->arena);
    free(j);
    return st;
}
