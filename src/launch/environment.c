/* environment.c - the environment that the child starts with: what it keeps of the parent's, what
 * leads its programs to the proxy, the base URL of every route, and phantoms in the place of
 * credentials. */
#include "launch/environment.h"

#include <stdlib.h>

/* ---- routes ---- */

static const char *phantom_of(const struct eg_child_env_spec *spec, struct eg_slice service)
{
    for (unsigned i = 0; i < spec->phantom_count; i++)
        if (eg_slice_eq(eg_slice_str(spec->phantom_services[i]), service))
            return spec->phantom_texts[i];
    return NULL;
}

static bool takes_signatures(const struct eg_service *s)
{
    return s->accept_count > 0 && s->accept[0].kind == EG_SLOT_SIGV4;
}

/* The key id in the first variable, the secret in the others. The child signs with these two alone: a session token would be another key's. */
static enum eg_status set_signing_keys(const struct eg_child_env_spec *spec,
                                       const struct eg_service *s, struct eg_env_list *l)
{
    struct eg_buf name;
    eg_buf_init(&name, 512);
    enum eg_status status = eg_buf_printf(&name, "%.*s#secret_key", (int)s->name.n, s->name.p);
    const char *id = phantom_of(spec, s->name);
    const char *secret = status == EG_OK ? phantom_of(spec, eg_buf_slice(&name)) : NULL;
    eg_buf_done(&name);
    eg_env_drop(l, EG_SLICE("AWS_SESSION_TOKEN"));
    eg_env_drop(l, EG_SLICE("AWS_SECURITY_TOKEN"));
    if (s->env_key_count == 1) /* else it may be another service's */
        eg_env_drop(l, EG_SLICE("AWS_SECRET_ACCESS_KEY"));
    for (unsigned k = 0; k < s->env_key_count; k++)
        eg_env_drop(l, s->env_keys[k]);
    if (!id || !secret || s->env_key_count == 0)
        return status;
    status = eg_env_set(l, s->env_keys[0], eg_slice_str(id));
    if (status == EG_OK && s->env_key_count == 1)
        status = eg_env_set(l, EG_SLICE("AWS_SECRET_ACCESS_KEY"), eg_slice_str(secret));
    for (unsigned k = 1; k < s->env_key_count && status == EG_OK; k++)
        status = eg_env_set(l, s->env_keys[k], eg_slice_str(secret));
    return status;
}

static enum eg_status set_service(const struct eg_child_env_spec *spec, const struct eg_service *s,
                                  struct eg_env_list *l)
{
    struct eg_buf url;
    if (s->internal) /* a token endpoint: nothing of the child's */
        return EG_OK;
    eg_buf_init(&url, EG_ENV_TEXT_MAX);
    enum eg_status status = eg_buf_printf(
        &url, "http://127.0.0.1:%u/%.*s%.*s", (unsigned)spec->listener->port, (int)s->route.n,
        s->route.p, (int)s->env_base_path.n, s->env_base_path.n ? s->env_base_path.p : "");
    if (status == EG_OK)
        status = eg_env_set(l, s->env_base_url, eg_buf_slice(&url));
    eg_buf_done(&url);
    if (status == EG_OK && takes_signatures(s))
        return set_signing_keys(spec, s, l);
    const char *phantom = s->credential.n > 0 ? phantom_of(spec, s->name) : NULL;
    /* without one: what the parent has under that name may be the real key, of another source */
    for (unsigned k = 0; s->credential.n > 0 && k < s->env_key_count && status == EG_OK; k++)
        if (phantom)
            status = eg_env_set(l, s->env_keys[k], eg_slice_str(phantom));
        else
            eg_env_drop(l, s->env_keys[k]);
    /* without a phantom the route would refuse what a login of the child's own may get */
    if (status == EG_OK && s->env_git.n > 0 && (phantom || s->credential.n == 0))
        status = eg_env_git_route(spec, s, phantom, l);
    return status;
}

enum eg_status eg_child_env_make(const struct eg_child_env_spec *spec, char ***ret,
                                 struct eg_err *err)
{
    struct eg_env_list l = { 0 };
    enum eg_status status = eg_env_inherit(spec, &l);
    if (status == EG_OK)
        status = eg_env_tools(spec, &l);
    if (status == EG_OK && spec->files)
        status = eg_env_files(spec, &l);
    for (unsigned i = 0; i < eg_policy_service_count(spec->policy) && status == EG_OK; i++) {
        struct eg_service s;
        eg_policy_service(spec->policy, i, &s);
        status = set_service(spec, &s, &l);
    }
    for (char *const *m = spec->more; m && *m && status == EG_OK; m++) {
        struct eg_slice name = eg_env_name(*m);
        status = eg_env_set(&l, name, eg_slice_from(eg_slice_str(*m), name.n + 1));
    }
    if (status != EG_OK) {
        eg_child_env_free(l.items);
        return eg_err_set(err, status, "launch", 0, "the child's environment can't be made");
    }
    *ret = l.items;
    return EG_OK;
}

void eg_child_env_free(char **environment)
{
    for (char **e = environment; e && *e; e++) {
        explicit_bzero(
            *e, strlen(*e)); /* tokens and phantoms: of no use outside, but nobody's to keep */
        free(*e);
    }
    free(environment);
}
