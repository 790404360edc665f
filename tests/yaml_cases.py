"""The YAML files of the tests: whole ones, and one mistake at a time with what is said of it.

A mistake is (text, (line, column), a part of the message, a part of the hint) of the first problem.
"""

from __future__ import annotations

CLUSTER = """\
cluster: demo
heartbeat: {interval: 500ms, suspect: 3, down: 6, packet: 8192, overflow: wait}
coordinator: external
security: curve
keys: keys
limit: {count: 1000, within: 1m}
backup: {every: 12h, keep: 7}
retention: {size: 10GiB, logs: 30d, history: 730d}
nodes:
  db1: {address: 127.0.0.1, port: 7400}
  db2: {address: 10.0.0.2, port: 7400}
"""

NODE = """\
node: db1
shared: /srv/noroshi
state: /var/lib/noroshi
run: /run/noroshi
logs:
  - {path: /var/log/*.log, select: ["error", "fail"], except: ["harmless"], deferred: true}
  - {path: /var/log/all}
  - {path: /srv/app.log, encoding: shift_jis, record: {start: '^\\d{4}-'}, record_timeout: 5s, rate: 1000/s, burst: 99}
  - {path: /srv/trace.log, record: indented, rate: 60/m}
  - {journal: true, units: [nginx.service, "user@*"], priority: warning, select: [fail], except: [harmless]}
  - {journal: true, deferred: true, command: [/usr/bin/journalctl, -D, /var/log/remote]}
events: {only: ["server/*", "raid/**"], except: ["server/test*"]}
monitors:
  filesystem: {interval: 10s, warning: 80, write: [/srv]}
  raid: false
  link: {interfaces: [eth0, "bond*"], addresses: [192.0.2.7, "2001:db8::7"]}
  unit: {except: ["user@*"], command: [/usr/bin/sudo, /bin/systemctl]}
  smart: {command: /usr/sbin/smartctl, devices: [/dev/sda], retries: 5, window: 1h}
  command:
    - {name: backup, run: [/usr/local/bin/check_backup, --age, "1d"], interval: 5m, timeout: 30s, match: "fresh|new"}
    - {name: load, run: [/usr/lib/nagios/plugins/check_load]}
spool: {size: 512MiB, age: 14d}
notifier:
  programs: [/usr/local/bin/page, bin/local]
  user: noroshi
  default: {procedure: process, application: [/usr/local/bin/page, --team, all]}
signals:
  USR1: {event: app/batch, state: STARTED}
  RTMIN+3: {event: app/batch, state: ENDED, supplement: by hand}
"""

SMALL_NODE = "node: db1\nshared: s\nstate: t\nrun: r\n"


def in_cluster(line: str) -> str:
    return f"cluster: x\nnodes: {{a: {{address: 10.0.0.1, port: 7400}}}}\n{line}\n"


def with_node(text: str) -> str:
    return f"cluster: x\nnodes:\n  a: {{address: 10.0.0.1, port: 7400}}\n  {text}\n"


