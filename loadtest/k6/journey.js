// A usual day: applications, payments, messages and appointments, mixed by lib/shares.js.
//   RATE=40 (arrivals a second; each makes one to sixteen requests) DURATION=1m AREA=
import { begin, pick, steady, text, whole } from './lib/target.js';
import { common, within } from './lib/limits.js';
import { report } from './lib/summary.js';
import { places } from './lib/tenants.js';
import { arrival, operations } from './lib/shares.js';

const rate = whole('RATE', 40);
export const options = { ...common, scenarios: { journey: steady(rate, text('DURATION', '1m')) }, thresholds: within(operations, rate) };

export const setup = places;

export default function (drawn) {
  const name = begin();
  arrival(pick(drawn), name);
}

export const handleSummary = report('journey');
