/* model_presets.c - services and credentials that a preset completes: one tree of what the file says and, below it, what the preset says.
 *
 * A trusted file wins key by key; an untrusted one adds refusals and lowers limits, and has no say in where a credential goes. Every
 * node keeps the place where it was written, so that a message names "preset:openai:4" or the user's line. */
#include "policy/model.h"

#include <stdio.h>

#include "base/table.h"
#include "policy/check.h"

/* ---- trees ---- */

static struct eg_yaml *copy_of(struct eg_model *m, const struct eg_yaml *node)
{
    struct eg_yaml *copy = eg_model_alloc(m, sizeof *copy);
    if (copy) {
        *copy = *node;
        copy->next = NULL;
    }
    return copy;
}

static struct eg_yaml *empty_copy(struct eg_model *m, const struct eg_yaml *node)
{
    struct eg_yaml *copy = copy_of(m, node);
    if (copy) {
        copy->first = copy->last = NULL;
        copy->count = 0;
    }
    return copy;
}

static void append(struct eg_yaml *to, struct eg_yaml *child)
{
    if (!child)
        return;
    *(to->last ? &to->last->next : &to->first) = child;
    to->last = child;
    to->count++;
}

static void append_elements(struct eg_model *m, struct eg_yaml *to, const struct eg_yaml *from)
{
    if (from->kind == EG_YAML_TEXT)
        append(to, copy_of(m, from));
    for (const struct eg_yaml *node = from->first; node; node = node->next)
        append(to, copy_of(m, node));
}

/* Both lists, of which either may be one text. */
static struct eg_yaml *united(struct eg_model *m, const struct eg_yaml *over,
                              const struct eg_yaml *under)
{
    struct eg_yaml *list = empty_copy(m, over);
    if (!list)
        return NULL;
    list->kind = EG_YAML_LIST;
    append_elements(m, list, over);
    append_elements(m, list, under);
    return list;
}

static struct eg_yaml *merged(struct eg_model *m, const struct eg_yaml *over,
                              const struct eg_yaml *under, bool trusted)
{
    struct eg_yaml *map = empty_copy(m, over);
    for (const struct eg_yaml *a = map ? over->first : NULL; a; a = a->next) {
        const struct eg_yaml *b = NULL;
        for (const struct eg_yaml *n = under->first; n && !b; n = n->next)
            if (eg_slice_eq(n->name, a->name))
                b = n;
        if (!b || a->bad || b->bad)
            append(map, copy_of(m, a));
        else if (eg_slice_eq(a->name, EG_SLICE("deny")))
            append(map, united(m, a, b));
        else if (a->kind == EG_YAML_MAP && b->kind == EG_YAML_MAP)
            append(map, merged(m, a, b, trusted));
        else /* what an untrusted file may say twice is a number: the lower one counts */
            append(map, copy_of(m, trusted || a->number <= b->number ? a : b));
    }
    for (const struct eg_yaml *b = map ? under->first : NULL; b; b = b->next) {
        const struct eg_yaml *a = over->first;
        while (a && !eg_slice_eq(a->name, b->name))
            a = a->next;
        if (!a)
            append(map, copy_of(m, b));
    }
    return map;
}

/* ---- services ---- */

static const struct eg_preset *unknown(struct eg_model *m, const struct eg_yaml *service,
                                       const struct eg_yaml *by)
{
    char fix[160];
    struct eg_slice name = by ? by->text : service->name;
    const char *near = eg_preset_nearest(name);
    if (near)
        snprintf(fix, sizeof fix, by ? "did you mean %s?" : "add `upstream: ...`, or `preset: %s`",
                 near);
    else
        snprintf(fix, sizeof fix, "%s",
                 by ? "`egressctl preset list` shows all" : "add `upstream: ...`");
    if (by)
        eg_diag_error(m->diags, "unknown-preset", by->at, fix, "there is no preset %s",
                      eg_quote(name).text);
    else
        eg_diag_error(m->diags, "missing-key", service->name_at, fix,
                      "the key upstream is missing, and there is no preset of this name");
    return NULL;
}

