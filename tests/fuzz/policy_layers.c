/* policy_layers.c - policies in several files and layers. The input is up to eight texts with a byte 0xFF between, behind a byte that chooses: the first is
 * the org layer's, the second a repository's, and each file that is extended is one of the others, by the length of its name.
 *
 * Beside crashes it asserts: an untrusted file asks for nothing outside of its folder; nothing outside is asked for before a file was trusted once; the
 * texts that are compiled are those whose trust was found; the same files compile to the same meaning. */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXTS = 8 };

struct world {
    struct eg_slice texts[TEXTS];
    unsigned count;
    bool recorded, trusts;
    unsigned asked, told; /* times that the trust was asked for; parts at the last one */
    bool given;           /* the repository's file is trusted from the start */
};

static bool has_up(const char *path)
{
    for (const char *p = path; *p; p += strcspn(p, "/"), p += *p == '/')
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
            return true;
    return false;
}

static enum eg_status extend(void *ctx, const char *path, const char *below, struct eg_slice *text,
                             struct eg_err *err)
{
    struct world *w = ctx;
    if (below && (below < path || below > path + strlen(path) || *below == '/' || has_up(below)))
        abort();
    if (strlen(path) > 3000 || strstr(path, "//"))
        abort();
    size_t at = 2 + strlen(path) % 6;
    if (at >= w->count)
        return eg_err_set(err, EG_NOT_FOUND, "file", 0, "none");
    *text = w->texts[at];
    return EG_OK;
}

static bool recorded(void *ctx, const struct eg_policy_file *file)
{
    const struct world *w = ctx;
    if (file->trusted)
        abort();
    return w->recorded;
}

static bool trust(void *ctx, const struct eg_policy_file *file, const struct eg_policy_file *parts,
                  unsigned count)
{
    struct world *w = ctx;
    if (file->layer != EG_LAYER_REPO || (count > 0 && !w->recorded))
        abort();
    for (unsigned i = 0; i < count; i++)
        if (!parts[i].path || strncmp(parts[i].path, "preset:", 7) == 0)
            abort();
    w->asked++;
    w->told = count;
    return w->trusts;
}

static void split(struct world *w, const uint8_t *data, size_t size)
{
    struct eg_slice rest = eg_slice((const char *)data, size);
    while (w->count < TEXTS) {
        long end = eg_slice_index(rest, '\xff');
        w->texts[w->count++] = eg_slice(rest.p, end < 0 ? rest.n : (size_t)end);
        if (end < 0)
            return;
        rest = eg_slice_from(rest, (size_t)end + 1);
    }
}

/* The id where it compiles. */
static bool compile(struct world *w, uint8_t choice, unsigned char id[32])
{
    const struct eg_policy_reader reader = { .ctx = w,
                                             .extend = choice & 32 ? NULL : extend,
                                             .recorded = recorded,
                                             .trust = choice & 1 ? NULL : trust,
                                             .observe = choice & 16 };
    const struct eg_policy_file files[] = {
        { "/etc/egress/org.yaml", w->texts[0], EG_LAYER_ORG, true },
        { choice & 8 ? "dir/egress.yaml" : "egress.yaml",
          w->count > 1 ? w->texts[1] : EG_SLICE_NONE, EG_LAYER_REPO, w->given },
    };
    struct eg_diags *diags = NULL;
    struct eg_policy *p = NULL;
    struct eg_buf block, text;
    eg_buf_init(&block, 16 << 20);
    eg_buf_init(&text, 16 << 20);
    if (eg_diags_new(&diags) != EG_OK)
        abort();
    enum eg_status st =
        eg_policy_compile(files, w->count > 1 ? 2 : 1, &reader, diags, &block, NULL);
    if ((st != EG_OK && st != EG_INVALID) ||
        (st == EG_OK) != (eg_diags_count(diags, EG_DIAG_ERROR) == 0) ||
        eg_diags_render(diags, false, &text) != EG_OK)
        abort();
    if (st == EG_OK) {
        if (eg_policy_open(block.data, block.len, &p, NULL) != EG_OK)
            abort();
        memcpy(id, eg_policy_id(p), 32);
        eg_policy_close(p);
    }
    eg_diags_free(diags);
    eg_buf_done(&block);
    eg_buf_done(&text);
    return st == EG_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char id[32], again[32];
    if (size == 0 || sodium_init() < 0)
        return 0;
    struct world w = { .recorded = data[0] & 2, .trusts = data[0] & 4, .given = data[0] & 64 };
    split(&w, data + 1, size - 1);
    bool fine = compile(&w, data[0], id);
    if (compile(&w, data[0], again) != fine || (fine && memcmp(id, again, sizeof id) != 0))
        abort();
    return 0;
}
