/* load.c - reads policy files anew, or takes texts, and compiles them with what this machine is.
 *
 * It decides nothing: a file is trusted because the caller says so, or because its very bytes were trusted. What was read stays with the result, so
 * that a command shows the text that was compiled. */
#include "cmd/load.h"

#include <ifaddrs.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/files.h"
#include "cmd/parts.h"
#include "cmd/run.h"
#include "cmd/state.h"
#include "cmd/trust.h"

enum { OWN_MAX = 256, POLICIES_MAX = 8 };

struct eg_load_private {
    struct eg_loaded loaded;
    const struct eg_load_spec *spec; /* for the call */
    struct eg_run_places places;
    char *revision; /* "REV:" */
    struct eg_policy_source source;
    struct eg_policy_file files[POLICIES_MAX];
    struct eg_buf texts[POLICIES_MAX];
    struct eg_parts parts; /* what they extend */
    struct eg_addr own[OWN_MAX];
};

static unsigned own_addresses(struct eg_addr *out)
{
    struct ifaddrs *list = NULL;
    unsigned n = 0;
    if (getifaddrs(&list) < 0)
        return 0;
    for (const struct ifaddrs *i = list; i && n < OWN_MAX; i = i->ifa_next) {
        struct eg_sockaddr at;
        socklen_t size = i->ifa_addr && i->ifa_addr->sa_family == AF_INET6
                             ? sizeof(struct sockaddr_in6)
                             : sizeof(struct sockaddr_in);
        if (i->ifa_addr && eg_sockaddr_from(i->ifa_addr, size, &at))
            out[n++] = at.addr;
    }
    freeifaddrs(list);
    return n;
}

bool eg_load_is_revision(const char *text)
{
    const char *colon = strchr(text, ':');
    bool path = *text == '/' || strncmp(text, "./", 2) == 0 || strncmp(text, "../", 3) == 0;
    return !path && colon && colon > text && colon[1];
}

/* Of the revision too, where the path is below it. */
static enum eg_status read_path(const struct eg_load_private *l, const char *path,
                                struct eg_buf *out, struct eg_err *err)
{
    return l->revision && strncmp(path, l->revision, strlen(l->revision)) == 0
               ? eg_load_git(path, out, err)
               : eg_file_read(path, out, NULL, err);
}

static enum eg_status read_named(void *ctx, const char *path, struct eg_buf *out,
                                 struct eg_err *err)
{
    return read_path(ctx, path, out, err);
}

/* ---- which files ---- */

/* The sources, in *list. */
static enum eg_status find(struct eg_load_private *l, const struct eg_policy_source **list,
                           unsigned *count, struct eg_err *err)
{
    const struct eg_load_spec *s = l->spec;
    *list = s->sources;
    *count = s->source_count;
    if (s->sources)
        return EG_OK;
    if (s->alone || s->revision) {
        l->source = (struct eg_policy_source){ .path = s->file ? s->file : "egress.yaml",
                                               .layer = EG_LAYER_REPO,
                                               .trusted = s->trust };
        *list = &l->source;
        *count = 1;
        return EG_OK;
    }
    enum eg_status status = eg_run_policies_find(&l->places, s->file, s->trust, err);
    *list = l->places.policies;
    *count = l->places.policy_count;
    return status;
}

static enum eg_status read_sources(struct eg_load_private *l, struct eg_err *err)
{
    const struct eg_policy_source *list;
    unsigned count;
    enum eg_status status = find(l, &list, &count, err);
    if (status != EG_OK)
        return status;
    if (count == 0 || count > POLICIES_MAX)
        return eg_err_set(err, EG_INVALID, "policy", 0, "1 to %d policy files", POLICIES_MAX);
    for (unsigned i = 0; i < count; i++) {
        const struct eg_policy_source *from = &list[i];
        status = read_path(l, from->path, &l->texts[i], err);
        if (status != EG_OK)
            return status == EG_NOMEM ? status : EG_INVALID;
        l->files[i] = (struct eg_policy_file){ .path = from->path,
                                               .text = eg_buf_slice(&l->texts[i]),
                                               .layer = from->layer,
                                               .trusted = from->trusted };
        l->loaded.count++;
    }
    return EG_OK;
}

static enum eg_status take_texts(struct eg_load_private *l, struct eg_err *err)
{
    const struct eg_load_spec *s = l->spec;
    if (s->text_count == 0 || s->text_count > POLICIES_MAX)
        return eg_err_set(err, EG_INVALID, "policy", 0, "1 to %d policy files", POLICIES_MAX);
    for (unsigned i = 0; i < s->text_count; i++) {
        enum eg_status status = eg_buf_put(&l->texts[i], s->texts[i].text);
        if (status != EG_OK)
            return status;
        l->files[i] = s->texts[i];
        l->files[i].text = eg_buf_slice(&l->texts[i]);
        l->loaded.count++;
    }
    return EG_OK;
}