/* The preset that a service asks for; NULL: reported. */
static const struct eg_preset *find(struct eg_model *m, const struct eg_yaml *service,
                                    const struct eg_yaml *by)
{
    const struct eg_preset *p = eg_preset_find(by ? by->text : service->name);
    char fix[160];
    if (!p)
        return unknown(m, service, by);
    if (p->kind == EG_PRESET_SERVICE)
        return p;
    snprintf(fix, sizeof fix, "write extends: [preset:%s]", p->name);
    eg_diag_error(m->diags, "unknown-preset", by ? by->at : service->name_at, fix,
                  "the preset %s is a set of rules, not a service", p->name);
    return NULL;
}

static bool has_wildcard(const struct eg_yaml *credential)
{
    const struct eg_yaml *hosts = eg_model_child(credential, "hosts");
    for (const struct eg_yaml *n = hosts ? hosts->first : NULL; n; n = n->next)
        if (eg_slice_index(n->text, '*') >= 0)
            return true;
    return hosts && eg_slice_index(hosts->text, '*') >= 0;
}

/* policy.md, Layers and trust: a preset's credential only where its hosts are fixed. False: reported. */
static bool may_use(struct eg_model *m, const struct eg_source *source,
                    const struct eg_yaml *service, const struct eg_model_preset *from,
                    const struct eg_preset_head *head)
{
    const struct eg_yaml *upstream = eg_yaml_get(service, "upstream");
    const struct eg_yaml *by = eg_yaml_get(service, "preset");
    if (source->trusted)
        return true;
    if (upstream) {
        eg_diag_error(m->diags, "untrusted-key", upstream->name_at, eg_trust_fix,
                      "an untrusted file may not choose where the preset %s sends its credential",
                      from->preset->name);
        return false;
    }
    if (head->count == 0 && !has_wildcard(from->credential))
        return true;
    eg_diag_error(m->diags, "untrusted-key", by ? by->at : service->name_at, eg_trust_fix,
                  "an untrusted file may not use the preset %s: its hosts are not fixed",
                  from->preset->name);
    return false;
}

/* A preset whose clients can't be sent to a route has one only where the file gives it. False: reported. */
static bool has_route(struct eg_model *m, const struct eg_yaml *service,
                      const struct eg_preset *preset, const struct eg_preset_head *head)
{
    char fix[200];
    if (!head->intercept || eg_yaml_get(service, "route"))
        return true;
    snprintf(fix, sizeof fix,
             "add `route: %s`, and give http://127.0.0.1:PORT/%s to the client as its base URL",
             preset->name, preset->name);
    eg_diag_error(m->diags, "not-available", service->name_at, fix,
                  "the preset %s needs interception, which is not available in this version: its "
                  "clients read no base URL from a variable",
                  preset->name);
    return false;
}

/* The credential of the preset, under the service's name. */
static void take_credential(struct eg_model *m, const struct eg_yaml *root,
                            const struct eg_yaml *service, struct eg_model_preset *from)
{
    const struct eg_yaml *list = eg_model_child(root, "credentials");
    struct eg_yaml *c = list && list->first ? copy_of(m, list->first) : NULL;
    if (!c)
        return;
    c->name = service->name;
    from->credential = c;
}

static const struct eg_yaml *complete(struct eg_model *m, const struct eg_source *source,
                                      const struct eg_yaml *service, const struct eg_yaml *root,
                                      struct eg_model_preset *from)
{
    const struct eg_yaml *under =
        eg_model_child(eg_model_child(root, "services"), from->preset->name);
    struct eg_yaml *all = under ? merged(m, service, under, source->trusted) : NULL;
    struct eg_yaml *credential = all ? eg_yaml_get(all, "credential") : NULL;
    struct eg_yaml *env = all ? eg_yaml_get(all, "env") : NULL;
    if (eg_yaml_get(service, "credential")) {
        from->credential = NULL; /* another one is named: it is declared, or an error */
    } else if (credential) {
        credential->text = service->name;
        credential->at = service->name_at; /* what is wrong with it is for this file to mend */
    }
    if (env && !eg_yaml_get(service, "env"))
        env->name_at = service->name_at;
    return all;
}

