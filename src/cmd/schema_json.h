/* schema_json.h - the table of keys as a JSON Schema (2020-12), for editors and other programs. */
#ifndef EG_CMD_SCHEMA_JSON_H
#define EG_CMD_SCHEMA_JSON_H

#include <jansson.h>

/* The schema of a policy file; NULL without memory. What it refuses the parser refuses too; what only the parser can judge (hosts, URLs, one
 * key beside another, trust) it takes. YAML's empty value is null there, and fits where a list or map is wanted. */
json_t *eg_schema_json(void);

#endif
