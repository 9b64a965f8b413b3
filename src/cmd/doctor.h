/* doctor.h - what the files of `egressctl doctor` share: the list of findings, and one function for each part. */
#ifndef EG_CMD_DOCTOR_H
#define EG_CMD_DOCTOR_H

#include "cmd/ask.h"
#include "cmd/run.h"
#include "cmd/state.h"

enum eg_doctor_state {
    EG_DOCTOR_OK,
    EG_DOCTOR_NOTE, /* worth knowing; it works without */
    EG_DOCTOR_BAD,  /* the exit status is 1 */
};
enum { EG_DOCTOR_FINDINGS = 256, EG_DOCTOR_TEXT = 480 };

struct eg_finding {
    enum eg_doctor_state state;
    const char *section; /* "system", "policy", "secrets"; static */
    char check[48], text[EG_DOCTOR_TEXT], fix[EG_DOCTOR_TEXT];
};
struct eg_findings { /* in memory that a child process shares */
    unsigned count, dropped;
    struct eg_finding list[EG_DOCTOR_FINDINGS];
};

struct eg_doctor {
    struct eg_findings *found;
    const char *user;                /* --user; NULL: not given */
    const struct eg_environ *parent; /* our own environment */
    struct eg_run_user who; /* who a child would be, and the environment as that user has it */
    const struct eg_run_places *places;
    const struct eg_policy *policy; /* an empty one where there is none */
    bool has_policy;
    enum eg_enforcement
        enforcement; /* what `run` would have; where it has none, and refuses, the strongest */
    char
        home[PATH_MAX -
             512]; /* of the child's environment, copied: no forked process has that; empty: none */
};

/* No text may hold a value that was found: names of variables, credentials and files alone. fix NULL: none is needed. What is not printable is replaced. */
void eg_doctor_say(struct eg_doctor *d, enum eg_doctor_state state, const char *section,
                   const char *check, const char *fix, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* doctor_system.c: what this system has. By trying where it can be tried. */
void eg_doctor_system(struct eg_doctor *d);
/* doctor_policy.c: what the policy needs, above all its credentials' sources. */
void eg_doctor_policy(struct eg_doctor *d);

/* ---- what a child would see ---- */
enum { EG_DOCTOR_VALUES = 64, EG_DOCTOR_VALUE_MIN = 8 };
struct
    eg_doctor_values { /* of credentials whose sources are variables and files: to look for copies */
    unsigned count;
    struct {
        char name[64];
        struct eg_buf value;
    } list[EG_DOCTOR_VALUES];
};
void eg_doctor_values_read(const struct eg_doctor *d, struct eg_doctor_values *ret);
void eg_doctor_values_done(struct eg_doctor_values *v); /* wipes */
/* The credential whose value is in the text; NULL. */
const char *eg_doctor_value_in(const struct eg_doctor_values *v, struct eg_slice text);
/* doctor_secrets.c: variables and known files of keys. As the child's user, in a process of its own where that is another. */
void eg_doctor_secrets(struct eg_doctor *d);
/* doctor_search.c: the working folder, and what shells and programs remember, for copies. covered: as below. */
void eg_doctor_search(struct eg_doctor *d, const struct eg_doctor_values *values,
                      const struct eg_run_paths *covered);
/* May the child read it? It is there, not covered, and opens: its first bytes, at most the buffer's ceiling. */
bool eg_doctor_read(const struct eg_run_paths *covered, const char *path, struct eg_buf *out);

#endif
