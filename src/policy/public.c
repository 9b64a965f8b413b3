/* public.c - egress/policy.h: files to a policy, and the list of problems. What it may be asked is in public_ask.c.
 *
 * It adds nothing to compile.h but plain types: the compiled policy and its verdicts are those of egressd. */
#include "policy/public.h"

#include <sodium.h>
#include <stdlib.h>

_Static_assert((int)EGRESS_SCHEME_HTTPS == (int)EG_SCHEME_HTTPS &&
                   (int)EGRESS_SCHEME_HTTP == (int)EG_SCHEME_HTTP &&
                   (int)EGRESS_SCHEME_TCP == (int)EG_SCHEME_TCP,
               "schemes are passed on as they are");
_Static_assert((int)EGRESS_ERROR == (int)EG_DIAG_ERROR &&
                   (int)EGRESS_WARNING == (int)EG_DIAG_WARNING,
               "severities are passed on as they are");

enum { FILES_MAX = 64, OWN_MAX = 1024, BLOCK_MAX = 256 << 20, PART_MAX = 8 << 20 };

/* ---- reading ---- */

enum eg_status egress_text_append(struct egress_text *into, const void *octets, size_t n)
{
    return eg_buf_append((struct eg_buf *)(void *)into, octets, n);
}

/* The texts of extended files, which live until all is compiled. */
struct part {
    struct part *next;
    struct eg_buf text;
};
struct reading {
    const struct egress_compile_options *options;
    struct part *parts;
};

static enum eg_status told(enum eg_status st, struct eg_err *err)
{
    return st == EG_OK ? st : eg_err_set(err, st, "policy", 0, "%s", egress_status_sentence(st));
}

static enum eg_status read_file(void *ctx, const char *path, struct eg_buf *out, struct eg_err *err)
{
    const struct reading *r = ctx;
    return told(r->options->read(r->options->context, path, (struct egress_text *)(void *)out),
                err);
}

static enum eg_status read_part(void *ctx, const char *path, const char *below,
                                struct eg_slice *text, struct eg_err *err)
{
    struct reading *r = ctx;
    struct part *part = calloc(1, sizeof *part);
    if (!part)
        return told(EG_NOMEM, err);
    eg_buf_init(&part->text, PART_MAX);
    part->next = r->parts;
    r->parts = part;
    enum eg_status st = r->options->extend(r->options->context, path, below,
                                           (struct egress_text *)(void *)&part->text);
    *text = eg_buf_slice(&part->text);
    return told(st, err);
}

static void drop_parts(struct reading *r)
{
    for (struct part *part = r->parts, *next; part; part = next) {
        next = part->next;
        eg_buf_done(&part->text);
        free(part);
    }
}

/* own has room for OWN_MAX. */
static bool take_options(const struct egress_compile_options *options, struct eg_addr *own,
                         struct reading *reading, struct eg_policy_reader *ret)
{
    if (options->own_count > OWN_MAX)
        return false;
    for (size_t i = 0; i < options->own_count; i++) {
        const struct egress_address *a = &options->own[i];
        if (a->family != EGRESS_IPV4 && a->family != EGRESS_IPV6)
            return false;
        own[i].family = a->family;
        memcpy(own[i].b, a->octets, a->family == EGRESS_IPV4 ? 4 : 16);
    }
    reading->options = options;
    *ret = (struct eg_policy_reader){ .read = options->read ? read_file : NULL,
                                      .extend = options->extend ? read_part : NULL,
                                      .ctx = reading,
                                      .own_addresses = own,
                                      .own_count = (unsigned)options->own_count,
                                      .observe = options->observe };
    return true;
}

static bool take_files(const struct egress_policy_file *files, size_t count,
                       struct eg_policy_file *ret)
{
    static const enum eg_layer layers[] = { [EGRESS_LAYER_ORG] = EG_LAYER_ORG,
                                            [EGRESS_LAYER_USER] = EG_LAYER_USER,
                                            [EGRESS_LAYER_REPO] = EG_LAYER_REPO,
                                            [EGRESS_LAYER_COMMAND] = EG_LAYER_COMMAND };
    if (count == 0 || count > FILES_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        if ((size_t)files[i].layer >= sizeof layers / sizeof *layers || !files[i].name)
            return false;
        ret[i] = (struct eg_policy_file){ .path = files[i].name,
                                          .text = eg_slice(files[i].text, files[i].length),
                                          .layer = layers[files[i].layer],
                                          .trusted = files[i].trusted };
    }
    return true;
}

