/* extends.c - reads a file's tree and the trees of all that it extends, depth first.
 *
 * Trust of an untrusted file is found by the texts of all these files, so they are read before it is known: quietly, and only where the file was trusted
 * before. What was hashed is what is compiled: no file is read a second time. Invariants: an untrusted file's words name nothing but files below its own
 * folder; a file is read once, whatever names it; a file that extends itself is an error, as is what is deeper or more than the ceilings. */
#include "policy/extends.h"

#include <stdio.h>
#include <stdlib.h>

#include "policy/check.h"
#include "policy/preset.h"

struct walk {
    struct eg_sources *s;
    const struct eg_policy_reader *reader;
    struct eg_arena *arena;
    struct eg_diags *diags;
    const struct eg_sources
        *known;     /* texts that were hashed: others are not read; NULL: none were */
    unsigned first; /* source of the file itself */
    unsigned stack[EG_EXTENDS_DEPTH + 1];
    unsigned depth;
    size_t bytes;
    bool lost; /* a file that is named could not be had */
};

static enum eg_status visit(struct walk *w, unsigned at);

static bool is_preset(const struct eg_source *s)
{
    return strncmp(s->path, "preset:", 7) == 0;
}

static enum eg_status refuse(struct walk *w, const char *code, struct eg_place at, const char *fix,
                             const char *text)
{
    w->lost = true;
    eg_diag_error(w->diags, code, at, fix, "%s", text);
    return EG_OK;
}

/* ---- one file ---- */

/* The source of that path, which this file has reached already; -1. */
static int reached(const struct walk *w, const char *path)
{
    for (unsigned i = w->first; i < w->s->count; i++)
        if (strcmp(w->s->list[i].path, path) == 0)
            return (int)i;
    return -1;
}

static bool on_stack(const struct walk *w, unsigned source)
{
    for (unsigned i = 0; i < w->depth; i++)
        if (w->stack[i] == source)
            return true;
    return false;
}

/* EG_OK without *ret: reported. */
static enum eg_status new_source(struct walk *w, struct eg_place at, const char *path,
                                 unsigned *ret)
{
    const struct eg_source *root = &w->s->list[w->first];
    *ret = 0;
    if (w->depth > EG_EXTENDS_DEPTH || w->s->count - w->first > EG_EXTENDS_COUNT ||
        w->s->count == EG_SOURCES_MAX) {
        char text[80];
        snprintf(text, sizeof text, "a file extends at most %d others, %d deep", EG_EXTENDS_COUNT,
                 EG_EXTENDS_DEPTH);
        return refuse(w, "too-large", at, NULL, text);
    }
    *ret = w->s->count++;
    w->s->list[*ret] = (struct eg_source){
        .path = path, .root = root->path, .layer = root->layer, .trusted = root->trusted
    };
    return EG_OK;
}

/* What one file may extend, before any of it is read. */
static bool may_name(struct walk *w, const struct eg_source *from, const struct eg_yaml *node,
                     struct eg_slice name, bool named, const struct eg_extends_name *file)
{
    const char *text = NULL, *fix = NULL, *code = "bad-extends";
    if (is_preset(from))
        text = "a preset extends nothing but presets";
    else if (eg_slice_casestarts(name, EG_SLICE("http://")) ||
             eg_slice_casestarts(name, EG_SLICE("https://")) ||
             eg_slice_casestarts(name, EG_SLICE("git://")))
        text = "a policy extends presets and local files, no URL",
        fix = "keep a copy beside the policy, where a review sees it: ./team.yaml";
    else if (!named)
        text = "this is no name of a file", fix = "write preset:NAME or ./FILE";
    else if (!from->trusted && file->leaves)
        code = "untrusted-key", fix = eg_trust_fix,
        text = "an untrusted file may extend only files below its own folder";
    if (text)
        (void)!refuse(w, code, node->at, fix, text);
    return !text;
}

static enum eg_status text_of(struct walk *w, const struct eg_extends_name *file,
                              struct eg_slice *text, struct eg_err *err)
{
    const struct eg_source *root = &w->s->list[w->first];
    /* whatever names it, it does not leave the folder of the first file */
    const char *below = file->path + eg_extends_folder(root->path);
    if (!w->known)
        return w->reader && w->reader->extend
                   ? w->reader->extend(w->reader->ctx, file->path,
                                       root->trusted ? NULL : below, text, err)
                   : eg_err_set(err, EG_NOT_FOUND, NULL, 0, "no files can be read here");
    for (unsigned i = 1; i < w->known->count; i++)
        if (strcmp(w->known->list[i].path, file->path) == 0) {
            *text = w->known->list[i].text;
            return EG_OK;
        }
    return eg_err_set(err, EG_NOT_FOUND, NULL, 0, "it was not there when its trust was found");
}

static enum eg_status unreadable(struct walk *w, const struct eg_yaml *node, enum eg_status status,
                                 const struct eg_err *err)
{
    char why[256];
    const struct eg_err plain = { .status = status };
    if (status == EG_NOMEM)
        return status;
    if (status == EG_PERMISSION && err->sys == 0)
        return refuse(w, "untrusted-key", node->at, eg_trust_fix,
                      "an untrusted file may extend no file that a symbolic link leads to");
    w->lost = true;
    eg_diag_error(w->diags, "unreadable-file", node->at, NULL, "the file can't be read: %s",
                  eg_err_format(err->status != EG_OK ? err : &plain, why, sizeof why));
    return EG_OK;
}

