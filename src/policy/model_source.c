/* model_source.c - one reference to a credential's value: the place where it is kept, or the program that prints it.
 *
 * The value never comes here. Presets of programs become their argv, with the program's bare name, which whoever runs it finds in the system's folders.
 * What does not look like a reference is refused without being repeated. */
#include "policy/model.h"

#include "policy/check.h"

enum { ARGS_MAX = 32, ARG_MAX_BYTES = 4096, NAME_BYTES = 255 };

static const char known[] =
    "write env:NAME, file:PATH, keyring:SERVICE/ACCOUNT or {cmd: [PROGRAM, ...]}";

static bool bad_source(struct eg_model *m, const struct eg_yaml *from, const char *code,
                       const char *fix, const char *text)
{
    struct eg_place at = from->at;
    at.hide = true;
    eg_diag_error(m->diags, code, at, fix, "%s", text);
    return false;
}

static bool is_variable(struct eg_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = eg_lower(s.p[i]);
        if (!((c >= 'a' && c <= 'z') || c == '_' || (i > 0 && c >= '0' && c <= '9')))
            return false;
    }
    return s.n > 0 && s.n <= 128;
}

/* ---- places ---- */

typedef bool read_place(struct eg_model *m, const struct eg_source *source,
                        const struct eg_yaml *from, struct eg_slice place,
                        struct eg_model_credential *c);

static bool read_env(struct eg_model *m, const struct eg_source *source, const struct eg_yaml *from,
                     struct eg_slice place, struct eg_model_credential *c)
{
    (void)source;
    c->c.kind = EG_SOURCE_ENV;
    c->c.place = place;
    if (is_variable(place) && !eg_secret_like(place))
        return true;
    return bad_source(m, from, eg_secret_like(place) ? "inline-secret" : "bad-source", known,
                      "env: needs the name of a variable");
}

static bool read_file(struct eg_model *m, const struct eg_source *source,
                      const struct eg_yaml *from, struct eg_slice place,
                      struct eg_model_credential *c)
{
    c->c.kind = EG_SOURCE_FILE;
    c->c.place = place.n ? eg_model_path(m, source, place) : place;
    return place.n ? true : bad_source(m, from, "bad-source", known, "file: needs a path");
}

static bool read_keyring(struct eg_model *m, const struct eg_source *source,
                         const struct eg_yaml *from, struct eg_slice place,
                         struct eg_model_credential *c)
{
    long slash = eg_slice_index(place, '/');
    (void)source;
    c->c.kind = EG_SOURCE_KEYRING;
    if (slash <= 0 || (size_t)slash + 1 >= place.n)
        return bad_source(m, from, "bad-source", "write keyring:SERVICE/ACCOUNT",
                          "a keyring source names a service and an account");
    c->c.place = eg_slice(place.p, (size_t)slash);
    c->c.account = eg_slice_from(place, (size_t)slash + 1);
    return true;
}

static bool read_kernel(struct eg_model *m, const struct eg_source *source,
                        const struct eg_yaml *from, struct eg_slice place,
                        struct eg_model_credential *c)
{
    (void)source;
    c->c.kind = EG_SOURCE_KERNEL;
    c->c.place = place;
    if (place.n > 0 && place.n <= NAME_BYTES && eg_model_printable(place))
        return true;
    return bad_source(m, from, "bad-source", "write kernel:DESCRIPTION",
                      "a key of the kernel is named by its description, of at most 255 characters");
}

static bool read_systemd(struct eg_model *m, const struct eg_source *source,
                         const struct eg_yaml *from, struct eg_slice place,
                         struct eg_model_credential *c)
{
    (void)source;
    c->c.kind = EG_SOURCE_SYSTEMD;
    c->c.place = place;
    bool dots = eg_slice_eq(place, EG_SLICE(".")) || eg_slice_eq(place, EG_SLICE(".."));
    if (place.n > 0 && place.n <= NAME_BYTES && eg_model_printable(place) && !dots &&
        eg_slice_index(place, '/') < 0)
        return true;
    return bad_source(m, from, "bad-source", "write systemd:NAME, as LoadCredential= has it",
                      "a credential of systemd is named as a file without a folder");
}

/* ---- presets of programs ---- */

struct argv {
    struct eg_slice list[ARGS_MAX];
    unsigned count;
};

static void add_arg(struct argv *a, struct eg_slice s)
{
    if (a->count < ARGS_MAX)
        a->list[a->count++] = s;
}

static void add_args(struct argv *a, const char *const *words)
{
    for (; *words; words++)
        add_arg(a, eg_slice_str(*words));
}
#define ADD(a, ...) add_args(a, (const char *const[]){ __VA_ARGS__, NULL })

/* Can it be an argument of its own, and is it no option? */
static bool is_operand(struct eg_slice s)
{
    return s.n > 0 && s.n <= NAME_BYTES && s.p[0] != '-' && eg_model_printable(s);
}

