// What a run must keep: thresholds that all scenarios share.
import { slower } from './target.js';

// latencies are the limits of an operation in milliseconds, [p95, p99], as its client sees them
// on an installation that is not overloaded: our own aims, for no law or standard names any.
// A reading is expected within 100 ms, a durable write within 200 ms, a page that leads through
// several addresses within 400 ms.
const reading = [100, 250], writing = [200, 500], leading = [400, 1000];
const latencies = {
  token: writing, introspection: reading,
  'payment create': writing, 'payment read': reading,
  'pay page': reading, 'pay choose': leading, 'pay at provider': leading,
  'form read': reading, 'application submit': writing, 'application submit (fee)': leading,
  'log-in pages': leading, 'form pages': leading,
  'notify e-mail': writing,
  'booking slots': reading, 'booking hold': writing, 'booking confirm': writing, 'booking give back': writing,
};

// within gives the options' thresholds for some operations. Every answer must be the right one,
// and of the arrivals at most one in a hundred may have found no free user.
export function within(operations, rate) {
  const out = {
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
    dropped_iterations: [`rate<${Math.max(rate / 100, 0.01) * slower}`],
  };
  for (const op of operations) {
    const [p95, p99] = latencies[op];
    out[`http_req_duration{op:${op}}`] = [`p(95)<${p95 * slower}`, `p(99)<${p99 * slower}`];
  }
  return out;
}

// options that every scenario shares.
export const common = {
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max', 'count'],
  userAgent: 'basisdienste-loadtest',
  noCookiesReset: false,
};
