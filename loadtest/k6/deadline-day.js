// The last day to send something in: one municipality takes nine tenths of the load. The others
// must not feel it: the p99 of their requests is at most 1.5 times what it was before.
//
// First the others alone (quiet), then the others as before and the flood beside them. Both
// times the others make the same requests in the same order.
//   RATE=10 (arrivals a second of all others together; the flood is nine times that)
//   DURATION=1m (of each half) FLOODED=slug (default: the first tenant of demo.json) RATIO=1.5 AREA=
import { begin, demo, pick, seconds, steady, text, whole } from './lib/target.js';
import { common, within } from './lib/limits.js';
import { report } from './lib/summary.js';
import { places } from './lib/tenants.js';
import { apply } from './lib/operations.js';
import { arrival } from './lib/shares.js';

const rate = whole('RATE', 10);
const duration = text('DURATION', '1m');
const ratio = Number(text('RATIO', '1.5'));
const flooded = text('FLOODED', demo.tenants[0].slug);

const warmUp = 5, pause = 5; // seconds; what is under way ends in the pause
const quietFrom = warmUp, floodFrom = warmUp + seconds(duration) + pause;
const others = (from) => steady(rate, duration, { startTime: `${from}s`, exec: 'other' });

const quiet = 'http_req_duration{scenario:quiet}', during = 'http_req_duration{scenario:others}';
export const options = {
  ...common,
  scenarios: {
    warm: steady(rate, `${warmUp}s`, { exec: 'other', gracefulStop: '5s' }),
    quiet: others(quietFrom),
    others: others(floodFrom),
    flood: steady(9 * rate, duration, { startTime: `${floodFrom}s`, exec: 'flood' }),
  },
  // k6 keeps figures of its own for each of these; the ratio of two is compared below.
  // The flood itself may be slow; its answers must be right all the same.
  thresholds: { ...within([], 10 * rate), [quiet]: ['p(99)>0'], [during]: ['p(99)>0'] },
};

export function setup() {
  const drawn = places();
  const rest = drawn.filter((p) => p.slug !== flooded);
  if (rest.length === 0 || rest.length === drawn.length) throw new Error(`FLOODED=${flooded} must be one of several tenants of ${text('AREA', 'demo.json')}`);
  return { rest, flooded: drawn.find((p) => p.slug === flooded) };
}

export function other({ rest }) {
  const name = begin();
  arrival(pick(rest), name);
}

export function flood(data) {
  const name = begin();
  apply(data.flooded, name, false);
}

export const handleSummary = report('deadline-day', (data) => {
  const [before, after] = [quiet, during].map((metric) => data.metrics[metric].values['p(99)']);
  const value = after / before;
  return [{ what: `p99 of the others, flood to quiet (${after.toFixed(1)} ms to ${before.toFixed(1)} ms)`, rule: `ratio<=${ratio}`, value, ok: value <= ratio }];
});
