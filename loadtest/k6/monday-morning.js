// Monday, eight o'clock: from a quiet night to ten times as much within two minutes. The same
// thresholds hold as on a usual day, over the whole run.
//   RATE=3 (arrivals a second at night; ten times that at the peak) HOLD=1m RAMP=2m AREA=
import { begin, pick, ramp, text, whole } from './lib/target.js';
import { common, within } from './lib/limits.js';
import { report } from './lib/summary.js';
import { places } from './lib/tenants.js';
import { arrival, operations } from './lib/shares.js';

const night = whole('RATE', 3), peak = 10 * night;
const hold = text('HOLD', '1m');
export const options = {
  ...common,
  scenarios: { monday: ramp(night, [[hold, night], [text('RAMP', '2m'), peak], [hold, peak]]) },
  thresholds: within(operations, night),
};

export const setup = places;

export default function (drawn) {
  const name = begin();
  arrival(pick(drawn), name);
}

export const handleSummary = report('monday-morning');