CLUSTER_MISTAKES = [
    ("", (1, 1), "must be a mapping, here is nothing", ""),
    ("- a\n", (1, 1), "must be a mapping, here is a list", ""),
    ("cluster: x\n", (1, 1), "lacks 'nodes'", ""),
    ("cluster: x\nnodes: {}\n", (2, 8), "nodes is empty", ""),
    (in_cluster("hartbeat: {}"), (3, 1), "unknown key 'hartbeat'", "did you mean 'heartbeat'?"),
    (in_cluster("heartbeat: {intervall: 1s}"), (3, 13), "unknown key 'intervall'", "'interval'"),
    (in_cluster("heartbeat: {Interval: 1s}"), (3, 13), "unknown key 'Interval'", "'interval'"),
    (in_cluster("heartbeat: {interval: 1}"), (3, 23), "no unit", "like 500ms"),
    (in_cluster("heartbeat: {interval: 0.5}"), (3, 23), "no unit", "like 500ms"),
    (in_cluster("heartbeat: {interval: 0.5s}"), (3, 23), "not a duration", "whole numbers"),
    (in_cluster("heartbeat: {interval: 1 s}"), (3, 23), "not a duration", "whole numbers"),
    (in_cluster("heartbeat: {interval: 49ms}"), (3, 23), "from 50ms to 10m", ""),
    (in_cluster("heartbeat: {interval: 11m}"), (3, 23), "from 50ms to 10m", ""),
    (in_cluster("heartbeat: {suspect: 0}"), (3, 22), "from 1 to 1000", ""),
    (in_cluster('heartbeat: {suspect: "2"}'), (3, 22), "whole number", "leave the quotes out"),
    (in_cluster("heartbeat: {suspect: 2.0}"), (3, 22), "whole number", ""),
    (in_cluster("heartbeat: {suspect: 4}"), (3, 22), "down (4) must be more than suspect (4)", "missed"),
    (in_cluster("heartbeat: {suspect: 5, down: 5}"), (3, 31), "must be more than", "missed"),
    (in_cluster("heartbeat: {packet: 511}"), (3, 21), "from 512 to 65000", ""),
    (in_cluster("heartbeat: {packet: 65001}"), (3, 21), "from 512 to 65000", ""),
    (in_cluster("heartbeat: {overflow: drop}"), (3, 23), "unknown overflow 'drop'", "known here: flush, wait"),
    (in_cluster("heartbeat:"), (3, 11), "here is nothing", ""),
    (in_cluster("coordinator: auto"), (3, 14), "unknown coordinator 'auto'", "'automatic'"),
    (in_cluster("security: on"), (3, 11), "must be text", '"on"'),
    (in_cluster("security: curve"), (3, 11), "needs keys", "keys: DIRECTORY"),
    (in_cluster("limit: {count: 5}"), (3, 8), "limit lacks 'within'", ""),
    (in_cluster("backup: true"), (3, 9), "must be a mapping", ""),
    (in_cluster("backup: {keep: 0}"), (3, 16), "from 1 to 100", ""),
    (in_cluster("backup: {every: 9s}"), (3, 17), "from 10s to 30d", ""),
    (in_cluster("retention: {size: 1MiB}"), (3, 19), "from 8MiB to 1TiB", ""),
    (in_cluster("retention: {logs: 59m}"), (3, 19), "from 1h to 3650d", ""),
    (in_cluster("retention: {history: 23h}"), (3, 22), "from 1d to 3650d", ""),
    (in_cluster("retention: {age: 1d}"), (3, 13), "unknown key 'age'", ""),
    (in_cluster("keys: ~/keys"), (3, 7), "begins with '~'", "whole path"),
    ("cluster: a/b\nnodes: {a: {address: 10.0.0.1, port: 1}}\n", (1, 10), "holds '/'", "use letters"),
    (with_node("b: {address: 10.0.0.2}"), (4, 6), "lacks 'port'", ""),
    (with_node("b: {address: 10.0.0.2, port: 0}"), (4, 32), "from 1 to 65533", ""),
    (with_node("b: {address: 10.0.0.2, port: 65534}"), (4, 32), "from 1 to 65533", ""),
    (with_node("b: {address: 10.0.0.2, port: true}"), (4, 32), "whole number", ""),
    (with_node("b: {address: 10.0.0.2, port: 1:30}"), (4, 32), "whole number", ""),
    (with_node("b: {address: db2.example, port: 1}"), (4, 16), "must be an IPv4 address", "name server"),
    (with_node("b: {address: 10.0.0, port: 1}"), (4, 16), "must be", ""),
    (with_node('b: {address: "::1", port: 1}'), (4, 16), "must be an IPv4 address", ""),
    (with_node("b: {address: 0.0.0.0, port: 1}"), (4, 16), "no address of one node", "reach it"),
    (with_node("b: {address: 224.0.0.1, port: 1}"), (4, 16), "no address of one node", "reach it"),
    (with_node("b: {address: 10.0.0.1, port: 7402}"), (4, 6), "overlap those of 'a'", "three ports"),
    (with_node("a: {address: 10.0.0.2, port: 1}"), (4, 3), "'a' stands twice, first in line 3", ""),
    (with_node("no: {address: 10.0.0.2, port: 1}"), (4, 3), "must be text", '"no"'),
    (with_node("7: {address: 10.0.0.2, port: 1}"), (4, 3), "must be text", '"7"'),
    (with_node('"a b": {address: 10.0.0.2, port: 1}'), (4, 3), "holds ' '", "use letters"),
    (with_node('"a\\u200b": {address: 10.0.0.2, port: 1}'), (4, 3), "holds '\\u200b'", ""),
    (with_node('"a\\x1b": {address: 10.0.0.2, port: 1}'), (4, 3), "control character U+001B", ""),
    (with_node('"": {address: 10.0.0.2, port: 1}'), (4, 3), "is empty", ""),
    (with_node('"*": {address: 10.0.0.2, port: 1}'), (4, 3), "holds '*'", ""),
    (with_node("..: {address: 10.0.0.2, port: 1}"), (4, 3), "begins with '.'", "letter"),
    (with_node(f"{'x' * 64}: {{address: 10.0.0.2, port: 1}}"), (4, 3), "longer than 63", ""),
]


