// Appointments alone: free times of a week, reserve one, confirm, give it back.
//   RATE=20 DURATION=30s AREA=
import { begin, pick, steady, text, whole } from './lib/target.js';
import { common, within } from './lib/limits.js';
import { report } from './lib/summary.js';
import { places } from './lib/tenants.js';
import { book } from './lib/operations.js';

const rate = whole('RATE', 20);
const operations = ['booking slots', 'booking hold', 'booking confirm', 'booking give back'];
export const options = { ...common, scenarios: { booking: steady(rate, text('DURATION', '30s')) }, thresholds: within(operations, rate) };

export const setup = places;

export default function (drawn) {
  const name = begin();
  book(pick(drawn), name);
}

export const handleSummary = report('booking');
