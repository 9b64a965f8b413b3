/* load.h - policy files read and compiled as the proxy does it: for the supervisor, and for every command that asks a policy. Nothing is printed here. */
#ifndef EG_CMD_LOAD_H
#define EG_CMD_LOAD_H

#include "cmd/supervisor.h"
#include "policy/compile.h"

struct eg_load_spec { /* borrowed for the call */
    /* --- what is read: sources, else texts, else the files that `run` would take --- */
    const struct eg_policy_source *sources;
    unsigned source_count;
    const struct eg_policy_file *texts; /* read already; paths are for messages */
    unsigned text_count;
    const char *file; /* -p; NULL: ./egress.yaml */
    bool trust;       /* --trust: of the file */
    bool alone;       /* the file alone, without org.yaml and user.yaml */
    bool
        revision; /* file is "REV:PATH", as git show takes it; it is alone, and trusted with `trust` only */
    /* --- how --- */
    bool
        portable; /* without what this machine is (its addresses), so that the same files mean the same everywhere */
    const struct eg_upstream_choice *upstream;
    bool observe, allow_remote;                              /* as in eg_policy_reader */
    void (*test)(void *ctx, const struct eg_policy_test *t); /* as in eg_policy_reader */
    void *test_ctx;
};

struct eg_load_private;
struct eg_part;
struct eg_loaded {                      /* freed by eg_loaded_free */
    const struct eg_policy_file *files; /* in the order of their layers, trusted as it was found */
    unsigned count;
    const struct eg_part *parts; /* files that they extend, as far as they were read (parts.h) */
    unsigned part_count;
    struct eg_diags *diags;   /* errors and warnings, sorted */
    struct eg_policy *policy; /* NULL: diags has an error */
    struct eg_buf block;      /* that policy is a view of */
    struct eg_load_private *private;
};

/* EG_OK: read, and compiled where it is valid (policy is not NULL). EG_NOT_FOUND: there is no policy at all; EG_INVALID: a file or revision can't be
 * read, or what was chosen outside of the files is wrong; EG_NOMEM, EG_TOO_BIG. err tells. */
enum eg_status eg_load(const struct eg_load_spec *spec, struct eg_loaded **ret,
                       struct eg_err *err) EG_MUST_USE;
void eg_loaded_free(struct eg_loaded *l);
/* EG_EXIT_OK with a policy; EG_EXIT_REFUSED where all errors are what the org layer, or the lack of trust, forbids; else EG_EXIT_POLICY. */
int eg_loaded_exit(const struct eg_loaded *l);

/* "REV:PATH"? For operands that are either: whether there is a file of that name makes no difference, since a change could bring one; "./a:b" is a file. */
bool eg_load_is_revision(const char *text);
/* load_git.c: the bytes of "REV:PATH" (PATH from the top of the repository, or from here as ./PATH), appended. No filter, no hook and no transport of
 * the repository runs. EG_NOT_FOUND, EG_INVALID, EG_TOO_BIG, EG_IO. */
enum eg_status eg_load_git(const char *name, struct eg_buf *out, struct eg_err *err) EG_MUST_USE;

#endif