# what follows SMALL_NODE, which has four lines
NODE_MISTAKES = [
    ("spool: {size: 1MiB}", (5, 15), "must be from 2MiB to 1TiB", ""),
    ("spool: {size: 64}", (5, 15), "has no unit", "like 512KiB"),
    ("spool: {age: 7}", (5, 14), "has no unit", "like"),
    ("spool: 64MiB", (5, 8), "must be a mapping", ""),
    ("log: []", (5, 1), "unknown key 'log'", "did you mean 'logs'?"),
    ("logs:", (5, 6), "must be a list, here is nothing", ""),
    ("logs: [{select: [a]}]", (5, 8), "lacks 'path'", ""),
    ("logs: [{path: a, select: error}]", (5, 26), "must be a list", "write ["),
    ('logs: [{path: a, select: ["a[b"]}]', (5, 27), "unterminated character set at character 2", "put \\"),
    ('logs: [{path: a, except: ["x", "(a"]}]', (5, 32), "missing ), unterminated subpattern at character 1", ""),
    ('logs: [{path: a, select: ["*"]}]', (5, 27), "nothing to repeat at character 1", ""),
    ('logs: [{path: a, select: [""]}]', (5, 27), "is empty", ""),
    ('logs: [{path: a, select: ["[[a]"]}]', (5, 27), "Possible nested set", ""),
    ('logs: [{path: a, select: ["a{99999999999}"]}]', (5, 27), "not a regular expression", ""),
    (f'logs: [{{path: a, select: ["{"(" * 600}"]}}]', (5, 27), "not a regular expression", ""),
    (f'logs: [{{path: a, select: ["{"a" * 1001}"]}}]', (5, 27), "longer than 1000", ""),
    ("logs: [{path: a, select: [404]}]", (5, 27), "must be text", '"404"'),
    ("logs: [{path: a, deferred: 1}]", (5, 28), "must be true or false", ""),
    ("logs: [{journal: false}]", (5, 18), "journal must be true", "leave the whole entry out"),
    ("logs: [{journal: true, path: a}]", (5, 24), "unknown key 'path' in a journal rule", "known here"),
    ("logs: [{path: a, units: [x]}]", (5, 18), "unknown key 'units' in a log rule", ""),
    ("logs: [{journal: true, unit: x}]", (5, 24), "unknown key 'unit'", "did you mean 'units'?"),
    ("logs: [{journal: true, units: x}]", (5, 31), "must be a list", "write ["),
    ("logs: [{journal: true, priority: warn}]", (5, 34), "unknown priority 'warn'", "did you mean 'warning'?"),
    ("logs: [{journal: true, command: [journalctl]}]", (5, 34), "must be an absolute path", ""),
    ("logs: [{path: ~}]", (5, 15), "here is nothing", ""),
    ("logs: [{path: a, encoding: utf-9}]", (5, 28), "unknown encoding 'utf-9'", "did you mean 'utf-8'?"),
    ("logs: [{path: a, encoding: cp500}]", (5, 28), "none in which a newline is the byte 0x0A", "among others: utf-8"),
    ("logs: [{path: a, encoding: utf-32}]", (5, 28), "none in which a newline is the byte 0x0A", ""),
    ("logs: [{path: a, encoding: rot13}]", (5, 28), "none in which a newline is the byte 0x0A", ""),
    ("logs: [{path: a, encoding: 8859}]", (5, 28), "must be text", '"8859"'),
    ("logs: [{path: a, record: indent}]", (5, 26), "unknown record 'indent'", "did you mean 'indented'?"),
    ("logs: [{path: a, record: [x]}]", (5, 26), "record must be a mapping, here is a list", ""),
    ("logs: [{path: a, record: {}}]", (5, 26), "lacks 'start'", ""),
    ("logs: [{path: a, record: {start: '(a'}}]", (5, 34), "unterminated subpattern", ""),
    ("logs: [{path: a, record: {start: a, begin: b}}]", (5, 37), "unknown key 'begin' in record", "known here: start"),
    ("logs: [{path: a, record_timeout: 2s}]", (5, 34), "record_timeout without 'record'", "or leave it out"),
    ("logs: [{path: a, record: indented, record_timeout: 50ms}]", (5, 52), "must be from 100ms to 10m", ""),
    ("logs: [{path: a, rate: 1000}]", (5, 24), "must be text", '"1000"'),
    ("logs: [{path: a, rate: 1000 a second}]", (5, 24), "rate is no rate: '1000 a second'", "like 1000/s"),
    ("logs: [{path: a, rate: 0/s}]", (5, 24), "rate is no rate", ""),
    ("logs: [{path: a, burst: 5}]", (5, 25), "burst without 'rate' means nothing", ""),
    ("logs: [{path: a, rate: 1/s, burst: 0}]", (5, 36), "must be from 1 to 10000000", ""),
    ('events: {only: "server/*"}', (5, 16), "must be a list", ""),
    ("events: {onyl: []}", (5, 10), "unknown key 'onyl'", "'only'"),
    ("monitors: {filesytem: {}}", (5, 12), "unknown monitor 'filesytem'", "'filesystem'"),
    ("monitors: {raid: {intervall: 1s}}", (5, 19), "unknown key 'intervall' in monitor raid", "'interval'"),
    ("monitors: {raid: {interval: 10}}", (5, 29), "no unit", "like"),
    ("monitors: {raid: true}", (5, 18), "must be a mapping", ""),
    ("monitors: {filesystem: {warning: 101}}", (5, 34), "from 1 to 100", ""),
    ("monitors: {filesystem: {warning: 99}}", (5, 34), "must not be above error", ""),
    ("monitors: {filesystem: {write: /srv}}", (5, 32), "must be a list", ""),
    ("monitors: {link: {interfaces: [averylonginterface]}}", (5, 32), "longer than 15", ""),
    ("monitors: {link: {addresses: [10.0.0.256]}}", (5, 31), "is not an IP address", "like 192.0.2.7"),
    ("monitors: {memory: {corrected: 0}}", (5, 32), "from 1 to 1000000", ""),
    ("monitors: {memory: {window: 31d}}", (5, 29), "must be from 1s to 30d", ""),
    ("monitors: {pressure: {io: 0}}", (5, 27), "from 1 to 100", ""),
    ("monitors: {lvm: {command: ~/lvs}}", (5, 27), "begins with '~'", "whole path"),
    ("monitors: {lvm: {command: []}}", (5, 27), "is empty", ""),
    ("monitors: {lvm: {command: [lvs, -a]}}", (5, 28), "must be an absolute path", "no search path"),
    ("monitors: {comand: []}", (5, 12), "unknown monitor 'comand'", "'command'"),
    ("monitors: {command: false}", (5, 21), "must be a list", ""),
    ("monitors: {command: [{name: x}]}", (5, 22), "lacks 'run'", ""),
    ("monitors: {command: [{run: [/x]}]}", (5, 22), "lacks 'name'", ""),
    ("monitors: {command: [{name: a/b, run: [/x]}]}", (5, 29), "holds '/'", "use letters"),
    ("monitors: {command: [{name: x, run: /x -a}]}", (5, 37), "run must be a list", "write [/x -a]"),
    ("monitors: {command: [{name: x, run: [x]}]}", (5, 38), "must be an absolute path", "no search path"),
    ('monitors: {command: [{name: x, run: [/x], match: "("}]}', (5, 50), "missing )", ""),
    ("monitors: {command: [{name: x, run: [/x], timeout: 2h}]}", (5, 52), "must be from 100ms to 1h", ""),
    (
        "monitors: {command: [{name: x, run: [/x]}, {name: x, run: [/y]}]}",
        (5, 21),
        "a second command named 'x'",
        "its state",
    ),
    ("signals: []", (5, 10), "must be a mapping", ""),
    ("signals: {TERM: {event: x, state: y}}", (5, 11), "no signal that can be mapped: 'TERM'", "USR1"),
    ("signals: {SIGUSR1: {event: x, state: y}}", (5, 11), "no signal that can be mapped", "USR1"),
    ("signals: {RTMIN+31: {event: x, state: y}}", (5, 11), "no signal that can be mapped", "RTMIN+30"),
    ("signals: {USR1: {event: x}}", (5, 17), "lacks 'state'", ""),
    ("signals: {USR1: {event: x, state: y, deferred: true}}", (5, 38), "unknown key 'deferred'", ""),
    (f"signals: {{USR1: {{event: {'x' * 257}, state: y}}}}", (5, 25), "longer than 256", ""),
    (f"signals: {{USR1: {{event: x, state: {'y' * 65}}}}}", (5, 35), "longer than 64", ""),
    ("notifier: {programs: /bin/true}", (5, 22), "must be a list", ""),
    ("notifier: {user: a b}", (5, 18), "holds ' '", ""),
    ("notifier: {default: {procedure: proces, application: []}}", (5, 33), "unknown procedure", "'process'"),
    ("notifier: {default: {procedure: process}}", (5, 21), "lacks 'application'", ""),
    (
        "notifier: {default: {procedure: process, application: [page]}}",
        (5, 56),
        "must be an absolute path",
        "no search path",
    ),
]

