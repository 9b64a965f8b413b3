/* env_format.h - the variables of a session as the languages of their readers have them. */
#ifndef EG_CMD_ENV_FORMAT_H
#define EG_CMD_ENV_FORMAT_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"

/* "sh, fish, json, dotenv, github or docker" */
extern const char eg_env_formats[];
bool eg_env_format_known(const char *format);

/* reply: {"unset": [NAME...], "variables": {NAME: VALUE...}}, as the proxy's answer has it. Appends to out; names that are none for a shell are left out (but of json). format is known. EG_INVALID: a value
 * that the format can't say; err tells which. */
enum eg_status eg_env_format(const char *format, const json_t *reply, struct eg_buf *out, struct eg_err *err) EG_MUST_USE;

#endif
