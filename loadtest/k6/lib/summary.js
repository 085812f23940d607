// What is left of a run: a table for the terminal, and with SUMMARY=FILE the same as JSON, from
// which loadtest/report writes the page of results.

// report gives a handleSummary for a scenario. more may add comparisons that a threshold of k6
// cannot express: it returns a list of {what, rule, value, ok}.
export const report = (scenario, more = () => []) => (data) => {
  const figures = summarize(scenario, data, more);
  const out = { stdout: table(figures) };
  if (__ENV.SUMMARY) out[__ENV.SUMMARY] = JSON.stringify(figures, null, 2) + '\n';
  return out;
};

function summarize(scenario, data, more) {
  const value = (metric, name) => data.metrics[metric]?.values?.[name] ?? 0;
  const operations = [];
  const thresholds = [];
  for (const [metric, m] of Object.entries(data.metrics)) {
    const tags = /^http_req_duration\{(?:op:)?(.*)\}$/.exec(metric);
    if (tags && m.values.count > 0 && tags[1] !== 'expected_response:true') {
      operations.push({ op: tags[1], count: m.values.count, p50: m.values.med, p95: m.values['p(95)'], p99: m.values['p(99)'], max: m.values.max });
    }
    for (const [rule, result] of Object.entries(m.thresholds || {})) {
      const name = /^(.*?)[<>=!]/.exec(rule)[1].trim();
      thresholds.push({ what: metric.replace(/^http_req_duration\{(?:op:)?(.*)\}$/, '$1'), rule, value: m.values[name] ?? 0, ok: result.ok });
    }
  }
  operations.sort((a, b) => a.op.localeCompare(b.op));
  thresholds.sort((a, b) => a.what.localeCompare(b.what) || a.rule.localeCompare(b.rule));
  thresholds.push(...more(data));
  const seconds = data.state.testRunDurationMs / 1000;
  return {
    scenario, seconds, iterations: value('iterations', 'count'), requests: value('http_reqs', 'count'),
    dropped: value('dropped_iterations', 'count'), failed: value('http_req_failed', 'passes'),
    checks: { passed: value('checks', 'passes'), failed: value('checks', 'fails') },
    received: value('data_received', 'count'), sent: value('data_sent', 'count'),
    operations, thresholds, ok: thresholds.every((t) => t.ok),
  };
}

const ms = (v) => v.toFixed(1).padStart(9);

function table(f) {
  const lines = ['', `${f.scenario}: ${f.iterations} iterations, ${f.requests} requests in ${f.seconds.toFixed(1)} s, ${f.checks.failed} checks failed, ${f.dropped} arrivals dropped`, ''];
  lines.push(`${'operation'.padEnd(36)}${'count'.padStart(8)}${'p50 ms'.padStart(10)}${'p95 ms'.padStart(10)}${'p99 ms'.padStart(10)}`);
  for (const o of f.operations) lines.push(`${o.op.padEnd(36)}${String(o.count).padStart(8)} ${ms(o.p50)} ${ms(o.p95)} ${ms(o.p99)}`);
  lines.push('');
  for (const t of f.thresholds) lines.push(`${t.ok ? 'kept  ' : 'BROKEN'} ${t.what}: ${t.rule} (is ${Number(t.value.toPrecision(3))})`);
  return lines.join('\n') + '\n';
}