DEFINITIONS = """\
events:
  - name: disk-trouble
    match: {event: "raid/**", state: [DEGRADED, ERROR]}
    duplicates: allow
    delivery: deferred
    enough: all
    timeout: 5s
    repeat: 10m
    escalate: 900s
    recovery: true
    flap: {changes: 6, within: 5m}
    limit: {count: 20, within: 60s}
    notify:
      - {priority: 1, node: ops1, procedure: process, application: [/usr/bin/page, --team, storage], wait: started}
      - {priority: 2, node: db3, procedure: message, application: {key: 0x4e4f524f, type: 7}, reply: required}
      - {priority: 3, procedure: socket, application: "tcp://127.0.0.1:9000", timeout: 500ms}
      - {priority: 3}
  - name: any-change
    match: {event: "server/*", state: DOWN}
logs:
  - name: out-of-memory
    match: {node: "*", source: "/var/log/**", pattern: "Out of memory"}
    notify: []
  - name: every-line
    match: {pattern: ""}
"""


def event(line: str, match: str = "{event: x}") -> str:
    return f"events:\n  - name: a\n    match: {match}\n    {line}\n"


def log(match: str) -> str:
    return f"logs:\n  - name: a\n    match: {match}\n"


def to(destination: str) -> str:
    return event(f"notify:\n      - {destination}")


