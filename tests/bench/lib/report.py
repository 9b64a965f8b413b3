# report.py - what is printed: tables of medians with their spread, ratios round by round, and the marks.
import os
import statistics


def say(text=''):
    print(text, flush=True)


def table(head, lines):
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    for n, line in enumerate([head, *lines]):
        say('  ' + '  '.join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))).rstrip())
        if n == 0:
            say('  ' + '  '.join('-' * w for w in widths))


def show(bench, title, keys, parties):
    rows = [bench.rows[k] for k in keys if k in bench.rows]
    if not rows:
        return
    say(f'\n{title}  (median (min..max) of {bench.rounds} rounds)')
    peer = parties[-1]
    table(['', *parties, f'egressd / {peer}'],
          [[f'{r.name}, {r.unit}', *(r.text(p) for p in parties), r.against('egressd', peer)] for r in rows])


def compare(bench, title, keys):
    """A line for each party; each row with the ratio of egressd to that party."""
    rows = [bench.rows[k] for k in keys if k in bench.rows]
    if not rows:
        return
    say(f'\n{title}  (median (min..max) of the rounds; x: egressd to that party)')
    head, lines = [''], []
    for r in rows:
        head += [f'{r.name}, {r.unit}' if r.unit else r.name, 'x']
    for party in bench.peers:
        if any(r.values(party) for r in rows):
            lines.append([party, *(c for r in rows for c in (r.text(party), '' if party == 'egressd' else r.against('egressd', party)))])
    table(head, lines)


def added(bench):
    for key in ('rtt50', 'rtt99'):
        r = bench.rows.get(key)
        for party in ('egressd', 'squid'):
            pairs = [a - b for a, b in zip(r.samples.get(party, []), r.samples.get('direct', []))] if r else []
            if pairs:
                say(f'  {r.name}: {party} adds {statistics.median(pairs):.1f} us to direct')


def ratio(bench, key, peer, party='egressd'):
    return bench.rows[key].ratio(party, peer) if key in bench.rows else None


def median(bench, key):
    return bench.rows[key].median('egressd') if key in bench.rows else None


def crowded(bench):
    """p99 of a fresh tunnel beside the crowd, to its quiet value of the same round."""
    a, b = (bench.rows.get(k) for k in ('crowd_beside', 'crowd_quiet'))
    found = [x / y for x, y in zip(a.values('egressd'), b.values('egressd'))] if a and b else []
    return statistics.median(found) if found else None


def to_best(bench, key, kinds):
    """The ratio to the fastest peer of those kinds, which is the least of the ratios, and who that is."""
    found = [(v, p.name) for p in bench.peers.values() if p.kind in kinds and not p.floor and not p.name.startswith('egressd')
             for v in [ratio(bench, key, p.name)] if v]
    return min(found) if found else (None, 'none measured')


def of_issue_2(bench):
    return [
        ('tunnels per second, 1 at once', ratio(bench, 'tunnels1', 'squid'), '>=', 1.5, "x squid's"),
        ('tunnels per second, 16 at once', ratio(bench, 'tunnels16', 'squid'), '>=', 1.5, "x squid's"),
        ('bulk CPU per GB', ratio(bench, 'bulk_cpu', 'squid'), '<=', 1 / 3, "x squid's"),
        ('small reverse requests, 1 at once', ratio(bench, 'requests1', 'nginx'), '>=', 0.5, "x nginx's"),
        ('small reverse requests, 16 at once', ratio(bench, 'requests16', 'nginx'), '>=', 0.5, "x nginx's"),
        ('first tunnel from exec, a policy of tunnels', median(bench, 'tunnel_alone'), '<=', 5, 'ms'),
        ('first tunnel from exec, with a service', median(bench, 'first_tunnel'), '<=', 5, 'ms'),
        ('first TLS route from exec', median(bench, 'first_route'), '<=', 25, 'ms'),
    ]


