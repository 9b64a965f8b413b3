/* socks_wire.c - reads the three messages that a SOCKS5 client sends, octet by octet.
 *
 * It refuses instead of repairing: a reserved octet must be 0 (RFC 1928 section 4 says "must be
 * set to X'00'"), a destination goes through the one parser of hosts, and what is an address in
 * whatever spelling comes out as one. Every length is checked before it is used; nothing is read
 * behind the end of the message, so what a client sent ahead stays for whoever comes next. */
#include "proxy/socks.h"

enum { CONNECT = 1, BIND = 2, UDP_ASSOCIATE = 3, TYPE_V4 = 1, TYPE_NAME = 3, TYPE_V6 = 4 };

static const char layer[] = "socks";

static uint8_t at(struct eg_slice in, size_t i)
{
    return (uint8_t)in.p[i];
}

static enum eg_status bad(struct eg_err *err, const char *why)
{
    return eg_err_set(err, EG_BAD_REQUEST, layer, 0, "%s", why);
}

static enum eg_status greeting(struct eg_slice in, size_t *used, struct eg_socks_said *ret,
                               struct eg_err *err)
{
    if (in.n >= 1 && at(in, 0) != EG_SOCKS_VERSION)
        return bad(err, "the greeting is not of SOCKS version 5");
    if (in.n >= 2 && at(in, 1) == 0)
        return bad(err, "the greeting offers no method");
    if (in.n < 2 || in.n < 2u + at(in, 1))
        return EG_AGAIN;
    *used = 2u + at(in, 1);
    for (size_t i = 2; i < *used; i++) {
        ret->no_auth = ret->no_auth || at(in, i) == EG_SOCKS_NO_AUTH;
        ret->password_auth = ret->password_auth || at(in, i) == EG_SOCKS_PASSWORD;
    }
    return EG_OK;
}

/* RFC 1929 wants 1 to 255 octets in both. The user name is but a label here, and clients that were given none send none. */
static enum eg_status login(struct eg_slice in, size_t *used, struct eg_socks_said *ret,
                            struct eg_err *err)
{
    if (in.n >= 1 && at(in, 0) != 1)
        return bad(err, "the login is not of version 1 (RFC 1929)");
    size_t user = in.n >= 2 ? at(in, 1) : 0;
    if (in.n < 3 + user)
        return EG_AGAIN;
    size_t password = at(in, 2 + user);
    if (password == 0)
        return eg_err_set(err, EG_TOKEN_MISSING, layer, 0, "the password is empty");
    if (in.n < 3 + user + password)
        return EG_AGAIN;
    ret->user = eg_slice(in.p + 2, user);
    ret->password = eg_slice(in.p + 3 + user, password);
    *used = 3 + user + password;
    return EG_OK;
}

static enum eg_status wrong_type(struct eg_socks_said *ret, struct eg_err *err)
{
    ret->reply = EG_SOCKS_BAD_TYPE;
    return eg_err_set(err, EG_BAD_HOST, layer, 0, "the address type is none of SOCKS5");
}

/* The four octets before the destination; each is judged as soon as it is there. */
static enum eg_status head(struct eg_slice in, struct eg_socks_said *ret, struct eg_err *err)
{
    if (in.n >= 1 && at(in, 0) != EG_SOCKS_VERSION)
        return bad(err, "the request is not of SOCKS version 5");
    if (in.n >= 2 && at(in, 1) != CONNECT)
        return eg_err_set(err, EG_NOT_SUPPORTED, layer, 0,
                          at(in, 1) == BIND            ? "BIND is not supported"
                          : at(in, 1) == UDP_ASSOCIATE ? "UDP ASSOCIATE is not supported"
                                                       : "the command is not supported");
    if (in.n >= 3 && at(in, 2) != 0)
        return bad(err, "the reserved octet is not 0");
    if (in.n >= 4 && at(in, 3) != TYPE_V4 && at(in, 3) != TYPE_NAME && at(in, 3) != TYPE_V6)
        return wrong_type(ret, err);
    return in.n < 4 ? EG_AGAIN : EG_OK;
}

/* A name in the octets of a domain name: an address that is spelled there is an address. */
static enum eg_status read_name(struct eg_slice name, struct eg_authority *to, struct eg_err *err)
{
    struct eg_addr addr;
    if (!eg_addr_parse(name, &addr))
        return eg_host_parse(name, to, err);
    eg_authority_from_addr(&addr, 0, to);
    return EG_OK;
}

static enum eg_status request(struct eg_slice in, size_t *used, struct eg_socks_said *ret,
                              struct eg_err *err)
{
    enum eg_status status = head(in, ret, err);
    if (status != EG_OK)
        return status;
    uint8_t type = at(in, 3);
    size_t from = type == TYPE_NAME ? 5 : 4, n = type == TYPE_V4 ? 4 : 16;
    if (type == TYPE_NAME) {
        if (in.n < 5)
            return EG_AGAIN;
        n = at(in, 4);
        if (n == 0)
            return eg_err_set(err, EG_BAD_HOST, layer, 0, "the host is empty");
    }
    if (in.n < from + n + 2)
        return EG_AGAIN;
    uint16_t port = (uint16_t)(at(in, from + n) << 8 | at(in, from + n + 1));
    if (type == TYPE_NAME) {
        status = read_name(eg_slice(in.p + from, n), &ret->to, err);
    } else {
        struct eg_addr addr = { .family = type == TYPE_V4 ? 4 : 6 };
        memcpy(addr.b, in.p + from, n);
        eg_authority_from_addr(&addr, port, &ret->to);
    }
    if (status == EG_OK && port == 0)
        status = eg_err_set(err, EG_BAD_HOST, layer, 0, "the port is 0");
    if (status != EG_OK)
        return status;
    ret->to.port = port;
    ret->to.port_given = true;
    *used = from + n + 2;
    return EG_OK;
}

enum eg_status eg_socks_parse(enum eg_socks_part part, struct eg_slice in, size_t *used,
                              struct eg_socks_said *ret, struct eg_err *err)
{
    *ret = (struct eg_socks_said){ 0 };
    if (part == EG_SOCKS_GREETING)
        return greeting(in, used, ret, err);
    return part == EG_SOCKS_LOGIN ? login(in, used, ret, err) : request(in, used, ret, err);
}
