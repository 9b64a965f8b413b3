/* policy_init.c - `egressctl policy init`: a first policy for the folder that it is started in, as little as what is found there needs. It asks nobody anything,
 * writes over no file, and what it writes is compiled before. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/ask.h"
#include "cmd/commands.h"
#include "cmd/files.h"
#include "cmd/init.h"
#include "policy/fmt.h"

enum { TEXT_MAX = 1 << 20, ARENA_MAX = 32 << 20 };

static const char NAME[] = "egressctl policy init";

static const struct eg_cmd_option list[] = {
    { 0, "bare", NULL, "look at nothing: only what --preset says" },
    { 0, "preset", "NAME[,KEY=VALUE...]", "add that preset; may be given again" },
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_policy_init_options = {
    .command = NAME,
    .operands = "[FILE]",
    .about = "Writes a first policy (default: ./egress.yaml; -: to standard output).",
    .list = list,
};

struct init {
    struct eg_buf out;
    enum eg_status status;
    struct eg_init_found found;
    const struct eg_cmd_given *given;
    unsigned given_count, rules, services, hosts;
};

static void put(struct init *x, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct init *x, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (x->status == EG_OK)
        x->status = n < 0 || (size_t)n >= sizeof text ? EG_TOO_BIG : eg_buf_append(&x->out, text, (size_t)n);
}

/* ---- --preset ---- */

static const struct eg_preset *preset_of(const char *value)
{
    return eg_preset_find(eg_slice(value, strcspn(value, ",")));
}

/* The next KEY=VALUE behind a comma; false at the end. */
static bool next_pair(const char **rest, struct eg_slice *key, struct eg_slice *value)
{
    const char *p = strchr(*rest, ',');
    if (!p)
        return false;
    size_t n = strcspn(++p, ","), k = strcspn(p, "=,");
    *key = eg_slice(p, k);
    *value = k < n ? eg_slice(p + k + 1, n - k - 1) : EG_SLICE_NONE;
    *rest = p + n;
    return true;
}

/* All values of a key of "npm,host=a,host=b,port=1"; how many there are. */
static unsigned put_values(struct init *x, const char *all, struct eg_slice wanted, bool print)
{
    struct eg_slice key, value;
    unsigned n = 0;
    while (next_pair(&all, &key, &value))
        if (eg_slice_eq(key, wanted) && n++ < 100 && print)
            put(x, "%s\"%.*s\"", n > 1 ? ", " : "", (int)value.n, value.n ? value.p : "");
    return n;
}

/* "{host: [a, b], port: 1}" */
static void put_with(struct init *x, const char *all)
{
    struct eg_slice key, value;
    const char *rest = all;
    bool first = true;
    if (!strchr(all, ','))
        return;
    put(x, "{");
    while (next_pair(&rest, &key, &value)) {
        const char *before = all;
        struct eg_slice other, unused;
        while (next_pair(&before, &other, &unused) && !eg_slice_eq(other, key))
            ;
        if (other.p != key.p) /* a value more of a key that was there */
            continue;
        bool many = put_values(x, all, key, false) > 1;
        put(x, "%s\"%.*s\": %s", first ? "" : ", ", (int)key.n, key.p, many ? "[" : "");
        put_values(x, all, key, true);
        put(x, "%s", many ? "]" : "");
        first = false;
    }
    put(x, "}");
}

static bool wants(const struct eg_cmd_given *g, enum eg_preset_kind kind)
{
    return list[g->index].name && strcmp(list[g->index].name, "preset") == 0 && preset_of(g->value) &&
           preset_of(g->value)->kind == kind;
}

static bool asked_for(const struct init *x, const struct eg_preset *p)
{
    for (unsigned i = 0; i < x->given_count; i++)
        if (wants(&x->given[i], p->kind) && preset_of(x->given[i].value) == p)
            return true;
    return false;
}

/* ---- the text ---- */

static void put_extends(struct init *x)
{
    put(x, "# What no agent needs whatever else is allowed; `egressctl preset show NAME` prints a preset.\nextends:\n  - preset:agent-baseline\n");
    for (unsigned i = 0; i < x->given_count; i++) {
        const char *value = x->given[i].value;
        if (!wants(&x->given[i], EG_PRESET_RULES) || preset_of(value) == eg_preset_find(EG_SLICE("agent-baseline")))
            continue;
        put(x, "  - {preset: %s%s", preset_of(value)->name, strchr(value, ',') ? ", with: " : "");
        put_with(x, value);
        put(x, "}\n");
        x->rules++;
    }
    for (unsigned i = 0; i < x->found.manager_count; i++) {
        const struct eg_init_manager *m = &x->found.managers[i];
        const struct eg_preset *p = eg_preset_find(eg_slice_str(m->preset));
        if (!p || asked_for(x, p))
            continue;
        if (m->hosts.count == 0) {
            put(x, "  # %s is here; `%s` tells where its packages come from:\n  # - {preset: %s, with: {host: HOST}}\n", m->file,
                m->ask, m->preset);
            continue;
        }
        put(x, "  # %s is here; hosts as in %s\n  - {preset: %s, with: {host: [", m->file, m->place, m->preset);
        for (unsigned k = 0; k < m->hosts.count; k++)
            put(x, "%s%s", k ? ", " : "", m->hosts.list[k]);
        put(x, "]}}\n");
        x->rules++;
    }
}

