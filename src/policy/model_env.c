/* model_env.c - of a service: what the child sees of it, its variables and the shape of its phantom. */
#include "policy/model.h"

#include "policy/check.h"

enum { PREFIX_MAX = 64, SHAPE_MIN = 24, SHAPE_MAX = 512 };

static bool variable_name(struct eg_model *m, const struct eg_yaml *node)
{
    struct eg_slice s = node->text;
    bool fine = s.n > 0 && s.n <= 128;
    for (size_t i = 0; fine && i < s.n; i++) {
        char c = eg_lower(s.p[i]);
        fine = (c >= 'a' && c <= 'z') || c == '_' || (i > 0 && c >= '0' && c <= '9');
    }
    if (!fine)
        eg_diag_error(m->diags, "bad-name", node->at, NULL,
                      "a variable's name is made of A-Z a-z 0-9 _");
    return fine;
}

static void take_key(struct eg_model *m, struct eg_model_service *s, const struct eg_yaml *node)
{
    if (variable_name(m, node))
        s->s.env_keys[s->s.env_key_count++] = node->text;
}

static void read_base_path(struct eg_model *m, struct eg_model_service *s,
                           const struct eg_yaml *node)
{
    struct eg_buf out;
    struct eg_path_flags flags = { 0 };
    struct eg_err err = { 0 };
    eg_buf_init(&out, 1024);
    enum eg_status st = eg_path_canon(node->text, &out, &flags, &err);
    if (st != EG_OK || flags.unsafe) {
        eg_diag_error(m->diags, "bad-path", node->at, "write a path such as /v1", "%s",
                      st != EG_OK ? err.text : flags.why);
    } else {
        struct eg_slice text = eg_buf_slice(&out);
        while (text.n > 0 && text.p[text.n - 1] == '/')
            text.n--;
        s->s.env_base_path = eg_model_copy(m, text);
    }
    eg_buf_done(&out);
}

/* The host, as git's remotes have it. */
static void read_git(struct eg_model *m, struct eg_model_service *s, const struct eg_yaml *node)
{
    struct eg_authority host;
    char text[EG_AUTHORITY_TEXT];
    struct eg_err err = { 0 };
    if (eg_authority_parse(node->text, 443, &host, &err) != EG_OK)
        eg_diag_error(m->diags, "bad-host", node->at, "write the host alone, such as github.com",
                      "%s", err.text[0] ? err.text : "this is no host");
    else
        s->s.env_git =
            eg_model_copy(m, eg_slice_str(eg_authority_format(&host, 443, text, sizeof text)));
}

static void read_shape(struct eg_model *m, struct eg_model_service *s, const struct eg_yaml *shape)
{
    const struct eg_yaml *prefix = eg_model_child(shape, "prefix");
    const struct eg_yaml *length = eg_model_child(shape, "length");
    unsigned long long n;
    if (prefix && (!eg_model_printable(prefix->text) || eg_slice_index(prefix->text, ' ') >= 0 ||
                   prefix->text.n > PREFIX_MAX))
        eg_diag_error(m->diags, "bad-value", prefix->at, NULL,
                      "a prefix is at most %d printable characters without blanks", PREFIX_MAX);
    else if (prefix)
        s->s.shape_prefix = prefix->text;
    if (!length || eg_slice_eq(length->text, EG_SLICE("same")))
        return;
    size_t least = SHAPE_MIN + (prefix ? prefix->text.n : 0);
    if (!length->plain || !eg_slice_u64(length->text, &n) || n < least || n > SHAPE_MAX)
        eg_diag_error(m->diags, "bad-value", length->at, NULL,
                      "length is `same`, or from %zu (prefix and 24 random characters) to %d",
                      least, SHAPE_MAX);
    else
        s->s.shape_length = (uint32_t)n;
}

void eg_model_read_env(struct eg_model *m, struct eg_model_service *s,
                       const struct eg_yaml *service)
{
    const struct eg_yaml *env = eg_model_child(service, "env");
    const struct eg_yaml *base_url = eg_model_child(env, "base_url");
    const struct eg_yaml *base_path = eg_model_child(env, "base_path");
    const struct eg_yaml *key = eg_model_child(env, "key");
    const struct eg_yaml *shape = eg_model_child(service, "shape");
    const struct eg_yaml *git = eg_model_child(env, "git");
    s->has_env = env != NULL;
    s->env_at = env ? env->name_at : s->at;
    s->has_key = key != NULL;
    if (base_url && variable_name(m, base_url))
        s->s.env_base_url = base_url->text;
    if (base_path)
        read_base_path(m, s, base_path);
    if (git)
        read_git(m, s, git);
    eg_model_each(m, s, key, 4, take_key);
    if (key && s->s.credential.n == 0)
        eg_diag_error(m->diags, "unknown-credential", key->name_at,
                      "name it with credential:", "the service has no credential");
    if (shape && s->s.credential.n == 0)
        eg_diag_error(m->diags, "unknown-credential", shape->name_at,
                      "name it with credential:", "the service has no credential");
    if (shape)
        read_shape(m, s, shape);
}
