/* policies.h - policies in C strings: what the compiler says of them, and views of what it makes. */
#ifndef EG_TESTS_SUPPORT_POLICIES_H
#define EG_TESTS_SUPPORT_POLICIES_H

#include "policy/compile.h"

struct eg_policies_row {
    const char *text;    /* of egress.yaml */
    const char *expect;  /* "line:column code, ..." in order; W before a warning's code; "-" none */
    enum eg_layer layer; /* 0: EG_LAYER_REPO */
    bool untrusted;
};

/* Files that exist: any but those with "missing" in their path; "key" in it gives a private key, "text" no PEM that is asked for, else it is a
 * certificate, each behind a line with the path. 198.200.1.1 is this machine's. */
extern const struct eg_policy_reader eg_policies_reader;

/* Compiles every row and asserts that it has the problems that are listed and no other; shows those that differ. */
void eg_policies_check(const struct eg_policies_row *rows, size_t count);
/* A view of the policy, which has no error; asserts that. block is initialised here and the caller's to be done with after the view is closed. */
struct eg_policy *eg_policies_build(const char *path, const char *text, struct eg_buf *block);
struct eg_policy *eg_policies_build_files(const struct eg_policy_file *files, unsigned count,
                                          struct eg_buf *block);

/* What the compiler says of several files. */
struct eg_policies_result {
    enum eg_status status;
    char codes[1200]; /* "file:line code, ..."; W before a warning's code */
    char texts[4000]; /* as people see them */
    struct eg_buf block;
    struct eg_policy *policy; /* NULL: there are errors */
};
void eg_policies_compile(const struct eg_policy_file *files, unsigned count,
                         const struct eg_policy_reader *reader, struct eg_policies_result *r);
void eg_policies_result_done(struct eg_policies_result *r);

#endif