/* The service whose route leads to that host: a tunnel beside it would take any key. */
static const struct eg_init_service *service_of(const struct init *x, const char *host)
{
    for (unsigned i = 0; i < x->found.service_count; i++)
        if (!x->found.services[i].intercept && strcmp(x->found.services[i].host, host) == 0)
            return &x->found.services[i];
    return NULL;
}

static void put_remote(struct init *x, const char *host)
{
    const struct eg_init_service *s = service_of(x, host);
    if (s) {
        put(x, "# %s, a remote of this repository, is reached by the service %s below: git is sent there by itself.\n"
               "# - %s would let programs go there directly, with no key or one of their own.\n",
            host, s->preset->name, host);
        return;
    }
    put(x, "  - {host: %s, why: a remote of this repository}\n", host);
    x->hosts++;
}

static void put_allow(struct init *x)
{
    const struct eg_init_hosts *https = &x->found.https, *ssh = &x->found.ssh;
    put(x, "\n# What may be reached, and nothing else: https on port 443 where nothing else is said.\n");
    unsigned open = 0;
    for (unsigned i = 0; i < https->count; i++)
        open += service_of(x, https->list[i]) == NULL;
    put(x, open ? "allow:\n" : "allow: []\n");
    for (unsigned i = 0; i < https->count; i++)
        put_remote(x, https->list[i]);
    for (unsigned i = 0; i < ssh->count; i++)
        if (!service_of(x, ssh->list[i]))
            put(x, "%s# - {host: %s, scheme: tcp, ports: [22], why: a remote of this repository by ssh; needs run --transparent}\n",
            open ? "  " : "", ssh->list[i]);
}

static void put_services(struct init *x)
{
    bool head = false;
    for (unsigned i = 0; i < x->given_count; i++) {
        const char *value = x->given[i].value;
        if (!wants(&x->given[i], EG_PRESET_SERVICE))
            continue;
        put(x, "%s", head ? "" : "\n# The command gets a phantom for each key; the real one is written in on the way out.\nservices:\n");
        put(x, "  %s: {%s", preset_of(value)->name, strchr(value, ',') ? "with: " : "");
        put_with(x, value);
        put(x, "}\n");
        head = true;
        x->services++;
    }
    for (unsigned i = 0; i < x->found.service_count; i++) {
        const struct eg_init_service *s = &x->found.services[i];
        if (s->intercept || asked_for(x, s->preset))
            continue;
        put(x, "%s", head ? "" : "\n# The command gets a phantom for each key; the real one is written in on the way out.\nservices:\n");
        put(x, "  %s: {} # %s is set\n", s->preset->name, s->variable);
        head = true;
        x->services++;
    }
    for (unsigned i = 0; i < x->found.service_count; i++)
        if (x->found.services[i].intercept)
            put(x, "%s# %s is set: %s needs a route by hand: `egressctl preset show %s`\n", head ? "  " : "\n",
                x->found.services[i].variable, x->found.services[i].preset->name, x->found.services[i].preset->name);
}

static void put_name(struct init *x)
{
    char folder[4096];
    const char *name = getcwd(folder, sizeof folder) ? strrchr(folder, '/') + 1 : "";
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    put(x, "# The network of what `egressctl run` starts here. What no rule allows is refused; egress.yaml(5) describes every key.\negress: 1\n");
    if (n > 0 && n <= 64 && name[n] == '\0')
        put(x, "name: \"%s\"\n", name);
}

/* ---- write ---- */

static int failed(const char *path, enum eg_status st, const struct eg_err *err)
{
    char text[400];
    fprintf(stderr, "%s: %s: %s\n", NAME, path,
            err->status != EG_OK ? eg_err_format(err, text, sizeof text) : egress_status_sentence(st));
    return EG_EXIT_FAILED;
}