const struct eg_yaml *eg_model_with_preset(struct eg_model *m, const struct eg_source *source,
                                           const struct eg_yaml *service,
                                           struct eg_model_preset *from)
{
    const struct eg_yaml *by = eg_yaml_get(service, "preset");
    const struct eg_yaml *with = eg_yaml_get(service, "with");
    struct eg_preset_head head;
    struct eg_yaml *root;
    if (!by && eg_yaml_get(service, "upstream")) {
        if (with && !with->bad)
            eg_diag_error(m->diags, "bad-value", with->name_at, "name it with preset:",
                          "with: gives parameters to a preset, and this service has none");
        return service;
    }
    if ((by && by->bad) || !(from->preset = find(m, service, by)))
        return NULL;
    struct eg_source *made = eg_model_alloc(m, sizeof *made);
    if (!made)
        return NULL;
    *made = (struct eg_source){ .layer = EG_LAYER_PRESET, .trusted = true };
    enum eg_status st = eg_preset_read(from->preset, with, by ? by->at : service->name_at, m->arena,
                                       m->diags, made, &head, &root);
    if (st != EG_OK) {
        m->status = st == EG_INVALID ? m->status : st;
        return NULL;
    }
    eg_check_tree(root, made, m->diags);
    from->source = made;
    take_credential(m, root, service, from);
    if (!may_use(m, source, service, from, &head) || !has_route(m, service, from->preset, &head))
        return NULL;
    return complete(m, source, service, root, from);
}

/* ---- credentials ---- */

struct eg_model_pending {
    struct eg_model_pending *next;
    const struct eg_source *source;
    const struct eg_yaml *node;
};

void eg_model_pend(struct eg_model *m, const struct eg_source *source, const struct eg_yaml *node)
{
    struct eg_model_pending *p = eg_model_alloc(m, sizeof *p);
    if (!p)
        return;
    *p = (struct eg_model_pending){ m->pending, source, node };
    m->pending = p;
}

const struct eg_yaml *eg_model_unpend(struct eg_model *m, struct eg_slice name,
                                      const struct eg_source **source)
{
    const struct eg_yaml *found = NULL;
    struct eg_model_pending **at = &m->pending;
    while (*at) {
        if (!eg_slice_eq((*at)->node->name, name)) {
            at = &(*at)->next;
            continue;
        }
        if (!found) { /* the last one added is the most specific */
            found = (*at)->node;
            *source = (*at)->source;
        }
        *at = (*at)->next;
    }
    return found;
}

/* What the user says of a credential, and the hosts of the preset; its source too where the user gives none. */
static const struct eg_yaml *credential_of(struct eg_model *m, const struct eg_yaml *user,
                                           const struct eg_yaml *preset)
{
    static const char *const kinds[] = { "from", "oauth2", "aws_sigv4" };
    struct eg_yaml *all = empty_copy(m, user);
    bool kind = false;
    for (int i = 0; i < 3; i++)
        kind |= eg_yaml_get(user, kinds[i]) != NULL;
    if (!kind)
        return merged(m, user, preset, true);
    for (const struct eg_yaml *n = all ? user->first : NULL; n; n = n->next)
        append(all, copy_of(m, n));
    const struct eg_yaml *hosts = eg_yaml_get(preset, "hosts");
    if (all && hosts)
        append(all, copy_of(m, hosts));
    return all;
}

/* Who wrote `openai: {from: ...}` meant the preset openai: an untrusted service of that name with another preset would send the key elsewhere. False: reported. */
static bool may_complete(struct eg_model *m, const struct eg_model_service *s)
{
    const char *preset = s->preset.preset->name;
    if (s->source->trusted || eg_slice_eq(s->s.name, eg_slice_str(preset)))
        return true;
    eg_diag_error(m->diags, "untrusted-key", s->at, eg_trust_fix,
                  "an untrusted file may not send the credential %s to the hosts of the preset %s",
                  eg_quote(s->s.name).text, preset);
    return false;
}

void eg_model_finish_presets(struct eg_model *m)
{
    for (struct eg_model_service *s = m->services; s && m->status == EG_OK; s = s->next) {
        const struct eg_source *source = s->preset.source;
        const struct eg_yaml *node = s->preset.credential;
        if (!node || node->bad)
            continue;
        const struct eg_yaml *user = eg_model_unpend(m, node->name, &source);
        if (user && !may_complete(m, s))
            continue;
        if (user)
            node = credential_of(m, user, node);
        else if (eg_table_get(m->credential_names, node->name))
            continue;
        if (node)
            eg_model_read_credential(m, source, node);
    }
    for (struct eg_model_pending *p = m->pending; p; p = p->next)
        eg_diag_error(m->diags, "missing-key", p->node->name_at, "add `hosts: [...]`",
                      "the key hosts is missing");
}