def of_issue_3(bench):
    best, who = to_best(bench, 'bulk4', ('connect',))
    list_of = [
        ('bulk rate, 4 tunnels', ratio(bench, 'bulk4', 'relay'), '>=', 0.9, "x the relay's"),
        ('bulk rate, 4 tunnels, to the best CONNECT peer', best, '>=', 1.5, f"x {who}'s"),
        ('bulk CPU per GB, 4 tunnels', ratio(bench, 'bulk4_cpu', 'relay'), '<=', 1.5, "x the relay's"),
        ('bulk CPU per GB, 4 tunnels', ratio(bench, 'bulk4_cpu', 'squid'), '<=', 0.3, "x squid's"),
    ]
    for c in (1, 16):
        best, who = to_best(bench, f'tunnels{c}', ('connect', 'socks'))
        list_of += [
            (f'tunnels per second, {c} at once', ratio(bench, f'tunnels{c}', 'relay'), '>=', 0.85, "x the relay's"),
            (f'tunnels per second, {c} at once', ratio(bench, f'tunnels{c}', 'relay connect'), '>=', 0.85,
             "x the relay's that answers CONNECT"),
            (f'tunnels per second, {c} at once, to the best that parses', best, '>=', 1, f"x {who}'s"),
            (f'CPU of a tunnel, {c} at once', ratio(bench, f'tunnels{c}_cpu', 'tinyproxy'), '<=', 0.6, "x tinyproxy's"),
        ]
    return list_of + [
        ('round trip of one byte, p50, one core', ratio(bench, 'byte50', 'relay'), '<=', 1.15, "x the relay's"),
        ('system calls of a round trip', ratio(bench, 'calls', 'relay'), '<=', 1, "x the relay's"),
        ('resident memory of an idle tunnel', median(bench, 'memory_each'), '<=', 2, 'KiB'),
        ('pipe ends held by idle tunnels', median(bench, 'pipes'), '<=', 0, ''),
        ('p99 of a fresh tunnel beside the crowd', crowded(bench), '<=', 2, 'x its quiet value'),
        ('descriptors left by the crowd', median(bench, 'crowd_left'), '<=', 0, ''),
        ('first tunnel from exec, a policy of tunnels', median(bench, 'tunnel_alone'), '<=', 3, 'ms'),
    ]


def least(bench, key, pick):
    """The ratio to the better of nginx and haproxy: pick is min where more is better, max where less is."""
    found = [(v, p) for p in ('nginx', 'haproxy') for v in [ratio(bench, key, p)] if v]
    return pick(found) if found else (None, 'none measured')


def of_issue_4(bench):
    lines = []
    for c in (1, 16):
        value, who = least(bench, f'requests{c}', min)
        lines.append((f'100-byte answers per second, {c} at once', value, '>=', 1, f"x {who}'s"))
        value, who = least(bench, f'requests{c}_cpu', max)
        lines.append((f'CPU of a 100-byte answer, {c} at once', value, '<=', 1, f"x {who}'s"))
    for party, mark, how in (('egressd bare', 0.7, 'redaction off'), ('egressd', 0.9, 'redaction on')):
        lines.append((f'CPU per GB of 10 MiB answers, {how}', ratio(bench, 'large_cpu', 'nginx', party), '<=', mark, "x nginx's"))
    lines += [('CPU per GB of 1 MiB uploads', ratio(bench, 'uploads_cpu', 'haproxy'), '<=', 0.7, "x haproxy's"),
              ('first event of a stream, p50', ratio(bench, 'events', 'nginx'), '<=', 1, "x nginx's"),
              ('added to a kept-alive direct TLS connection, p50', beyond(bench), '<=', 50, 'us')]
    return lines


def of_issue_5(bench):
    return [('start of a sandbox, beyond bubblewrap\'s', later(bench, 'egressctl'), '<=', 10, 'ms'),
            ('start of a sandbox with a service, beyond bubblewrap\'s', later(bench, 'egressctl, a service'), '<=', 10, 'ms'),
            ('supervisor and worker of a run, PSS', largest(bench, 'sandbox_pss'), '<=', 10, 'MiB'),
            ('supervisor and worker of a run, sum of RSS', largest(bench, 'sandbox_rss'), '<=', 10, 'MiB')]


def slowest(bench, party, prefix='decide_'):
    """Of all kinds of questions that were asked of that policy, what the slowest costs."""
    found = [r.median(party) for k, r in bench.rows.items() if k.startswith(prefix)]
    return max((v for v in found if v is not None), default=None)


def of_issue_6(bench):
    one = bench.rows.get('decide_hit')
    return [(f'a decision, {party}, the slowest kind', slowest(bench, party), '<=', 300, 'ns')
            for party in ('10 hosts', '1,000 hosts', '100,000 hosts', '1,000 paths')] + [
            ('a name among 100,000 host rules', one.ratio('100,000 hosts', '1,000 hosts') if one else None, '<=', 2,
             'x among 1,000: what the caches do not hold'),
            ('compile 100,000 host rules, CPU', median_of(bench, 'compile_ms'), '<=', 1000, 'ms'),
            ('memory to compile them, at most', median_of(bench, 'compile_peak'), '<=', 128, 'MiB'),
            ('memory of `policy check` of them', median_of(bench, 'check_peak'), '<=', 128, 'MiB')]


def median_of(bench, key, party='100,000 hosts'):
    return bench.rows[key].median(party) if key in bench.rows else None


def decisions(bench):
    """A column for each policy, a line for each kind of question."""
    rows = [r for k, r in bench.rows.items() if k.startswith(('decide_', 'compile_', 'check_')) and r.samples]
    if not rows:
        return
    parties = list(dict.fromkeys(p for r in rows for p in r.samples))
    say(f'\nDecisions, CPU each: policies of so many rules, most of them outside of the caches  (median (min..max) of {bench.rounds} rounds)')
    table(['', *parties], [[f'{r.name}, {r.unit}', *(r.text(p) for p in parties)] for r in rows])