def process(rest: str) -> str:
    return to(f"{{priority: 1, procedure: process, {rest}}}")


def message(application: str) -> str:
    return to(f"{{priority: 1, procedure: message, application: {application}}}")


def socket(address: str) -> str:
    return to(f'{{priority: 1, procedure: socket, application: "{address}"}}')


DEFINITION_MISTAKES = [
    ("event: []", (1, 1), "unknown key 'event'", "did you mean 'events'?"),
    ("events: x", (1, 9), "must be a list", ""),
    ("events:\n", (1, 8), "here is nothing", "leave the key out"),
    ("events: [x]", (1, 10), "must be a mapping", ""),
    ("events: [{match: {event: x}}]", (1, 10), "lacks 'name'", ""),
    ("events: [{name: x}]", (1, 10), "lacks 'match'", ""),
    ("events: [{name: x, match: {}}]", (1, 27), "match lacks 'event'", ""),
    ("events: [{name: a/b, match: {event: x}}]", (1, 17), "holds '/'", "use letters"),
    ("events: [{name: off, match: {event: x}}]", (1, 17), "must be text", '"off"'),
    (event("timeout: 10"), (4, 14), "no unit", "like"),
    (event("timeout: 0s"), (4, 14), "from 1ms to 1h", ""),
    (event("timeout: 61m"), (4, 14), "from 1ms to 1h", ""),
    (event("delivery: later"), (4, 15), "unknown delivery 'later'", "deferred, immediate"),
    (event("enough: some"), (4, 13), "unknown enough", "all, any"),
    (event("repeat: 10m"), (4, 13), "repeat needs states that can end", "add `state:`"),
    (event("escalate: 10m"), (4, 15), "escalate needs states", ""),
    (event("recovery: true"), (4, 15), "recovery needs states", ""),
    (event("recovery: 1", "{event: x, state: y}"), (4, 15), "true or false", ""),
    (event("repeat: 999ms", "{event: x, state: y}"), (4, 13), "from 1s to 30d", ""),
    (event("escalate: 31d", "{event: x, state: y}"), (4, 15), "from 1s to 30d", ""),
    (log("{pattern: x}\n    repeat: 1m"), (4, 5), "unknown key 'repeat' in a log definition", ""),
    (event("flap: 5m"), (4, 11), "must be a mapping", ""),
    (event("flap: {changes: 1, within: 5m}"), (4, 21), "from 2 to 1000", ""),
    (event("flap: {changes: 6}"), (4, 11), "flap lacks 'within'", ""),
    (event("limit: {count: 0, within: 1m}"), (4, 20), "from 1 to 100000", ""),
    (event("limit: {count: 5, within: 2d}"), (4, 31), "from 1s to 1d", ""),
    (log("{pattern: x}\n    flap: {changes: 6, within: 5m}"), (4, 5), "unknown key 'flap' in a log definition", ""),
    (event("duplicates: supress"), (4, 17), "unknown duplicates", "did you mean 'suppress'?"),
    (event("wait: started"), (4, 5), "unknown key 'wait'", ""),
    (event("", "{event: x, pattern: y}"), (3, 23), "unknown key 'pattern' in match", "event, state"),
    (event("", "{event: [x]}"), (3, 20), "must be text", ""),
    (event("", '{event: ""}'), (3, 20), "is empty", ""),
    (event("", "{event: x, state: []}"), (3, 30), "state is empty", ""),
    (event("", "{event: x, state: [ON]}"), (3, 31), "must be text, here is ON", 'in quotes: "ON"'),
    (event("", "{event: x, state: no}"), (3, 30), "must be text, here is no", 'in quotes: "no"'),
    (event("", "{event: x, state: [404, 1:30]}"), (3, 31), "must be text, here is 404", '"404"'),
    (event("", "{event: **}"), (3, 21), "is not YAML", "begins with *"),
    (log("{source: x}"), (3, 12), "lacks 'pattern'", ""),
    (log('{pattern: "a(b"}'), (3, 22), "missing ), unterminated subpattern at character 2", "put \\"),
    (log('{pattern: "(?P<x>a)(?P<x>b)"}'), (3, 22), "at character 13", ""),
    (log("{pattern: x, state: UP}"), (3, 25), "unknown key 'state'", "node, pattern, source"),
    (log("{pattern: x}\n    duplicates: allow"), (4, 5), "unknown key 'duplicates' in a log definition", ""),
    (to("{node: db1}"), (5, 9), "lacks 'priority'", ""),
    (to("{priority: 0}"), (5, 20), "from 1 to 1000000", ""),
    (to("{priority: high}"), (5, 20), "whole number", ""),
    (to("{priority: 1, prioritee: 2}"), (5, 23), "unknown key", "'priority'"),
    (to("{priority: 1, procedure: mail}"), (5, 34), "unknown procedure 'mail'", "message, process, socket"),
    (to("{priority: 1, procedure: proces}"), (5, 34), "unknown procedure 'proces'", "did you mean 'process'?"),
    (to("{priority: 1, procedure: process}"), (5, 34), "needs an application", ""),
    (to("{priority: 1, application: [/x]}"), (5, 36), "needs a procedure", "process, message, socket"),
    (to("{priority: 1, wait: exited}"), (5, 29), "wait means something for procedure process only", "leave it out"),
    (to("{priority: 1, reply: none}"), (5, 30), "for procedure message or socket only", "leave it out"),
    (to("{priority: 1, timeout: 2h}"), (5, 32), "from 1ms to 1h", ""),
    (to("{priority: 1, node: }"), (5, 29), "here is nothing", ""),
    (process("application: /bin/x"), (5, 56), "must be a list", "[/bin/x]"),
    (process("application: []"), (5, 56), "is empty", ""),
    (process("application: [page]"), (5, 57), "absolute path", "no search path"),
    (process("application: [/x, 5]"), (5, 61), "must be text", '"5"'),
    (process('application: [/x, "a\\0b"]'), (5, 61), "NUL", ""),
    (process("application: {key: 1}"), (5, 56), "must be a list", ""),
    (process("application: [/x], reply: required"), (5, 69), "reply means something", "leave it out"),
    (message("5"), (5, 56), "must be a mapping", ""),
    (message("{}"), (5, 56), "lacks 'key'", ""),
    (message("{key: 0}"), (5, 62), "from 1 to 4294967295", ""),
    (message("{key: 0x100000000}"), (5, 62), "from 1 to", ""),
    (message("{key: NORO}"), (5, 62), "whole number", ""),
    (message('{key: "0x0"}'), (5, 62), "from 1 to", ""),
    (message("{key: 1, type: 0}"), (5, 71), "from 1 to 2147483647", ""),
    (message("{key: 1, mtype: 1}"), (5, 65), "unknown key 'mtype'", "'type'"),
    (socket(""), (5, 55), "is empty", ""),
    (socket("127.0.0.1:9000"), (5, 55), "not the address of a socket", "tcp://HOST:PORT"),
    (socket("http://127.0.0.1:9000"), (5, 55), "not the address", ""),
    (socket("tcp://127.0.0.1"), (5, 55), "not the address", ""),
    (socket("tcp://127.0.0.1:0"), (5, 55), "not the address", ""),
    (socket("tcp://127.0.0.1:65536"), (5, 55), "port over 65535", ""),
    (socket("udp://::1:9000"), (5, 55), "not the address", ""),
    (socket("unix://relative"), (5, 55), "not the address", ""),
    (socket("unix:///" + "x" * 107), (5, 55), "too long a path", ""),
]