/* Its text is in the source. */
static enum eg_status take_tree(struct walk *w, unsigned at)
{
    struct eg_source *s = &w->s->list[at];
    enum eg_status status = eg_yaml_read(s, w->arena, w->diags, &w->s->roots[at]);
    if (status == EG_INVALID) /* reported */
        w->s->roots[at] = NULL;
    else if (status != EG_OK)
        return status;
    if (w->s->roots[at])
        eg_check_tree(w->s->roots[at], s, w->diags);
    return visit(w, at);
}

static enum eg_status add_file(struct walk *w, const struct eg_source *from,
                               const struct eg_yaml *node, struct eg_slice name)
{
    struct eg_extends_name file;
    struct eg_slice text = EG_SLICE_NONE;
    struct eg_err err = { 0 };
    unsigned at;
    bool named = eg_extends_name(w->arena, from->path, name, &file);
    if (!may_name(w, from, node, name, named, &file))
        return EG_OK;
    int old = reached(w, file.path);
    if (old >= 0)
        return on_stack(w, (unsigned)old)
                   ? refuse(w, "extends-cycle", node->at, "remove it from one of the files",
                            "this file is extended by what it extends")
                   : EG_OK;
    enum eg_status status = text_of(w, &file, &text, &err);
    if (status != EG_OK)
        return unreadable(w, node, status, &err);
    w->bytes += text.n;
    if (w->bytes > EG_EXTENDS_BYTES)
        return refuse(w, "too-large", node->at, NULL,
                      "what this policy extends is larger than 8 MiB in all");
    status = new_source(w, node->at, file.path, &at);
    if (status != EG_OK || at == 0)
        return status;
    w->s->list[at].text = text;
    return take_tree(w, at);
}

/* ---- presets ---- */

static enum eg_status add_preset(struct walk *w, const struct eg_yaml *node, struct eg_slice name,
                                 const struct eg_yaml *with)
{
    const struct eg_preset *preset = eg_preset_find(name);
    const char *near = preset ? NULL : eg_preset_nearest(name);
    char fix[120];
    unsigned at;
    if (!preset) {
        snprintf(fix, sizeof fix, "did you mean preset:%s?", near ? near : "");
        return refuse(w, "unknown-preset", node->at,
                      near ? fix : "`egressctl preset list` shows what there is",
                      "there is no preset of that name");
    }
    if (preset->kind != EG_PRESET_RULES) {
        snprintf(fix, sizeof fix, "write services: {%s: {}}", preset->name);
        return refuse(w, "bad-extends", node->at, fix,
                      "this preset is a service: it is no file of rules to extend");
    }
    if (!with && reached(w, preset->path) >= 0)
        return EG_OK;
    enum eg_status status = new_source(w, node->at, preset->path, &at);
    if (status != EG_OK || at == 0)
        return status;
    struct eg_source *s = &w->s->list[at];
    struct eg_preset_head head;
    status = eg_preset_read(preset, with, node->at, w->arena, w->diags, s, &head, &w->s->roots[at]);
    if (status == EG_INVALID) /* reported */
        w->s->roots[at] = NULL;
    else if (status != EG_OK)
        return status;
    if (w->s->roots[at])
        eg_check_tree(w->s->roots[at], s, w->diags);
    return visit(w, at);
}

/* ---- the walk ---- */

static enum eg_status add_one(struct walk *w, unsigned from, const struct eg_yaml *node)
{
    const struct eg_yaml *name = node->kind == EG_YAML_MAP ? eg_yaml_get(node, "preset") : node;
    const struct eg_yaml *with = node->kind == EG_YAML_MAP ? eg_yaml_get(node, "with") : NULL;
    if (node->bad || !name || name->bad || name->kind != EG_YAML_TEXT || (with && with->bad))
        return EG_OK; /* reported */
    if (node->kind == EG_YAML_MAP)
        return add_preset(w, name, name->text, with);
    if (eg_slice_starts(name->text, EG_SLICE("preset:")))
        return add_preset(w, name, eg_slice_from(name->text, 7), NULL);
    return add_file(w, &w->s->list[from], name, name->text);
}

/* All that a source extends, then the source itself in the order. */
static enum eg_status visit(struct walk *w, unsigned at)
{
    const struct eg_yaml *list = eg_yaml_get(w->s->roots[at], "extends");
    bool many = list && list->kind == EG_YAML_LIST;
    enum eg_status status = EG_OK;
    w->stack[w->depth++] = at;
    for (const struct eg_yaml *node = many ? list->first : list;
         node && status == EG_OK && !list->bad && !eg_diags_full(w->diags);
         node = many ? node->next : NULL)
        status = add_one(w, at, node);
    w->depth--;
    w->s->order[w->s->ordered++] = at;
    return status;
}