/* In its layout, in out; and does it compile? *trust: only when the file is trusted. */
static int finish(struct init *x, const char *path, struct eg_buf *out, bool *trust)
{
    struct eg_policy_file file = { .path = path, .text = eg_buf_slice(&x->out), .layer = EG_LAYER_REPO, .trusted = true };
    struct eg_diags *diags = NULL;
    struct eg_loaded *loaded = NULL;
    struct eg_err err = { 0 };
    int code = EG_EXIT_FAILED;
    if (x->status != EG_OK || eg_diags_new(&diags) != EG_OK)
        return EG_EXIT_FAILED;
    enum eg_status st = eg_policy_fmt(&file, diags, out, &err);
    file.text = eg_buf_slice(out);
    eg_diags_free(diags);
    for (int trusted = 1; st == EG_OK && trusted >= 0; trusted--) {
        file.trusted = trusted;
        const struct eg_load_spec spec = { .texts = &file, .text_count = 1, .portable = true };
        st = eg_load(&spec, &loaded, &err);
        if (st == EG_OK && trusted) {
            eg_cmd_diags(loaded->diags);
            code = eg_loaded_exit(loaded);
        } else if (st == EG_OK) {
            *trust = eg_loaded_exit(loaded) != EG_EXIT_OK;
        }
        eg_loaded_free(loaded);
        loaded = NULL;
    }
    if (st != EG_OK)
        return failed(path, st, &err);
    return code;
}

static void next_steps(const struct init *x, const char *path, bool trust)
{
    printf("wrote %s: %u %s, %u %s of packages, %u %s of repositories\n\nnext:\n", path, x->services,
           x->services == 1 ? "service" : "services", x->rules, x->rules == 1 ? "registry" : "registries", x->hosts,
           x->hosts == 1 ? "host" : "hosts");
    printf("  read it: what it does not name is refused\n");
    if (trust)
        printf("  egressctl trust %-21s it says what an untrusted file may not; again after each change\n", path);
    printf("  egressctl doctor                      what works here, and what the policy still needs\n"
           "  egressctl run -- COMMAND              refusals are listed at its end\n"
           "  egressctl policy learn                what was refused in the last run, as a patch to review\n"
           "  egressctl preset list                 what a service or a package registry needs, ready made\n");
}

static int write_new(const char *path, struct eg_slice text)
{
    struct eg_err err = { 0 };
    int fd;
    enum eg_status st = eg_file_create(path, false, &fd, &err);
    if (st == EG_OK) {
        st = eg_file_write(fd, text, &err);
        if (st == EG_OK && fchmod(fd, 0644) < 0) /* it is to be committed */
            st = EG_IO;
        close(fd);
        if (st != EG_OK) /* half a file would keep the next try from writing it */
            (void)unlink(path);
    }
    if (st == EG_OK)
        return EG_EXIT_OK;
    if (st == EG_EXISTS)
        fprintf(stderr, "%s: %s is there already and stays as it is; `%s -` prints what would be written\n", NAME, path, NAME);
    else
        return failed(path, st, &err);
    return EG_EXIT_FAILED;
}

static int print_text(struct eg_slice text)
{
    struct eg_err err = { 0 };
    enum eg_status st = eg_file_write(1, text, &err);
    return st == EG_OK ? EG_EXIT_OK : failed("-", st, &err);
}

static int init(struct init *x, const char *path)
{
    struct eg_buf out;
    bool trust = false, print = strcmp(path, "-") == 0;
    eg_buf_init(&out, TEXT_MAX);
    put_name(x);
    put_extends(x);
    put_allow(x);
    put_services(x);
    int code = finish(x, print ? "egress.yaml" : path, &out, &trust);
    if (code == EG_EXIT_OK && print)
        code = print_text(eg_buf_slice(&out));
    else if (code == EG_EXIT_OK)
        code = write_new(path, eg_buf_slice(&out));
    if (code == EG_EXIT_OK && !print)
        next_steps(x, path, trust);
    eg_buf_done(&out);
    return code;
}

int eg_cmd_policy_init(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_policy_init_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    struct init x = { .given = g };
    struct eg_arena arena;
    int at, code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &x.given_count, &at);
    if (code >= 0)
        return code;
    if (argc - at > 1)
        return eg_cmd_usage(o, "one FILE at most");
    for (unsigned i = 0; i < x.given_count; i++)
        if (strcmp(list[g[i].index].name, "preset") == 0 && !preset_of(g[i].value))
            return eg_cmd_usage(o, "there is no preset %.60s; `egressctl preset list` shows them", g[i].value);
    const char *path = at < argc ? argv[at] : "egress.yaml";
    if (strcmp(path, "-") != 0 && access(path, F_OK) == 0)
        return write_new(path, EG_SLICE_NONE); /* says so before anything is looked for */
    eg_arena_init(&arena, ARENA_MAX);
    eg_buf_init(&x.out, TEXT_MAX);
    if (!eg_cmd_value(o, g, x.given_count, "bare"))
        x.status = eg_init_find(&arena, &x.found);
    code = init(&x, path);
    eg_buf_done(&x.out);
    eg_arena_done(&arena);
    return code;
}
