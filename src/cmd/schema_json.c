/* schema_json.c - walks the rows of policy/schema.h and says them in JSON Schema. There is no second list of keys: a row that is added is in it.
 *
 * A scalar of type text may be written as a number or as true, since the parser types by key: `shape: {length: 51}`. */
#include "cmd/schema_json.h"

#include <stdio.h>
#include <string.h>

#include "policy/schema.h"

enum { NAMES_MAX = 1000 }; /* of a map with any names, as policy/check.c has it */

static json_t *node(uint32_t row);

static const struct eg_schema_key *key_of(uint32_t row)
{
    return eg_schema_each(row - 1);
}

/* ---- scalars ---- */

static json_t *words(const char *list)
{
    json_t *all = json_array();
    for (const char *p = list; p;) {
        size_t n = strcspn(p, "|");
        json_array_append_new(all, json_stringn(p, n));
        p = p[n] ? p + n + 1 : NULL;
    }
    return json_pack("{s:o}", "enum", all);
}

static json_t *whole_number(const struct eg_schema_key *k)
{
    return json_pack("{s:s,s:I,s:I}", "type", "integer", "minimum", (json_int_t)k->min, "maximum",
                     (json_int_t)k->max);
}

static json_t *with_pattern(const char *pattern)
{
    return json_pack("{s:s,s:s}", "type", "string", "pattern", pattern);
}

static json_t *scalar(const struct eg_schema_key *k)
{
    switch (k->type) {
    case EG_TYPE_BOOL:
        return json_pack("{s:s}", "type", "boolean");
    case EG_TYPE_NUMBER:
        return whole_number(k);
    case EG_TYPE_SIZE:
        return json_pack("{s:[o,o]}", "anyOf", whole_number(k),
                         with_pattern("^0*[1-9][0-9]*(B|KiB|MiB|GiB)?$"));
    case EG_TYPE_DURATION:
        return with_pattern("^0*[1-9][0-9]*(ms|s|m|h)$");
    case EG_TYPE_WORD:
        return words(k->words);
    case EG_TYPE_TEXT:
    case EG_TYPE_NONE:
        break;
    }
    return json_pack("{s:s}", "$ref", "#/$defs/text");
}

/* ---- lists and maps ---- */

/* "array" or "object": null is an empty one, where no scalar could be meant. */
static json_t *collection(const struct eg_schema_key *k, const char *type)
{
    return k->shapes & EG_SHAPE_SCALAR ? json_pack("{s:s}", "type", type)
                                       : json_pack("{s:[s,s]}", "type", type, "null");
}

static json_t *list(uint32_t row)
{
    json_t *o = collection(key_of(row), "array");
    uint32_t element = eg_schema_element(row);
    if (element)
        json_object_set_new(o, "items", node(element));
    return o;
}

/* Children of the row, 0: the file itself. */
static void put_children(json_t *o, uint32_t row)
{
    json_t *properties = json_object(), *required = json_array();
    const struct eg_schema_key *k;
    for (unsigned i = 0; (k = eg_schema_each(i)) != NULL; i++) {
        if (!eg_schema_is_child(row, i + 1) || (k->flags & EG_KEY_RESERVED))
            continue;
        json_object_set_new(properties, eg_schema_name(i + 1), node(i + 1));
        if (k->flags & EG_KEY_REQUIRED)
            json_array_append_new(required, json_string(eg_schema_name(i + 1)));
    }
    json_object_set_new(o, "properties", properties);
    json_object_set_new(o, "additionalProperties", json_false());
    if (json_array_size(required) > 0)
        json_object_set_new(o, "required", required);
    else
        json_decref(required);
}

static json_t *map(uint32_t row)
{
    json_t *o = collection(key_of(row), "object");
    if (!(key_of(row)->flags & EG_KEY_ANY_NAME)) {
        put_children(o, row);
        return o;
    }
    json_object_set_new(o, "additionalProperties", node(eg_schema_element(row)));
    json_object_set_new(o, "maxProperties", json_integer(NAMES_MAX));
    return o;
}

/* ---- a row ---- */

/* The default where it is one JSON value; else it stays in the manual. */
static void put_default(json_t *o, const struct eg_schema_key *k)
{
    if (!k->standard)
        return;
    bool bare = k->type == EG_TYPE_NUMBER || k->type == EG_TYPE_BOOL || k->type == EG_TYPE_NONE;
    json_t *value = bare ? json_loads(k->standard, JSON_DECODE_ANY, NULL)
                    : k->type == EG_TYPE_TEXT && k->standard[0] == '['
                        ? json_loads(k->standard, JSON_DECODE_ANY, NULL)
                        : json_string(k->standard);
    if (value)
        json_object_set_new(o, "default", value);
}

static json_t *node(uint32_t row)
{
    const struct eg_schema_key *k = key_of(row);
    json_t *forms = json_array(), *o;
    if (k->shapes & EG_SHAPE_SCALAR)
        json_array_append_new(forms, scalar(k));
    if (k->shapes & EG_SHAPE_LIST)
        json_array_append_new(forms, list(row));
    if (k->shapes & EG_SHAPE_MAP)
        json_array_append_new(forms, map(row));
    if (json_array_size(forms) == 1) {
        o = json_incref(json_array_get(forms, 0));
        json_decref(forms);
    } else {
        o = json_pack("{s:o}", "anyOf", forms);
    }
    put_default(o, k);
    if (!(k->flags & EG_KEY_UNTRUSTED) && strchr("*]", k->path[strlen(k->path) - 1]) == NULL)
        json_object_set_new(o, "description", json_string("Only in a file that is trusted."));
    return o;
}

json_t *eg_schema_json(void)
{
    json_t *o = json_pack(
        "{s:s,s:s,s:s,s:s}", "$schema", "https://json-schema.org/draft/2020-12/schema", "title",
        "egress.yaml", "description",
        "The policy of a sandbox's network, version 1; see egress.yaml(5).", "type", "object");
    if (!o)
        return NULL;
    put_children(o, 0);
    json_object_set_new(o, "$defs", json_pack("{s:{s:[s,s,s]}}", "text", "type", "string", "number",
                                              "boolean"));
    return o;
}