/* ---- compiling ---- */

void egress_policy_free(struct egress_policy *policy)
{
    if (!policy)
        return;
    eg_policy_close(policy->view);
    eg_buf_wipe(&policy->block); /* it may hold a client key */
    eg_buf_done(&policy->block);
    free(policy);
}

static enum eg_status compile(const struct eg_policy_file *files, size_t count,
                              const struct eg_policy_reader *reader, struct eg_diags *diags,
                              struct egress_policy **ret)
{
    struct egress_policy *policy = calloc(1, sizeof *policy);
    if (!policy)
        return EG_NOMEM;
    eg_buf_init(&policy->block, BLOCK_MAX);
    enum eg_status st =
        eg_policy_compile(files, (unsigned)count, reader, diags, &policy->block, NULL);
    if (st == EG_OK)
        st = eg_policy_open(policy->block.data, policy->block.len, &policy->view, NULL);
    if (st == EG_OK)
        *ret = policy;
    else
        egress_policy_free(policy);
    return st;
}

enum eg_status egress_policy_compile(const struct egress_policy_file *files, size_t count,
                                     const struct egress_compile_options *options,
                                     struct egress_policy **policy,
                                     struct egress_problems **problems)
{
    static const struct egress_compile_options none;
    struct eg_policy_file list[FILES_MAX];
    struct eg_policy_reader reader;
    struct reading reading = { .parts = NULL };
    struct eg_diags *diags = NULL;
    *policy = NULL;
    if (problems)
        *problems = NULL;
    struct eg_addr *own = calloc(OWN_MAX, sizeof *own);
    enum eg_status st = own && sodium_init() >= 0 ? eg_diags_new(&diags) : EG_NOMEM;
    if (st == EG_OK && (!take_files(files, count, list) ||
                        !take_options(options ? options : &none, own, &reading, &reader)))
        st = EG_INVALID;
    if (st == EG_OK)
        st = compile(list, count, &reader, diags, policy);
    drop_parts(&reading);
    free(own);
    if (problems && (st == EG_OK || st == EG_INVALID))
        *problems = (struct egress_problems *)(void *)diags;
    else
        eg_diags_free(diags);
    return st;
}

/* ---- problems ---- */

static const struct eg_diags *diags_of(const struct egress_problems *problems)
{
    return (const struct eg_diags *)(const void *)problems;
}

size_t egress_problems_count(const struct egress_problems *problems)
{
    return problems ? eg_diags_total(diags_of(problems)) : 0;
}

void egress_problems_get(const struct egress_problems *problems, size_t at,
                         struct egress_problem *ret)
{
    const struct eg_diag *d = eg_diags_at(diags_of(problems), (unsigned)at);
    *ret = (struct egress_problem){ .severity = (enum egress_severity)d->severity,
                                    .code = d->code,
                                    .file = d->file ? d->file : "",
                                    .line = d->line,
                                    .column = d->column,
                                    .width = d->width,
                                    .text = d->text,
                                    .fix = d->fix ? d->fix : "" };
}

char *egress_problems_show(const struct egress_problems *problems, bool color)
{
    struct eg_buf out;
    char *text = NULL;
    eg_buf_init(&out, 16 << 20);
    if (!problems || eg_diags_render(diags_of(problems), color, &out) == EG_OK)
        text = eg_slice_dup(eg_buf_slice(&out));
    eg_buf_done(&out);
    return text;
}

void egress_problems_free(struct egress_problems *problems)
{
    eg_diags_free((struct eg_diags *)(void *)problems);
}

/* ---- what it is ---- */

const unsigned char *egress_policy_id(const struct egress_policy *policy)
{
    return eg_policy_id(policy->view);
}

const char *egress_policy_name(const struct egress_policy *policy)
{
    return eg_public_text(eg_policy_name(policy->view));
}

size_t egress_policy_routes(const struct egress_policy *policy)
{
    struct eg_service s;
    size_t count = 0;
    for (unsigned i = 0; i < eg_policy_service_count(policy->view); i++) {
        eg_policy_service(policy->view, i, &s);
        count += !s.internal;
    }
    return count;
}

const char *egress_policy_route(const struct egress_policy *policy, size_t at)
{
    struct eg_service s;
    for (unsigned i = 0; i < eg_policy_service_count(policy->view); i++) {
        eg_policy_service(policy->view, i, &s);
        if (!s.internal && at-- == 0)
            return eg_public_text(s.route);
    }
    return "";
}
