package authoring

import "strings"

// New is a template for a rule of a form: event, window, sequence or absence. It passes lint and
// its own tests as it is.
func New(form, id string) string { return strings.ReplaceAll(Forms[form], "{id}", id) }

// Forms are templates for rules, with {id} in the place of the id.
var Forms = map[string]string{
	"event": `# yaml-language-server: $schema=rule.schema.json
id: {id}
title: A payment above the limit to somebody outside
why: Say what harm this shows, so that whoever is called at night knows why.
status: experimental        # experimental, test, stable, deprecated
mode: shadow                # off, shadow, signal, alert, enforce
severity: high              # informational, low, medium, high, critical
tags: [ASI02]
where: tool.class == "pay" and destination.external and amount.value > params.max
params: {max: 500}
explain: '"paid " + string(amount.value) + " " + amount.currency + " to " + destination.value'
false_positives: [Month-end payments]
tune: Raise params.max to what the persona pays in a normal month.
tests:
  - name: fires above the limit
    all: {agent: {id: agent-1}, persona: payments, tool: {name: pay_invoice, class: pay}, destination: {kind: iban, value: DE02, external: true}}
    events:
      - {at: 0s, amount: {value: "750.00", currency: EUR}}
    expect: {findings: 1, why: paid 750 EUR to DE02}
  - name: stays quiet below it
    all: {agent: {id: agent-1}, persona: payments, tool: {name: pay_invoice, class: pay}, destination: {kind: iban, value: DE02, external: true}}
    events:
      - {at: 0s, amount: {value: "400.00", currency: EUR}}
    expect: {findings: 0}
`,
	"window": `# yaml-language-server: $schema=rule.schema.json
id: {id}
title: Many customers read in ten minutes
why: Say what harm this shows, so that whoever is called at night knows why.
status: experimental
mode: shadow
severity: medium
tags: [ASI02]
by: [agent]
window: 10m
where: tool.class == "read" and resource.type == "customer"
let:
  people: distinct(resource.id)
  records: sum(result.records)
having: people >= params.people
params: {people: 20}
explain: 'string(people) + " customers, " + string(records) + " records"'
false_positives: [Reports that cover a whole branch]
tune: Raise params.people to what one task needs.
tests:
  - name: fires at twenty
    all: {agent: {id: agent-1}, persona: support, tool: {name: get_customer, class: read}, result: {outcome: ok, records: 1}}
    events:
      - {at: 0s, every: 5s, times: 20, resource: {type: customer, id: "c-{n}"}}
    expect: {findings: 1, why: 20 customers}
  - name: stays quiet when it is always the same one
    all: {agent: {id: agent-1}, persona: support, tool: {name: get_customer, class: read}, result: {outcome: ok, records: 1}}
    events:
      - {at: 0s, every: 5s, times: 40, resource: {type: customer, id: c-1}}
    expect: {findings: 0}
`,
	"sequence": `# yaml-language-server: $schema=rule.schema.json
id: {id}
title: Something secret was read and something was sent outside
why: Say what harm this shows, so that whoever is called at night knows why.
status: experimental
mode: shadow
severity: high
tags: [ASI02, AML.T0086]
by: [session]
within: 30m
steps:
  - {name: secret, where: 'tool.class == "read" and "secret" in resource.labels and result.outcome == "ok"', capture: {what: resource.id}}
  - {name: sent, where: 'tool.class == "send" and destination.external'}
not:
  - {where: 'kind == "approval" and approval.state == "granted"'}
explain: '"read " + secret.what + ", then sent to " + destination.value'
false_positives: [Rotation of credentials by the platform team]
tune: Shorten within to what one task takes.
tests:
  - name: fires on a read and a send
    all: {agent: {id: agent-1}, persona: ops, session: s1}
    events:
      - {at: 0s, tool: {name: read_secret, class: read}, resource: {type: secret, id: db-password, labels: [secret]}, result: {outcome: ok}}
      - {at: 60s, tool: {name: send_mail, class: send}, destination: {kind: email, value: a@elsewhere.example, external: true}}
    expect: {findings: 1, why: read db-password}
  - name: stays quiet if it was approved in between
    all: {agent: {id: agent-1}, persona: ops, session: s1}
    events:
      - {at: 0s, tool: {name: read_secret, class: read}, resource: {type: secret, id: db-password, labels: [secret]}, result: {outcome: ok}}
      - {at: 30s, kind: approval, approval: {id: a1, state: granted, by: bob}}
      - {at: 60s, tool: {name: send_mail, class: send}, destination: {kind: email, value: a@elsewhere.example, external: true}}
    expect: {findings: 0}
`,
	"absence": `# yaml-language-server: $schema=rule.schema.json
id: {id}
title: A deletion that nobody reported
why: Say what harm this shows, so that whoever is called at night knows why.
status: experimental
mode: shadow
severity: medium
tags: [ASI10]
by: [agent]
steps:
  - {name: deleted, where: 'tool.class == "delete" and result.outcome == "ok"', capture: {what: resource.id}}
absent: {where: 'kind == "message" and message.to == "audit" and subject == deleted.what', for: 10m}
explain: '"deleted " + deleted.what'
false_positives: [Clean-ups that are reported as a whole]
tune: Lengthen absent.for if reports come late.
tests:
  - name: fires if nothing is reported within ten minutes
    all: {agent: {id: agent-1}, persona: ops}
    events:
      - {at: 0s, tool: {name: delete_table, class: delete}, resource: {type: table, id: t1}, result: {outcome: ok}}
      - {at: 20m, tool: {name: list_tables, class: read}}
    expect: {findings: 1, why: deleted t1, at: [10m]}
  - name: stays quiet if it is
    all: {agent: {id: agent-1}, persona: ops}
    events:
      - {at: 0s, tool: {name: delete_table, class: delete}, resource: {type: table, id: t1}, result: {outcome: ok}}
      - {at: 60s, kind: message, message: {to: audit, role: agent}, subject: t1}
    expect: {findings: 0}
`,
}