static enum eg_status read_part(void *ctx, const char *path, const char *below,
                                struct eg_slice *text, struct eg_err *err)
{
    struct eg_load_private *l = ctx;
    return eg_parts_read(&l->parts, path, below, text, err);
}

/* ---- trust, by the recorded hash, over the very texts that are used ---- */

static bool recorded(void *ctx, const struct eg_policy_file *file)
{
    const struct eg_load_private *l = ctx;
    return file->layer == EG_LAYER_REPO && !l->spec->revision && eg_trust_recorded(file->path);
}

static bool trust(void *ctx, const struct eg_policy_file *file, const struct eg_policy_file *parts,
                  unsigned count)
{
    struct eg_load_private *l = ctx;
    struct eg_err why = { 0 };
    bool yes = false;
    if (file->layer != EG_LAYER_REPO || l->spec->revision)
        return false;
    if (eg_trust_check(file->path, file->text, parts, count, &yes, &why) != EG_OK)
        yes = false;
    if (why.status != EG_OK && why.status != EG_NOT_FOUND)
        eg_log(EG_LOG_WARN, "%s", why.text);
    for (unsigned i = 0; yes && i < l->loaded.count; i++)
        if (l->files[i].text.p == file->text.p)
            l->files[i].trusted = true;
    return yes;
}

/* ---- compiled ---- */

static enum eg_status compile(struct eg_load_private *l, struct eg_err *err)
{
    struct eg_loaded *ret = &l->loaded;
    struct eg_err fault = { 0 };
    const struct eg_policy_reader reader = { .read = read_named,
                                             .ctx = l,
                                             .own_addresses = l->own,
                                             .own_count =
                                                 l->spec->portable ? 0 : own_addresses(l->own),
                                             .extend = read_part,
                                             .recorded = recorded,
                                             .trust = trust,
                                             .upstream = l->spec->upstream,
                                             .observe = l->spec->observe,
                                             .allow_remote = l->spec->allow_remote,
                                             .revision = l->revision,
                                             .test = l->spec->test,
                                             .test_ctx = l->spec->test_ctx };
    enum eg_status status =
        eg_policy_compile(l->files, ret->count, &reader, ret->diags, &ret->block, &fault);
    if (status == EG_INVALID && eg_diags_count(ret->diags, EG_DIAG_ERROR) > 0)
        return EG_OK;
    if (status == EG_OK)
        status = eg_policy_open(ret->block.data, ret->block.len, &ret->policy, &fault);
    if (status != EG_OK && err)
        *err = fault;
    return status;
}

enum eg_status eg_load(const struct eg_load_spec *spec, struct eg_loaded **ret, struct eg_err *err)
{
    struct eg_load_private *l = calloc(1, sizeof *l);
    if (!l)
        return EG_NOMEM;
    l->spec = spec;
    l->loaded.private = l;
    l->loaded.files = l->files;
    eg_buf_init(&l->loaded.block, EG_SUP_BLOCK_MAX);
    for (unsigned i = 0; i < POLICIES_MAX; i++)
        eg_buf_init(&l->texts[i], EG_FILE_POLICY_MAX);
    if (spec->revision && !(l->revision = strndup(spec->file, strcspn(spec->file, ":") + 1)))
        goto fail;
    l->parts.revision = l->revision;
    enum eg_status status = eg_diags_new(&l->loaded.diags);
    if (status == EG_OK)
        status = spec->texts ? take_texts(l, err) : read_sources(l, err);
    if (status == EG_OK)
        status = compile(l, err);
    l->loaded.parts = l->parts.list;
    l->loaded.part_count = l->parts.count;
    l->spec = NULL;
    if (status == EG_OK)
        *ret = &l->loaded;
    else
        eg_loaded_free(&l->loaded);
    return status;
fail:
    eg_loaded_free(&l->loaded);
    return EG_NOMEM;
}

void eg_loaded_free(struct eg_loaded *loaded)
{
    if (!loaded)
        return;
    struct eg_load_private *l = loaded->private;
    eg_policy_close(loaded->policy);
    eg_buf_done(&loaded->block);
    eg_diags_free(loaded->diags);
    for (unsigned i = 0; i < POLICIES_MAX; i++)
        eg_buf_done(&l->texts[i]);
    eg_parts_done(&l->parts);
    free(l->revision);
    free(l);
}

int eg_loaded_exit(const struct eg_loaded *l)
{
    static const char *const refused[] = { "untrusted-key", "final-key", "org-only" };
    unsigned others = 0;
    if (l->policy)
        return EG_EXIT_OK;
    for (unsigned i = 0; i < eg_diags_total(l->diags); i++) {
        const struct eg_diag *one = eg_diags_at(l->diags, i);
        bool known = false;
        for (size_t k = 0; k < sizeof refused / sizeof *refused; k++)
            known = known || strcmp(one->code, refused[k]) == 0;
        others += one->severity == EG_DIAG_ERROR && !known;
    }
    return others == 0 ? EG_EXIT_REFUSED : EG_EXIT_POLICY;
}