static bool use_op(struct eg_slice text, struct eg_slice rest, struct argv *a)
{
    unsigned slashes = 0;
    for (size_t i = 0; i < rest.n; i++)
        slashes += rest.p[i] == '/';
    ADD(a, "op", "read", "--no-newline");
    add_arg(a, text);
    return is_operand(text) && (slashes == 2 || slashes == 3) && rest.p[rest.n - 1] != '/';
}

static bool use_bw(struct eg_slice text, struct eg_slice rest, struct argv *a)
{
    static const char fields[] = "password|username|totp|notes|uri";
    long slash = eg_slice_index(rest, '/');
    (void)text;
    if (slash <= 0)
        return false;
    struct eg_slice item = eg_slice(rest.p, (size_t)slash);
    struct eg_slice field = eg_slice_from(rest, (size_t)slash + 1);
    ADD(a, "bw", "--nointeraction", "--raw", "get");
    add_arg(a, field);
    add_arg(a, item);
    return is_operand(item) && eg_schema_word(fields, field) >= 0;
}

static bool use_pass(struct eg_slice text, struct eg_slice rest, struct argv *a)
{
    (void)text;
    ADD(a, "pass", "show");
    add_arg(a, rest);
    return is_operand(rest);
}

static bool use_secret_tool(struct eg_slice text, struct eg_slice rest, struct argv *a)
{
    unsigned count = 0;
    (void)text;
    ADD(a, "secret-tool", "lookup");
    while (rest.n > 0) {
        long slash = eg_slice_index(rest, '/');
        struct eg_slice part = slash < 0 ? rest : eg_slice(rest.p, (size_t)slash);
        if (!is_operand(part) || (slash >= 0 && (size_t)slash + 1 == rest.n))
            return false;
        add_arg(a, part);
        rest = slash < 0 ? EG_SLICE_NONE : eg_slice_from(rest, (size_t)slash + 1);
        count++;
    }
    return count > 0 && count % 2 == 0 && count + 2 <= ARGS_MAX;
}

static bool use_gh(struct eg_slice text, struct eg_slice rest, struct argv *a)
{
    struct eg_authority host;
    (void)text;
    ADD(a, "gh", "auth", "token");
    if (rest.n == 0)
        return true;
    ADD(a, "--hostname");
    add_arg(a, rest);
    return eg_host_parse(rest, &host, NULL) == EG_OK && is_operand(rest);
}

static bool use_gcloud(struct eg_slice text, struct eg_slice rest, struct argv *a)
{
    (void)text;
    ADD(a, "gcloud", "auth", "print-access-token");
    if (rest.n > 0)
        add_arg(a, rest);
    return rest.n == 0 || is_operand(rest);
}

static bool use_aws(struct eg_slice text, struct eg_slice rest, struct argv *a)
{
    (void)text;
    ADD(a, "aws", "configure", "export-credentials", "--format", "process");
    if (rest.n == 0)
        return true;
    ADD(a, "--profile");
    add_arg(a, rest);
    return is_operand(rest);
}

struct preset {
    struct eg_slice prefix;
    bool (*use)(struct eg_slice text, struct eg_slice rest, struct argv *a);
    const char *form;
};

static const struct preset presets[] = {
    { { "op://", 5 }, use_op, "write op://VAULT/ITEM/FIELD or op://VAULT/ITEM/SECTION/FIELD" },
    { { "bw://", 5 },
      use_bw,
      "write bw://ITEM/FIELD, where the field is password, username, totp, notes or uri" },
    { { "pass:", 5 }, use_pass, "write pass:NAME" },
    { { "secret-tool:", 12 }, use_secret_tool, "write secret-tool:ATTRIBUTE/VALUE" },
    { { "gh:", 3 }, use_gh, "write gh:HOST, or gh: for github.com" },
    { { "gcloud:", 7 }, use_gcloud, "write gcloud:ACCOUNT, or gcloud: for the active one" },
    { { "aws:", 4 }, use_aws, "write aws:PROFILE, or aws: for the default one" },
};

static bool take_args(struct eg_model *m, const struct argv *a, struct eg_model_credential *c)
{
    c->c.kind = EG_SOURCE_CMD;
    c->args = eg_model_alloc(m, a->count * sizeof *c->args);
    if (!c->args)
        return false;
    memcpy(c->args, a->list, a->count * sizeof *c->args);
    c->c.arg_count = a->count;
    return true;
}

static bool read_preset(struct eg_model *m, const struct eg_yaml *from, const struct preset *preset,
                        enum eg_source_use use, struct eg_model_credential *c)
{
    struct argv a = { .count = 0 };
    bool aws = preset->use == use_aws;
    if (!preset->use(from->text, eg_slice_from(from->text, preset->prefix.n), &a))
        return bad_source(m, from, "bad-source", preset->form,
                          "this is not what the program can be asked for");
    if (aws != (use == EG_USE_SIGV4))
        return bad_source(m, from, "bad-source",
                          aws ? "write aws_sigv4: {from: \"aws:PROFILE\"}"
                              : "write aws:PROFILE, or {cmd: [PROGRAM, ...]}",
                          aws ? "aws: gives several keys, for aws_sigv4 alone"
                              : "from of aws_sigv4 is a program that prints credentials as JSON");
    c->c.json = aws;
    return take_args(m, &a, c);
}