def later(bench, party):
    r = bench.rows.get('sandbox')
    pairs = [a - b for a, b in zip(r.samples.get(party, []), r.samples.get('bwrap', []))] if r else []
    return statistics.median(pairs) if pairs else None


def largest(bench, key):
    r = bench.rows.get(key)
    return max((r.median(party) for party in r.samples), default=None) if r else None


def sandboxes(bench):
    rows = [bench.rows[k] for k in ('sandbox', 'sandbox_pss', 'sandbox_rss') if k in bench.rows]
    if rows:
        say(f'\nA sandbox for /bin/true, from exec to its end; what supervisor and worker hold  (median (min..max) of {bench.rounds} rounds)')
        parties = [p for p in rows[0].samples]
        table(['', *parties], [[f'{r.name}, {r.unit}', *(r.text(p) for p in parties)] for r in rows])


def beyond(bench):
    r = bench.rows.get('requests1_p50')
    pairs = [a - b for a, b in zip(r.samples.get('egressd', []), r.samples.get('direct', []))] if r else []
    return statistics.median(pairs) if pairs else None


def marks(bench):
    say('\nMarks')
    if bench.load > (os.cpu_count() or 1):
        say(f'  the machine was busy (load {bench.load:.1f}): trust CPU per unit more than rates and times')
    lines = []
    for name, value, sign, mark, unit in (*of_issue_2(bench), *of_issue_3(bench), *of_issue_4(bench), *of_issue_5(bench), *of_issue_6(bench)):
        if value is None:
            lines.append([name, '-', f'{sign} {mark:.2f} {unit}', 'not measured'])
            continue
        rounded = round(value, 2)  # as it is printed
        good = rounded >= mark if sign == '>=' else rounded <= round(mark, 2)
        lines.append([name, f'{value:.2f}', f'{sign} {mark:.2f} {unit}', 'reached' if good else 'MISSED'])
    table(['', 'measured', 'mark', ''], lines)


def routes(bench):
    ours = ('egressd', 'egressd bare', 'nginx', 'haproxy')
    for title, keys, parties in (
            ('Routes: a credential put in, TLS to the origin, one at a time', [f'requests1{k}' for k in ('', '_p50', '_p99', '_cpu')],
             ('direct', *ours)),
            ('Routes, 16 at once (plain: to the origin, without TLS)', [f'requests16{k}' for k in ('', '_p50', '_p99', '_cpu')],
             ('plain', *ours)),
            ('Routes: bodies (bare: without redaction)', ['medium', 'medium_cpu', 'large', 'large_cpu', 'uploads', 'uploads_cpu'], ours),
            ('Routes: events', ['events', 'events_p99'], ('direct', *ours)),
            ('Routes: memory', ['pooled_each', 'client_each'], ('egressd', 'nginx', 'haproxy'))):
        show(bench, title, keys, parties)


def report(bench):
    show(bench, 'Tunnels', ('bulk', 'bulk_cpu', 'tunnels1', 'tunnels1_cpu', 'tunnels16', 'tunnels16_cpu', 'rtt50',
                            'rtt99'), ('direct', 'egressd', 'squid'))
    added(bench)
    compare(bench, 'Bulk in four tunnels', ('bulk4', 'bulk4_cpu'))
    compare(bench, 'Tunnels opened, used once and closed, one at a time', ('tunnels1', 'tunnels1_cpu'))
    compare(bench, 'Tunnels opened, used once and closed, 16 at once', ('tunnels16', 'tunnels16_cpu'))
    compare(bench, 'Round trip of one byte, all on one core', ('byte50', 'calls'))
    compare(bench, 'Idle tunnels', ('memory_each', 'pipes'))
    compare(bench, 'Beside 5,000 idle tunnels, 1,000 busy ones and 200 slow handshakes', ('crowd_quiet', 'crowd_beside', 'crowd_left'))
    compare(bench, 'From exec to the first bytes through a tunnel', ('tunnel_alone',))
    for peer in bench.peers.values():
        if peer.note and peer.name not in bench.missing:
            say(f'  {peer.name}: {peer.note}')
    routes(bench)
    show(bench, 'Memory', ('memory_rss', 'memory_pss', 'memory_held', 'memory_each'), ('egressd', 'squid'))
    show(bench, 'Start', ('ready', 'tunnel_alone', 'first_tunnel', 'first_route', 'start_cpu'), ('egressd', 'squid', 'nginx'))
    sandboxes(bench)
    decisions(bench)
    marks(bench)
    for failure in bench.failures:
        say(f'failed: {failure}')
