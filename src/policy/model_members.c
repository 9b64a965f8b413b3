/* model_members.c - of a service: limits, redaction, trailers, WebSocket, and the keys that its upstream may have. */
#include "policy/model.h"

#include <sodium.h>

static void read_limits(struct eg_model_service *s, const struct eg_yaml *limits)
{
    const struct eg_yaml *requests = eg_model_child(limits, "requests_per_minute");
    const struct eg_yaml *request = eg_model_child(limits, "request_bytes");
    const struct eg_yaml *response = eg_model_child(limits, "response_bytes");
    const struct eg_yaml *concurrent = eg_model_child(limits, "concurrent");
    s->s.limits = (struct eg_service_limits){
        .requests_per_minute = requests ? (uint32_t)requests->number : 0,
        .concurrent = concurrent ? (uint32_t)concurrent->number : 0,
        .request_bytes = request ? request->number : 0,
        .response_bytes = response ? response->number : 0,
    };
}

/* What a credential may stand in. */
static bool is_credential(const struct eg_model_service *s, struct eg_slice name)
{
    static const char *const known[] = { "authorization", "cookie", "set-cookie",
                                         "www-authenticate" };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (eg_slice_caseeq(name, eg_slice_str(known[i])))
            return true;
    for (unsigned i = 0; i < s->s.accept_count; i++)
        if (s->s.accept[i].kind == EG_SLOT_HEADER && eg_slice_caseeq(s->s.accept[i].name, name))
            return true;
    return false;
}

static void take_trailer(struct eg_model *m, struct eg_model_service *s, const struct eg_yaml *node)
{
    struct eg_slice name = node->text;
    if (!eg_model_field_name(m, node, name))
        return;
    if (is_credential(s, name)) {
        eg_model_bad_slot(m, node, "bad-header", NULL, "a field of credentials is no trailer");
        return;
    }
    for (unsigned i = 0; i < s->s.trailer_count; i++)
        if (eg_slice_caseeq(s->s.trailers[i], name)) {
            eg_model_bad_slot(m, node, "duplicate-name", "remove one of the two",
                              "this trailer is named already");
            return;
        }
    s->s.trailers[s->s.trailer_count++] = name;
}

void eg_model_read_members(struct eg_model *m, struct eg_model_service *s,
                           const struct eg_yaml *service)
{
    const struct eg_yaml *redact = eg_model_child(service, "redact");
    const struct eg_yaml *websocket = eg_model_child(service, "websocket");
    bool credential = s->s.credential.n > 0;
    read_limits(s, eg_model_child(service, "limits"));
    eg_model_each(m, s, eg_model_child(service, "trailers"), EG_SERVICE_TRAILERS, take_trailer);
    s->s.websocket = websocket && websocket->number == 1;
    s->s.redact = credential && !(redact && redact->number == 0);
    if (redact && !credential && !eg_yaml_get(service, "credential"))
        eg_diag_error(m->diags, "unknown-credential", redact->name_at,
                      "name it with credential:", "the service has no credential");
    else if (redact && credential && !s->s.redact)
        eg_diag_warning(m->diags, "redaction-off", redact->name_at, "remove it",
                        "an upstream that echoes the credential gives it to the child");
}

/* sha256/ and the base64 of 32 bytes, as RFC 7469 and curl have it. */
static bool read_pin(struct eg_slice text, struct eg_slice *ret)
{
    unsigned char digest[32];
    size_t n = 0;
    if (!eg_slice_starts(text, EG_SLICE("sha256/")))
        return false;
    *ret = eg_slice_from(text, 7);
    return sodium_base642bin(digest, sizeof digest, ret->p, ret->n, NULL, &n, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           n == sizeof digest;
}

void eg_model_read_pins(struct eg_model *m, const struct eg_yaml *pin,
                        struct eg_slice pins[EG_SERVICE_PINS], unsigned *count)
{
    bool one = pin && pin->kind == EG_YAML_TEXT;
    if (!pin)
        return;
    if (!one && (pin->count == 0 || pin->count > EG_SERVICE_PINS)) {
        eg_diag_error(m->diags, "bad-value", pin->name_at, NULL, "pin names 1 to %d keys",
                      EG_SERVICE_PINS);
        return;
    }
    for (const struct eg_yaml *node = one ? pin : pin->first; node;
         node = one ? NULL : node->next) {
        if (node->bad)
            continue;
        if (read_pin(node->text, &pins[*count]))
            ++*count;
        else
            eg_diag_error(m->diags, "bad-pin", node->at,
                          "write \"sha256/\" and the base64 of the SHA-256 of the public key",
                          "this is not the pin of a key");
    }
}
