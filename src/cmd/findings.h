/* findings.h - the problems of policy files as documents: for people, for CI systems, for programs. Nothing here decides what is a problem. */
#ifndef EG_CMD_FINDINGS_H
#define EG_CMD_FINDINGS_H

#include "base/buf.h"
#include "policy/compile.h"

/* In the order of the words that --format takes. */
#define EG_FINDINGS_FORMATS "pretty|json|github|sarif|junit|agent"
enum eg_findings_format {
    EG_FINDINGS_PRETTY,
    EG_FINDINGS_JSON,
    EG_FINDINGS_GITHUB,
    EG_FINDINGS_SARIF,
    EG_FINDINGS_JUNIT,
    EG_FINDINGS_AGENT,
};

struct eg_findings {             /* all borrowed */
    const struct eg_diag **list; /* each problem once, by file as they were checked */
    unsigned count;
    unsigned errors, warnings; /* counted, stored or not */
    const char *const *files;  /* what was checked, each once; problems may be in others too */
    unsigned file_count;
    const char *verdict; /* "valid", "warnings" (under --strict), "invalid", "refused" */
};

/* Appends the document. color: ANSI, of pretty alone. Every format is whole UTF-8 and one document (github and agent: lines) whatever the files hold.
 * EG_TOO_BIG, EG_NOMEM. */
enum eg_status eg_findings_write(const struct eg_findings *f, enum eg_findings_format format,
                                 bool color, struct eg_buf *out) EG_MUST_USE;
/* findings_sarif.c: SARIF 2.1.0 (OASIS), one run. */
enum eg_status eg_findings_sarif(const struct eg_findings *f, struct eg_buf *out) EG_MUST_USE;

#endif
