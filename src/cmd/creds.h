/* creds.h - what the files of the supervisor's credentials share: credentials.c (the list, and which
 * is read next), cred_life.c (what becomes of an answer, ttl, who asks), cred_helper.c (a helper
 * process, seen from here), cred_read.c (the helper itself), cred_fields.c (its answer as bytes),
 * cred_env.c (what a program's environment holds). */
#ifndef EG_CMD_CREDS_H
#define EG_CMD_CREDS_H

#include "cmd/oauth.h"

enum {
    EG_CRED_FIELDS = 16, /* of one credential, beside the value itself */
    EG_CRED_FIELD_NAME = 64,
    EG_CRED_OUTPUT_MAX = EG_CREDENTIAL_MAX,     /* of a command */
    EG_CRED_JSON_MAX = 3 * EG_CREDENTIAL_MAX,   /* of one that prints JSON */
    EG_CRED_ANSWER_MAX = 4 * EG_CREDENTIAL_MAX, /* of a helper */
    EG_CRED_TTL_MIN_MS = 1000,
    EG_CRED_REFUSED_MS = 10000, /* read again for a refusal at most so often */
};

/* ---- credentials.c ---- */

/* Is name a part of e ("NAME#part")? */
bool eg_cred_is_part(const struct eg_sup_credential *e, const struct eg_sup_credential *part);
/* It is to be read (again): with its parts where they may be what is wrong. Follow with
 * eg_sup_creds_more. */
void eg_cred_want(struct eg_sup_credential *e);

/* ---- cred_life.c ---- */

struct eg_cred_answer {    /* of one read; slices are borrowed */
    struct eg_slice value; /* may be empty where there are fields */
    struct {
        struct eg_slice name, value;
    } fields[EG_CRED_FIELDS];
    unsigned count;
    uint64_t refresh_ms, expires_ms; /* from now; 0: as ttl says */
};
/* Its read has ended, with an answer or not: err tells why then. Sets the state, the next read, tells
 * workers and sessions. */
void eg_cred_settle(struct eg_sup_credential *e, enum eg_status status,
                    const struct eg_cred_answer *answer, const struct eg_err *err);
void eg_cred_fields_free(struct eg_sup_credential *e);
void eg_cred_timer_fired(struct eg_timer *t);

/* ---- cred_helper.c ---- */

/* Starts a process that reads e in a free slot. Its end calls eg_cred_settle and
 * eg_sup_creds_more. */
enum eg_status eg_cred_helper_start(struct eg_sup_credential *e, unsigned slot,
                                    struct eg_err *err) EG_MUST_USE;
/* Ends it; nothing is called. */
void eg_cred_helper_kill(struct eg_sup_helper *h);

/* ---- cred_read.c ---- */

struct eg_cred_job { /* what the helper is given; copied by fork */
    const struct eg_sup_credential *credential;
    struct eg_sup_oauth *oauth; /* OAUTH2 */
    const char *folder;         /* SYSTEMD; NULL: none */
    char path[EG_PROGRAM_PATH]; /* of a program that was named without a slash; else empty */
    char *const *env;           /* of a program */
    int fd;                     /* for the answer */
};
/* How long it may take, and how long until it is ended. */
uint64_t eg_cred_limit_ms(const struct eg_sup_credential *e);
uint64_t eg_cred_patience_ms(const struct eg_sup_credential *e);
_Noreturn void eg_cred_read_run(struct eg_cred_job *job);

/* ---- cred_fields.c ---- */

/* What a helper writes: status, sentence, how long it is good, value and fields. */
enum eg_status eg_cred_answer_begin(struct eg_buf *out, enum eg_status status, const char *why,
                                    uint64_t expires_ms) EG_MUST_USE;
enum eg_status eg_cred_answer_add(struct eg_buf *out, struct eg_slice name,
                                  struct eg_slice value) EG_MUST_USE;
/* EG_INVALID for anything that these two do not make; *status and why (cap bytes) as they were
 * given. */
enum eg_status eg_cred_answer_decode(struct eg_slice in, enum eg_status *status, char *why,
                                     size_t cap, struct eg_cred_answer *ret) EG_MUST_USE;
/* A command's JSON object: each member that is a text is a field, that one named `value` the
 * credential itself (empty: "value", which may then be missing). Adds to out. */
enum eg_status eg_cred_fields_json(struct eg_slice json, const char *value, struct eg_buf *out,
                                   struct eg_err *err) EG_MUST_USE;
/* What AWS calls a credential process: its output as access_key, secret_key, session_token, and how
 * long from now they are good (0: for ever). */
enum eg_status eg_cred_fields_aws(struct eg_slice json, struct eg_buf *out, uint64_t *expires_ms,
                                  struct eg_err *err) EG_MUST_USE;

/* ---- cred_env.c ---- */

/* All variables of a program: those that it needs to find its user's files, no other. bare: its
 * name, when it was named without a slash, for what that program needs beside; else NULL. EG_NOMEM.
 */
enum eg_status eg_cred_env_make(const struct eg_environ *from, const char *bare,
                                char ***ret) EG_MUST_USE;
void eg_cred_env_free(char **env); /* wipes; NULL is fine */

#endif
