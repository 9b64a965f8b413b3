/* model_settings.c - dns, tls, via and audit: privileged settings, read from trusted files only. */
#include "policy/model.h"

static void read_dns(struct eg_model *m, const struct eg_yaml *dns)
{
    const struct eg_yaml *servers = eg_model_child(dns, "servers");
    const unsigned max = sizeof m->settings.dns_servers / sizeof *m->settings.dns_servers;
    if (!servers)
        return;
    if (servers->count == 0 || servers->count > max) {
        eg_diag_error(m->diags, "bad-value", servers->name_at, "leave dns out for the system's",
                      "servers names 1 to %u servers", max);
        return;
    }
    m->settings.dns_count = 0;
    for (const struct eg_yaml *node = servers->first; node; node = node->next) {
        struct eg_authority server;
        if (node->bad)
            continue;
        if (eg_authority_parse(node->text, 53, &server, NULL) != EG_OK || !server.literal) {
            eg_diag_error(m->diags, "bad-address", node->at, NULL,
                          "a name server is an address, such as 127.0.0.1:5353 or [::1]:53");
            continue;
        }
        m->settings.dns_servers[m->settings.dns_count++] =
            (struct eg_sockaddr){ server.addr, server.port };
    }
}

static void read_tls(struct eg_model *m, const struct eg_source *source, const struct eg_yaml *tls)
{
    const struct eg_yaml *ca = eg_model_child(tls, "ca");
    const struct eg_yaml *system = eg_model_child(tls, "system");
    if (ca)
        m->settings.ca_pem = eg_model_pem(m, source, ca, "CERTIFICATE");
    if (system)
        m->settings.ca_system = system->number == 1;
    if (system && !m->settings.ca_system && !ca && m->settings.ca_pem.n == 0)
        eg_diag_error(m->diags, "bad-value", system->name_at, "name a CA with tls.ca",
                      "without the system's CAs nothing would be trusted");
}

static void read_audit(struct eg_model *m, const struct eg_source *source,
                       const struct eg_yaml *audit)
{
    const struct eg_yaml *capacity = eg_model_child(audit, "capacity");
    const struct eg_yaml *destinations = eg_model_child(audit, "destinations");
    const struct eg_yaml *file = eg_model_child(audit, "file");
    const struct eg_yaml *strict = eg_model_child(audit, "strict");
    if (capacity)
        m->settings.audit_capacity = (uint32_t)capacity->number;
    if (destinations)
        m->settings.audit_destinations = (uint8_t)destinations->number;
    if (file)
        m->settings.audit_file = eg_model_path(m, source, file->text);
    if (strict)
        m->settings.audit_strict = strict->number == 1;
}

void eg_model_add_settings(struct eg_model *m, const struct eg_source *source,
                           const struct eg_yaml *root)
{
    const struct eg_yaml *via = eg_model_child(root, "via");
    read_dns(m, eg_model_child(root, "dns"));
    read_tls(m, source, eg_model_child(root, "tls"));
    read_audit(m, source, eg_model_child(root, "audit"));
    if (via)
        m->settings.via = via->number == 1;
}
