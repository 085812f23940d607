// Hours of a usual day: does anything grow that should not? The page of results has the server's
// memory and goroutines before and after.
//   RATE=5 DURATION=1h AREA=
import { begin, pick, steady, text, whole } from './lib/target.js';
import { common, within } from './lib/limits.js';
import { report } from './lib/summary.js';
import { places } from './lib/tenants.js';
import { arrival, operations } from './lib/shares.js';

const rate = whole('RATE', 5);
export const options = { ...common, scenarios: { soak: steady(rate, text('DURATION', '1h')) }, thresholds: within(operations, rate) };

export const setup = places;

export default function (drawn) {
  const name = begin();
  arrival(pick(drawn), name);
}

export const handleSummary = report('soak');
