/** Prints the alerting rules for the Prometheus operator: node scripts/prometheus_rule.ts >k8s/monitoring/prometheus_rule.yaml */
import { readFileSync } from 'node:fs'

const HEAD = `# Made from alerts.yaml by scripts/prometheus_rule.ts: change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: xtrimd
  labels:
    app.kubernetes.io/name: xtrimd
spec:
`
const rules = readFileSync(new URL('../k8s/monitoring/alerts.yaml', import.meta.url), 'utf8')
const groups = rules.slice(rules.indexOf('groups:\n')).replace(/^(?=.)/gm, '  ')
process.stdout.write(HEAD + groups)
