/* presets.h - a service of a compiled policy as one line of text. */
#ifndef EG_TESTS_SUPPORT_PRESETS_H
#define EG_TESTS_SUPPORT_PRESETS_H

#include "policy/policy.h"

/* The service of that name; asserts that there is one. */
void eg_presets_service(const struct eg_policy *p, const char *name, struct eg_service *ret);
/* "https://HOST accept ... write ... strip ... url VARIABLE/PATH key ... from KIND:PLACE hosts ...": of hosts, the upstream's and b.HOST where they
 * are bound; what is not bound is missing. Returns out. */
char *eg_presets_describe(const struct eg_policy *p, const char *name, char *out, size_t cap);

#endif