/* The file with its text is the next source. */
static enum eg_status walk_file(struct walk *w, const struct eg_policy_file *file)
{
    w->first = w->s->count;
    if (w->s->count == EG_SOURCES_MAX)
        return EG_TOO_BIG;
    w->s->list[w->s->count++] = (struct eg_source){ .path = file->path,
                                                    .root = file->path,
                                                    .text = file->text,
                                                    .layer = file->layer,
                                                    .trusted = file->trusted };
    return take_tree(w, w->first);
}

/* ---- trust ---- */

/* The files among what was read, in the order in which they were met, without the file itself. */
static unsigned list_parts(const struct eg_sources *s, struct eg_policy_file *out)
{
    unsigned n = 0;
    for (unsigned i = 1; i < s->count; i++)
        if (!is_preset(&s->list[i]))
            out[n++] =
                (struct eg_policy_file){ s->list[i].path, s->list[i].text, s->list[i].layer, true };
    return n;
}

/* Reads all that the file would extend if it were trusted, and says nothing of it. *lost: something can't be had. */
static enum eg_status read_quietly(const struct eg_policy_file *file,
                                   const struct eg_policy_reader *reader, struct eg_arena *arena,
                                   struct eg_sources *s, bool *lost, struct eg_err *err)
{
    struct eg_diags *scratch = NULL;
    struct eg_policy_file trusted = *file;
    enum eg_status status = eg_diags_new(&scratch);
    if (status != EG_OK)
        return status;
    trusted.trusted = true;
    struct walk w = { .s = s, .reader = reader, .arena = arena, .diags = scratch };
    status = walk_file(&w, &trusted);
    *lost = w.lost || eg_diags_broken(scratch) || eg_diags_full(scratch);
    for (unsigned i = 0; *lost && i < eg_diags_total(scratch) && err && err->status == EG_OK; i++) {
        const struct eg_diag *d = eg_diags_at(scratch, i);
        (void)!eg_err_set(err, EG_INVALID, NULL, 0, "%s:%u: %s", d->file, d->line, d->text);
    }
    eg_diags_free(scratch);
    return status;
}

/* With *quiet: what was hashed. */
static enum eg_status find_trust(struct eg_policy_file *file, const struct eg_policy_reader *reader,
                                 struct eg_arena *arena, struct eg_sources **quiet)
{
    struct eg_policy_file parts[EG_EXTENDS_COUNT + 1];
    bool lost;
    if (file->trusted || !reader || !reader->trust)
        return EG_OK;
    /* an escape could hide the key from this look: then nothing that it names is known, and all of it is missing */
    if (memmem(file->text.p ? file->text.p : "", file->text.n, "extends", 7) == NULL) {
        file->trusted = reader->trust(reader->ctx, file, NULL, 0);
        return EG_OK;
    }
    if (!reader->recorded(reader->ctx, file))
        return EG_OK;
    *quiet = calloc(1, sizeof **quiet);
    if (!*quiet)
        return EG_NOMEM;
    enum eg_status status = read_quietly(file, reader, arena, *quiet, &lost, NULL);
    if (status == EG_OK && !lost)
        file->trusted = reader->trust(reader->ctx, file, parts, list_parts(*quiet, parts));
    return status;
}

enum eg_status eg_sources_add(struct eg_sources *s, const struct eg_policy_file *file,
                              const struct eg_policy_reader *reader, struct eg_arena *arena,
                              struct eg_diags *diags)
{
    struct eg_sources *quiet = NULL;
    struct eg_policy_file own = *file; /* a callback may write to the caller's */
    bool given = file->trusted;
    enum eg_status status = find_trust(&own, reader, arena, &quiet);
    struct walk w = { .s = s, .reader = reader, .arena = arena, .diags = diags };
    static const struct eg_sources none;
    if (own.trusted && !given)
        w.known = quiet ? quiet : &none;
    if (status == EG_OK)
        status = walk_file(&w, &own);
    if (status == EG_OK && reader && reader->trust && !own.trusted &&
        reader->recorded(reader->ctx, &own))
        eg_diag_warning(diags, "trust-changed", eg_place_at(&s->list[w.first], 0, 0), eg_trust_fix,
                        "this file was trusted; it, or what it extends, has changed since and is "
                        "trusted no more");
    free(quiet);
    return status;
}

enum eg_status eg_policy_parts(const struct eg_policy_file *file,
                               const struct eg_policy_reader *reader, eg_policy_take_parts *take,
                               void *ctx, struct eg_err *err)
{
    struct eg_policy_file parts[EG_EXTENDS_COUNT + 1];
    struct eg_arena arena;
    struct eg_sources *s = calloc(1, sizeof *s);
    bool lost = false;
    if (!s)
        return EG_NOMEM;
    eg_arena_init(&arena, 512 << 20);
    enum eg_status status = read_quietly(file, reader, &arena, s, &lost, err);
    if (status == EG_OK && lost)
        status = eg_err_set(err, EG_INVALID, NULL, 0, "what the file extends can't be read");
    if (status == EG_OK)
        status = take(ctx, parts, list_parts(s, parts), err);
    eg_arena_done(&arena);
    free(s);
    return status;
}