/* ---- {cmd: [...], json, field} ---- */

static bool is_member(struct eg_slice s)
{
    return s.n > 0 && s.n <= 64 && eg_model_printable(s);
}

static bool read_json(struct eg_model *m, const struct eg_yaml *from, enum eg_source_use use,
                      struct eg_model_credential *c)
{
    const struct eg_yaml *json = eg_model_child(from, "json");
    const struct eg_yaml *field = eg_model_child(from, "field");
    c->c.json = (json && json->number == 1) || use == EG_USE_SIGV4;
    if (field && (!c->c.json || use == EG_USE_SIGV4)) {
        eg_diag_error(m->diags, "bad-value", field->name_at,
                      use == EG_USE_SIGV4 ? NULL : "add `json: true`",
                      use == EG_USE_SIGV4 ? "the keys have their names in this JSON"
                                          : "field: names a member of JSON");
        return false;
    }
    if (field && !is_member(field->text)) {
        eg_diag_error(m->diags, "bad-value", field->at, NULL,
                      "a member's name is 1 to 64 printable characters");
        return false;
    }
    if (field)
        c->c.account = field->text;
    return true;
}

static bool read_cmd(struct eg_model *m, const struct eg_yaml *from, enum eg_source_use use,
                     struct eg_model_credential *c)
{
    const struct eg_yaml *cmd = eg_model_child(from, "cmd");
    struct argv a = { .count = 0 };
    if (!cmd)
        return false;
    if (cmd->count == 0 || cmd->count > ARGS_MAX) {
        eg_diag_error(m->diags, "bad-source", cmd->name_at, "write cmd: [/PATH/PROGRAM, ...]",
                      "cmd names a program and up to %d arguments", ARGS_MAX - 1);
        return false;
    }
    for (const struct eg_yaml *node = cmd->first; node; node = node->next) {
        struct eg_place at = node->at;
        at.hide = true;
        if (node->bad || node->text.n > ARG_MAX_BYTES)
            return node->bad ||
                   bad_source(m, node, "too-large", NULL, "an argument has at most 4096 bytes");
        if (eg_secret_like(node->text) && a.count > 0)
            eg_diag_warning(m->diags, "inline-secret", at, NULL,
                            "this looks like a secret; everybody on this machine can read the "
                            "arguments of a program");
        add_arg(&a, node->text);
    }
    if (a.list[0].n < 2 || a.list[0].p[0] != '/' || a.list[0].p[a.list[0].n - 1] == '/')
        return bad_source(m, cmd->first, "bad-source", "write its whole path; no shell is asked",
                          "the program is an absolute path");
    return read_json(m, from, use, c) && take_args(m, &a, c);
}

/* ---- the whole ---- */

static const struct {
    struct eg_slice prefix;
    read_place *read;
} places[] = { { { "env:", 4 }, read_env },
               { { "file:", 5 }, read_file },
               { { "keyring:", 8 }, read_keyring },
               { { "kernel:", 7 }, read_kernel },
               { { "systemd:", 8 }, read_systemd } };

static bool read_text(struct eg_model *m, const struct eg_source *source,
                      const struct eg_yaml *from, enum eg_source_use use,
                      struct eg_model_credential *c)
{
    struct eg_slice text = from->text;
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (eg_slice_starts(text, presets[i].prefix))
            return read_preset(m, from, &presets[i], use, c);
    if (use == EG_USE_SIGV4)
        return bad_source(m, from, "bad-source", "write aws:PROFILE, or {cmd: [PROGRAM, ...]}",
                          "from of aws_sigv4 is a program that prints credentials as JSON");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (eg_slice_starts(text, places[i].prefix))
            return places[i].read(m, source, from, eg_slice_from(text, places[i].prefix.n), c);
    if (eg_secret_like(text))
        return bad_source(
            m, from, "inline-secret", known,
            "this looks like the secret itself; a policy names the place where it is kept");
    return bad_source(m, from, "bad-source", known, "this names no known source of a credential");
}

bool eg_model_read_source(struct eg_model *m, const struct eg_source *source,
                          const struct eg_yaml *from, enum eg_source_use use,
                          struct eg_model_credential *c)
{
    bool fine =
        from->kind == EG_YAML_MAP ? read_cmd(m, from, use, c) : read_text(m, source, from, use, c);
    if (fine && use == EG_USE_WRITTEN && c->c.kind != EG_SOURCE_KEYRING &&
        c->c.kind != EG_SOURCE_FILE)
        fine = bad_source(m, from, "bad-source", "keep it in keyring:SERVICE/ACCOUNT or file:PATH",
                          "a new refresh token must be written back to where the old one is kept");
    return fine;
}
