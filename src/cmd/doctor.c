/* doctor.c - `egressctl doctor`: what works on this system, what the policy needs, and which real secrets a child of `run` would still see, each with
 * what to do about it. It changes nothing, connects to nobody and never shows a value.
 *
 * The order matters: sandboxes are tried before any credential is read, and files are looked at last, as the child's own user. */
#include "cmd/doctor.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cmd/commands.h"

static const char NAME[] = "egressctl doctor";

static const struct eg_cmd_option list[] = {
    { 'p', "policy", "FILE", "the policy (default: ./egress.yaml, if there is one)" },
    { 0, "trust", NULL, "trust that file, as run --trust does" },
    { 'u', "user", "NAME", "as root: who the command would run as" },
    { 0, "json", NULL, "print JSON" },
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_doctor_options = {
    .command = NAME,
    .operands = "",
    .about = "Says what works on this system, what the policy needs, and which secrets show.",
    .list = list,
};

/* ---- findings ---- */

static void clean(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
            *text = '?';
}

void eg_doctor_say(struct eg_doctor *d, enum eg_doctor_state state, const char *section,
                   const char *check, const char *fix, const char *format, ...)
{
    va_list args;
    if (d->found->count == EG_DOCTOR_FINDINGS) {
        d->found->dropped++;
        return;
    }
    struct eg_finding *f = &d->found->list[d->found->count++];
    f->state = state;
    f->section = section;
    snprintf(f->check, sizeof f->check, "%s", check);
    snprintf(f->fix, sizeof f->fix, "%s", fix ? fix : "");
    va_start(args, format);
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
    clean(f->check);
    clean(f->text);
    clean(f->fix);
}

static const char *const states[] = { "ok", "note", "bad" };

static unsigned bad_ones(const struct eg_findings *found)
{
    unsigned n = found->dropped > 0;
    for (unsigned i = 0; i < found->count; i++)
        n += found->list[i].state == EG_DOCTOR_BAD;
    return n;
}

static void print_all(const struct eg_findings *found)
{
    static const char *const colors[] = { "\033[32m", "\033[33m", "\033[31m" };
    bool color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    const char *section = "";
    for (unsigned i = 0; i < found->count; i++) {
        const struct eg_finding *f = &found->list[i];
        if (strcmp(section, f->section) != 0)
            printf("%s%s\n", i ? "\n" : "", f->section);
        section = f->section;
        printf("  %s%-4s%s  %-16s %s\n", color ? colors[f->state] : "", states[f->state],
               color ? "\033[0m" : "", f->check, f->text);
        if (f->fix[0])
            printf("        %-16s fix: %s\n", "", f->fix);
    }
    if (found->dropped)
        printf("and %u findings more than fit here\n", found->dropped);
}

static int print_json(const struct eg_findings *found)
{
    json_t *all = json_array();
    for (unsigned i = 0; i < found->count; i++) {
        const struct eg_finding *f = &found->list[i];
        json_array_append_new(all, json_pack("{s:s,s:s,s:s,s:s,s:s}", "section", f->section,
                                             "check", f->check, "state", states[f->state], "text",
                                             f->text, "fix", f->fix));
    }
    json_t *o = json_pack("{s:b,s:i,s:o}", "ok", bad_ones(found) == 0, "dropped",
                          (int)found->dropped, "findings", all);
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    if (text)
        printf("%s\n", text);
    free(text);
    json_decref(o);
    return text ? -1 : EG_EXIT_FAILED;
}

/* ---- the policy that is asked ---- */

/* Nothing is allowed, nothing is covered for its sake. */
static enum eg_status empty_policy(struct eg_buf *block, struct eg_policy **ret)
{
    struct eg_diags *diags = NULL;
    const struct eg_policy_file file = {
        .path = "none", .text = EG_SLICE("egress: 1\n"), .layer = EG_LAYER_REPO, .trusted = true
    };
    enum eg_status status = eg_diags_new(&diags);
    if (status == EG_OK)
        status = eg_policy_compile(&file, 1, NULL, diags, block, NULL);
    if (status == EG_OK)
        status = eg_policy_open(block->data, block->len, ret, NULL);
    eg_diags_free(diags);
    return status;
}

/* true: there is one, and it is valid. */
static bool find_policy(struct eg_doctor *d, struct eg_run_places *places, const char *file,
                        bool trust, struct eg_sup_policy **ret)
{
    struct eg_err err = { 0 };
    char text[300];
    if (eg_run_policies_find(places, file, trust, &err) == EG_NOT_FOUND) {
        eg_doctor_say(d, EG_DOCTOR_NOTE, "policy", "file",
                      "`egressctl policy init` writes one, -p FILE names one",
                      "there is none here; nothing is allowed without one");
        return false;
    }
    const struct eg_supervisor_options options = { .policies = places->policies,
                                                   .policy_count = places->policy_count };
    err = (struct eg_err){ 0 };
    enum eg_status status = eg_sup_policy_compile(&options, ret, &err);
    if (status == EG_OK)
        return true;
    eg_doctor_say(d, EG_DOCTOR_BAD, "policy", "file",
                  "correct it; where a key needs trust: egressctl trust FILE, after review",
                  "it is not valid: %s", eg_err_format(&err, text, sizeof text));
    return false;
}

/* From here on nobody of our user reads this process' memory. */
static void harden(void)
{
    const struct rlimit none = { 0, 0 };
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)setrlimit(RLIMIT_CORE, &none);
}

