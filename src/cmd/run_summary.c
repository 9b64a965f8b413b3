/* run_summary.c - what `run` says once its command has ended: what did not get through, what git would run later, and
 * whether that makes it fail. It asks the ring, and changes nothing. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/options.h"
#include "cmd/run_state.h"

/* So that `egressctl explain` finds the same policy. */
static void explain_options(const struct eg_run *r, char *out, size_t cap)
{
    const char *file = r->asked.file, *trust = r->asked.trust ? "--trust" : "";
    bool quotable = file && !file[strcspn(file, "'\\\n\r\t\033")];
    const char *quote = quotable && file[strcspn(file, " \"$`&|;<>()*?[]{}~#!")] ? "'" : "";
    int n = quotable ? snprintf(out, cap, "-p %s%s%s%s%s", quote, file, quote, *trust ? " " : "",
                                trust)
                     : snprintf(out, cap, "%s", trust);
    if (n < 0 || (size_t)n >= cap)
        out[0] = '\0';
}

/* --fail-on-deny: what is not known counts. */
static int fail_on_deny(const struct eg_run *r, enum eg_status status, const struct eg_summary *sum)
{
    const char *name = r->asked.options->command;
    if (status == EG_OK && !sum->denied && sum->lost == 0)
        return 0;
    if (status == EG_OK && !sum->denied)
        fprintf(stderr,
                "%s: --fail-on-deny: %llu events were overwritten, a refusal may be among them: "
                "raise audit.capacity in the policy\n",
                name, (unsigned long long)sum->lost);
    else
        fprintf(stderr, "%s: --fail-on-deny: something was refused\n", name);
    return EG_EXIT_FAILED;
}

static void say_changes(const struct eg_run *r)
{
    struct eg_buf text;
    char before[80];
    snprintf(before, sizeof before, "%s: warning: ", r->asked.options->command);
    eg_buf_init(&text, 64 * 1024);
    if (eg_run_changes_say(&r->changes, before, &text) != EG_OK)
        fprintf(stderr, "%sit is not known what git would run\n", before);
    else if (text.len > 0)
        fprintf(stderr, "%.*s", (int)text.len, eg_buf_slice(&text).p);
    eg_buf_done(&text);
}

/* And where rules could help, how they are written. */
static void say_refusals(const struct eg_run *r, const char *options, struct eg_slice text)
{
    static const char explained[] = "egressctl explain";
    bool refused = memmem(text.p, text.n, "refused", 7); /* else, under observe, all of it passed */
    fprintf(stderr, "%s: what %s get through:\n%.*s", r->asked.options->command,
            refused ? "did not" : "would not", (int)text.n, text.p);
    if (r->places.events[0] && memmem(text.p, text.n, explained, sizeof explained - 1))
        fprintf(stderr, "    egressctl policy learn%s%s    rules for what should have, as a patch to review\n",
                *options ? " " : "", options);
}

int eg_run_summarise(const struct eg_run *r, int own)
{
    struct eg_buf text;
    struct eg_summary sum = { .denied = true };
    char options[600];
    eg_buf_init(&text, 64 * 1024);
    say_changes(r);
    explain_options(r, options, sizeof options);
    enum eg_status status = eg_summary_write(eg_supervisor_ring(r->supervisor), options,
                                             isatty(STDERR_FILENO), &text, &sum);
    if (status == EG_OK && text.len > 0)
        say_refusals(r, options, eg_buf_slice(&text));
    eg_buf_done(&text);
    return own == 0 && r->asked.fail_on_deny ? fail_on_deny(r, status, &sum) : own;
}
