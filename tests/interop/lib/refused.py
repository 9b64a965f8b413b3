"""What must be refused, and that the origin saw nothing of it."""

from lib.world import check


def untouched(*origins):
    for o in origins:
        check(o.connections == 0 and not o.received, f"an origin saw {o.connections} connections and {o.received!r}")


def reasons(world):
    return {e["reason"] for e in world.events() if e.get("decision") == "deny"}


def curl(world, url):
    return world.run("sh", "-c", f'curl -sS --cacert "$CA" -o /dev/null -w "%{{http_connect}} %{{http_code}}" {url}')


def test_host_that_no_rule_names(world):
    r = curl(world, '"https://$UNNAMED/"')
    check(r.code != 0 and r.out.startswith("403"), r)
    check("host_not_allowed" in reasons(world), world.events())
    check("unnamed.interop.test" in r.err and "host_not_allowed" in r.err, f"the summary does not tell: {r}")
    check(world.names.asked == [], f"names were asked for: {world.names.asked}")
    untouched(world.api, world.local)


def test_service_host_by_tunnel(world):
    r = curl(world, '"https://svc.interop.test:$API_PORT/"')
    check(r.code != 0 and r.out.startswith("403"), r)
    untouched(world.api)


def test_port_that_no_rule_names(world):
    r = curl(world, '"https://api.interop.test:444/"')
    check(r.code != 0 and r.out.startswith("403"), r)
    check("port_not_allowed" in reasons(world), world.events())


def test_name_that_leads_to_loopback(world):
    r = curl(world, '"https://$LOOP/"')
    check(r.code != 0 and r.out.startswith("403"), r)
    check("address_denied" in reasons(world), world.events())
    untouched(world.local)


def test_name_that_leads_to_metadata(world):
    r = curl(world, "http://meta.interop.test/latest/meta-data/")
    check(r.out.endswith("403"), r)
    check("metadata_denied" in reasons(world), world.events())


def test_connect_without_a_token_is_challenged_on_a_connection_that_stays(world):
    r = world.python("proxy.py", "challenge")
    check(r.code == 0, r)
    check(r.out.startswith("HTTP/1.1 407 "), r)
    check('proxy-authenticate: basic realm="egress"' in r.out.lower(), r)
    check("THEN HTTP/1.1 200" in r.out and "INSIDE HTTP/1.1 200" in r.out, r)
    check("api.interop.test" not in r.out.split("THEN")[0], f"the challenge tells of the policy: {r}")


def test_wrong_token(world):
    r = world.python("proxy.py", "wrong_token")
    check(r.out.startswith("HTTP/1.1 407 "), r)
    untouched(world.api)


def test_other_server_name_in_the_tunnel(world):
    for name in ("other.interop.test", "-"):
        r = world.python("proxy.py", "sni", name)
        check("HTTP/1.1 200" in r.out and "CUT" in r.out and "DONE" not in r.out, r)
        check("sni_mismatch" in reasons(world), world.events())
    check(world.api.hellos == 0 and not world.api.received, "bytes reached the origin")


def test_no_tls_in_the_tunnel(world):
    r = world.python("proxy.py", "plaintext")
    check("HTTP/1.1 200" in r.out and "HTTP/1.1 200 " not in r.out[15:], r)
    check("not_tls" in reasons(world), world.events())
    check(world.api.hellos == 0, "bytes reached the origin")


def test_ways_that_ignore_the_proxy(world):
    r = world.python("proxy.py", "direct")
    check(r.code == 0 and "REACHED" not in r.out and r.out.count("refused") == 9, r)
    r = world.run("sh", "-c", 'curl -sS --noproxy "*" --cacert "$CA" --resolve "$API:127.0.0.2" "https://$API/"')
    check(r.code == 7, r)
    r = world.run("sh", "-c", 'curl -sS --noproxy "*" -m 10 "https://$API/"')
    check(r.code == 6, r)
    untouched(world.api)


def test_key_of_its_own_on_a_route(world):
    r = world.run("sh", "-c", 'curl -sS -o /dev/null -w "%{http_code}" -H "Authorization: Bearer sk-mine" "$OPENAI_BASE_URL/models"')
    check(r.out == "401", r)
    r = world.run("sh", "-c", 'curl -sS -o /dev/null -w "%{http_code}" "$OPENAI_BASE_URL/models"')
    check(r.out == "401", r)
    untouched(world.api)


def test_phantom_of_another_service(world):
    r = world.run("sh", "-c", 'curl -sS -o /dev/null -w "%{http_code}" -H "Authorization: Bearer $FILED_API_KEY" "$OPENAI_BASE_URL/models"')
    check(r.out in ("401", "403"), r)
    untouched(world.api)


def test_phantom_where_it_does_not_belong(world):
    r = world.run("sh", "-c", 'curl -sS -o /dev/null -w "%{http_code}" -H "X-Note: $OPENAI_API_KEY" "http://$PLAIN/"')
    check(r.out == "403", r)
    untouched(world.plain)


def test_foreign_host_on_a_route(world):
    r = world.run("sh", "-c", 'curl -sS -o /dev/null -w "%{http_code}" -H "Host: evil.example" -H "Authorization: Bearer $OPENAI_API_KEY" '
                  '"$OPENAI_BASE_URL/models"')
    check(r.out == "421", r)
    untouched(world.api)