static enum eg_status look(struct eg_doctor *d, struct eg_run_places *places, const char *file,
                           bool trust)
{
    struct eg_buf block;
    struct eg_policy *empty = NULL;
    struct eg_sup_policy *policy = NULL;
    eg_buf_init(&block, 1 << 20);
    eg_doctor_system(d);
    harden();
    enum eg_status status = empty_policy(&block, &empty);
    if (status == EG_OK) {
        d->has_policy = find_policy(d, places, file, trust, &policy);
        d->policy = d->has_policy ? policy->policy : empty;
        if (d->has_policy)
            eg_doctor_policy(d);
        eg_doctor_secrets(d);
    }
    eg_sup_policy_free(policy);
    eg_policy_close(empty);
    eg_buf_done(&block);
    return status;
}

static int doctor(const char *user, const char *file, bool trust, bool json)
{
    struct eg_err err = { 0 };
    struct eg_environ *environment = NULL;
    struct eg_run_places *places = calloc(1, sizeof *places);
    struct eg_doctor d = { .user = user, .places = places };
    d.found =
        mmap(NULL, sizeof *d.found, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    enum eg_status status =
        places && d.found != MAP_FAILED ? eg_environ_take(&environment) : EG_NOMEM;
    d.parent = environment;
    if (status == EG_OK)
        status = eg_run_user_make(user, eg_environ_all(environment), &d.who, &err);
    if (status == EG_OK)
        status = look(&d, places, file, trust);
    int code = status == EG_OK ? -1 : EG_EXIT_FAILED;
    if (status != EG_OK)
        fprintf(stderr, "%s: %s\n", NAME, egress_status_sentence(status));
    else if (json)
        code = print_json(d.found);
    else
        print_all(d.found);
    if (code < 0)
        code = bad_ones(d.found) > 0 ? EG_EXIT_FAILED : EG_EXIT_OK;
    eg_run_user_done(&d.who);
    eg_environ_free(environment);
    if (d.found != MAP_FAILED)
        munmap(d.found, sizeof *d.found);
    free(places);
    return code;
}

int eg_cmd_doctor(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_doctor_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    unsigned n;
    int at, code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    if (at < argc)
        return eg_cmd_usage(o, "there are no operands");
    return doctor(eg_cmd_value(o, g, n, "user"), eg_cmd_value(o, g, n, "policy"),
                  eg_cmd_value(o, g, n, "trust") != NULL, eg_cmd_value(o, g, n, "json") != NULL);
}
